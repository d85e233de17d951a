"""Copies of the training set, by hand."""

from __future__ import annotations

import pytest

from seqgan_env.metrics.novelty import Novelty
from tests.support.text import text_batch

TRAIN = [(1, 2, 3, 4), (5, 6), (4, 3, 2)]


@pytest.mark.parametrize(
    ("generated", "span", "copied"),
    [
        ([(1, 2, 3, 4)], 4, 1),
        ([(1, 2, 3)], 3, 0),  # the beginning of a sentence is no sentence
        ([(8, 2, 3, 4, 5, 6)], 3, 0),
        ([(5, 6), (7,), (8, 6, 5), (5, 6)], (2 + 0 + 1 + 2) / 4, 2 / 4),
        ([()], 0, 0),
        ([(1, 2, 3, 4), ()], 2, 1 / 2),
    ],
)
def test_spans_and_whole_sentences(generated: list[tuple[int, ...]], span: float, copied: float) -> None:
    found = Novelty()(text_batch(generated, [(1,)], TRAIN))
    assert found == {"copied_span": span, "copied": copied}


def test_the_training_set_copies_itself() -> None:
    assert Novelty()(text_batch(TRAIN, [(1,)], TRAIN)) == {"copied_span": (4 + 2 + 3) / 3, "copied": 1}


def test_it_is_left_out_where_the_training_set_is_not_known() -> None:
    assert Novelty()(text_batch(TRAIN, TRAIN)) == {}
