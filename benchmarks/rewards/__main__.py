"""The command line of ``python -m benchmarks.rewards``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tyro

from benchmarks.rewards import games
from benchmarks.rewards.ablations import ABLATIONS
from benchmarks.rewards.menu import MENU

if __name__ == "__main__":
    commands: dict[str, Callable[..., Any]] = {
        "run": games.run,
        "report": games.report,
        "menu": MENU.run,
        "menu-report": MENU.report,
        "ablations": ABLATIONS.run,
        "ablations-report": ABLATIONS.report,
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m benchmarks.rewards")
