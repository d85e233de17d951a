"""A run says in words where its game has done harm."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runs.notes import notes
from agents.runs.phases import ADVERSARIAL, LIKELIHOOD


def records(before: float | None, after: float | None) -> list[dict[str, Any]]:
    rows = [{"phase": LIKELIHOOD, "step": 3, "nll_validation": 1.0, "distinct": 0.1}]
    rows += [
        {"phase": ADVERSARIAL, "step": 0, "distinct": before},
        {"phase": ADVERSARIAL, "step": 9, "distinct": after},
    ]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_a_generator_that_repeats_itself_is_told_of() -> None:
    (note,) = notes(records(0.91, 0.05))
    assert note.startswith(
        "the game has made the generator repeat itself: only 5% of its sequences are different ones,"
    )
    assert "after maximum likelihood 91% were" in note


@pytest.mark.parametrize(("before", "after"), [(0.91, 0.46), (0.1, 0.9), (0.0, 0.0), (None, 0.1), (0.9, None)])
def test_others_are_not(before: float | None, after: float | None) -> None:
    assert notes(records(before, after)) == []


def test_a_run_without_a_game_or_without_maximum_likelihood_is_not() -> None:
    assert notes(records(0.9, 0.1)[:1]) == []
    assert notes(records(0.9, 0.1)[1:]) == []
