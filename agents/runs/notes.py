"""Sentences about a run for a person who might not see it in the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from agents.runs.folder import Record
from agents.runs.report import summary

REPEATS = 0.5
"""A game is told of that leaves less than this share of the different sequences that maximum likelihood has."""


def notes(records: Sequence[Record]) -> list[str]:
    """The sentences that a run calls for, none where all is as one would expect.

    Args:
        records: its evaluations.
    """
    rows = summary({"": records})
    before, after = (rows.get(name, {}).get("distinct") for name in ("max. likelihood", "SeqGAN "))
    if before is None or after is None or after >= REPEATS * before:
        return []
    return [
        f"the game has made the generator repeat itself: {after:.0%} of its sequences differ from each other, after "
        f"maximum likelihood {before:.0%} did; fewer updates (--agent.n-updates), a smaller step "
        "(--agent.learning-rate) or more real sequences may help, and pretrained.zip keeps the generator from before"
    ]
