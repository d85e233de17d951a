"""The command line of ``python -m benchmarks.paper``."""

from __future__ import annotations

from benchmarks.harness import command_line
from benchmarks.paper import experiment, tables

if __name__ == "__main__":
    command_line("paper", {"run": experiment.run, "report": tables.report})
