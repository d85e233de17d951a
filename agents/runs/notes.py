"""Sentences about a run for a person who might not see it in the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from agents.runs.folder import Record
from agents.runs.phases import LIKELIHOOD
from agents.runs.report import summary

REPEATS = 0.5
"""The share of maximum likelihood's ``distinct`` below which a game is said to repeat itself."""


def notes(records: Sequence[Record]) -> list[str]:
    """The sentences that a run calls for, none where all is as one would expect.

    Args:
        records: its evaluations.
    """
    rows = summary({"game": records})
    before, after = (rows.get(name, {}).get("distinct") for name in ("max. likelihood", "SeqGAN game"))
    has_learnt = any(record["phase"] == LIKELIHOOD for record in records)
    if not has_learnt or before is None or after is None or after >= REPEATS * before:
        return []
    return [
        f"the game has made the generator repeat itself: only {after:.0%} of its sequences are different ones, "
        f"after maximum likelihood {before:.0%} were; fewer updates (--agent.n-updates), a smaller step "
        "(--agent.learning-rate) or more real sequences may help"
    ]
