"""The command line of ``python -m benchmarks.regimes``."""

from __future__ import annotations

from benchmarks.harness import command_line
from benchmarks.regimes import cells, tables

if __name__ == "__main__":
    command_line("regimes", {"run": cells.run, "report": tables.report})
