"""The sample of earlier negatives: uniform, bounded, the same again, and restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.history import NegativeHistory
from seqgan_env.tokens import SequenceSpec, Tokens

SPEC = SequenceSpec(1000, 2)


def rows(first: int, n: int) -> Tokens:
    """Sequences that are numbers."""
    number_N = np.arange(first, first + n)
    return np.stack([number_N // 1000, number_N % 1000], axis=1)


def numbers(tokens_BT: Tokens) -> list[int]:
    return (tokens_BT @ [1000, 1]).tolist()


def filled(n_rounds: int, capacity: int = 40, seed: int = 0) -> NegativeHistory:
    history = NegativeHistory(SPEC, capacity, seed)
    for i in range(n_rounds):
        history.add(rows(10 * i, 10))
    return history


def kept(history: NegativeHistory) -> list[int]:
    return numbers(history.state_dict()["kept"].numpy())


def test_it_keeps_all_until_it_is_full_and_never_more() -> None:
    assert [len(filled(n)) for n in range(7)] == [0, 10, 20, 30, 40, 40, 40]
    assert sorted(kept(filled(4))) == list(range(40))
    assert len(set(kept(filled(30)))) == 40


@pytest.mark.theory
def test_every_negative_is_kept_with_the_same_probability() -> None:
    """A chi-squared statistic over 30 rounds of ten, in 400 histories, below its 99.9 % quantile with 29 degrees."""
    kept_R = np.zeros(30)
    for seed in range(400):
        kept_R += np.bincount(np.array(kept(filled(30, seed=seed))) // 10, minlength=30)
    expected = kept_R.sum() / 30
    assert ((kept_R - expected) ** 2 / expected).sum() < 58.3


def test_a_share_of_a_round_is_replaced_by_old_ones() -> None:
    history = filled(3)
    mixed = numbers(history.mixed(rows(500, 10), 0.3))
    assert sum(number < 30 for number in mixed) == 3
    assert len(set(mixed)) == 10
    assert numbers(history.mixed(rows(500, 10), 0.0)) == list(range(500, 510))
    assert numbers(filled(0).mixed(rows(500, 10), 0.3)) == list(range(500, 510))
    assert sum(number < 10 for number in numbers(filled(1).mixed(rows(500, 100), 0.5))) == 10  # no more than there are


def test_it_is_the_same_again_and_goes_on_where_it_was() -> None:
    ours, same, theirs = filled(9), filled(9), NegativeHistory(SPEC, 40, 0)
    theirs.load_state_dict(ours.state_dict())
    for history in (ours, same, theirs):
        history.add(rows(700, 10))
    assert kept(ours) == kept(theirs) == kept(same)
    assert numbers(ours.mixed(rows(0, 9), 0.5)) == numbers(theirs.mixed(rows(0, 9), 0.5))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"kept": torch.zeros(3, 2, dtype=torch.int64), "n_seen": 4}, "of 4 negatives 4 must be kept, got 3"),
        ({"kept": torch.full((3, 2), 1000), "n_seen": 3}, "kept must be complete"),
        ({"kept": [[0, 1]], "n_seen": 1}, "kept must be Tensor"),
        ({"kept": torch.zeros(3, 2, dtype=torch.int64), "n_seen": 2.5}, "n_seen must be a whole number"),
        ({"kept": torch.zeros(3, 2, dtype=torch.int64)}, "history"),
        ({"kept": torch.zeros(3, 5, dtype=torch.int64), "n_seen": 3}, "kept must have at most T = 2 columns"),
    ],
)
def test_a_state_of_something_else_is_refused(state: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filled(1).load_state_dict(state)
