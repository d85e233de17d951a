"""The command line of ``python -m benchmarks.algorithms``."""

from __future__ import annotations

from benchmarks.algorithms import comparison, tables
from benchmarks.harness import command_line

if __name__ == "__main__":
    command_line("algorithms", {"search": comparison.search, "run": comparison.run, "report": tables.report})
