"""A penalty for repeated n-grams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqgan_env import SeqGANEnv, enumeration
from tests.support.reference_env import TINY
from tests.support.shaping import payments, returns, small_text


def n_repeated(tokens: list[int], n: int) -> int:
    """The number of places whose n-gram stands at an earlier place."""
    ngrams = [tuple(tokens[t : t + n]) for t in range(len(tokens) - n + 1)]
    return sum(ngram in ngrams[:t] for t, ngram in enumerate(ngrams))


def shaped(n: int, weight: float = 0.5) -> dict[str, Any]:
    return {"shaping": "repetition", "shaping_kwargs": {"repetition": {"n": n, "weight": weight}}}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_sequence_is_charged_for_each_repetition(n: int, tmp_path: Path) -> None:
    task = {**small_text(tmp_path), "reward": "constant"}
    spec = SeqGANEnv(**task).sequence_spec
    tokens_KT = enumeration.all_sequences(spec)
    expected_K = [
        1 - 0.5 * n_repeated([token for token in row if token != spec.pad_id], n) for row in tokens_KT.tolist()
    ]
    assert min(expected_K) < max(expected_K)
    np.testing.assert_array_equal(returns(1.0, **task, **shaped(n))(tokens_KT), expected_K)


def test_the_token_that_completes_it_is_charged_also_beyond_a_prefix() -> None:
    task = {**TINY, "max_length": 6, "reward": "constant", **shaped(2)}
    assert payments(SeqGANEnv(**task), [0, 1, 0, 1, 1, 1]) == [0, 0, 0, -0.5, 0, 0.5]
    assert payments(SeqGANEnv(**task), [1, 1], prefix=[0, 1, 0]) == [-0.5, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"weight": -1.0}, "weight must be a finite number of at least 0, got -1.0"),
        ({"n": 3}, "n of shaping 'repetition' must be below T = 3, or nothing repeats; got 3"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeqGANEnv(**TINY, shaping="repetition", shaping_kwargs={"repetition": settings})
