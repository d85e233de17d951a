"""The command line of ``python -m benchmarks.paper``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tyro

from benchmarks.paper import cells, tables

if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {"run": cells.run, "report": tables.report}
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m benchmarks.paper")
