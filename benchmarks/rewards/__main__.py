"""The command line of ``python -m benchmarks.rewards``."""

from __future__ import annotations

from benchmarks.harness import command_line
from benchmarks.rewards import games
from benchmarks.rewards.ablations import ABLATIONS
from benchmarks.rewards.menu import MENU

if __name__ == "__main__":
    command_line(
        "rewards",
        {
            "run": games.run,
            "report": games.report,
            "menu": MENU.run,
            "menu-report": MENU.report,
            "ablations": ABLATIONS.run,
            "ablations-report": ABLATIONS.report,
        },
    )
