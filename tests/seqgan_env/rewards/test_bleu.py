"""BLEU against its definition, written out slowly with counters."""

from __future__ import annotations

import math
from collections import Counter

import gymnasium as gym
import numpy as np
import pytest

from seqgan_env.rewards.bleu import Bleu, BleuConfig
from seqgan_env.tokens import SequenceSpec, Tokens


def slow_bleu(spec: SequenceSpec, row: Tokens, references: Tokens, config: BleuConfig) -> float:
    """The definition of Papineni et al. (2002), section 2.3, with a count in place of 0."""

    def grams(tokens: Tokens, n: int) -> Counter[tuple[int, ...]]:
        kept = [int(t) for t in tokens if t != spec.pad_id]
        return Counter(tuple(kept[i : i + n]) for i in range(len(kept) - n + 1))

    log_precision = 0.0
    for n in range(1, config.max_n + 1):
        own = grams(row, n)
        most: Counter[tuple[int, ...]] = Counter()
        for reference in references:
            most |= grams(reference, n)
        matched = sum(min(count, most[gram]) for gram, count in own.items()) or config.smoothing
        log_precision += math.log(min(1.0, matched / max(1, sum(own.values())))) / config.max_n
    c = int(spec.lengths(row))
    r = min((int(spec.lengths(reference)) for reference in references), key=lambda length: (abs(length - c), length))
    return math.exp(log_precision + min(0.0, 1 - r / max(1, c)))


def random_rows(spec: SequenceSpec, n: int, seed: int) -> Tokens:
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, spec.vocab_size, size=(n, spec.max_length))
    for row, length in zip(rows, rng.integers(1, spec.max_length + 1, size=n), strict=True):
        if length < spec.max_length:
            row[length - 1], row[length:] = spec.eos_id, spec.pad_id
    return rows


@pytest.mark.theory
@pytest.mark.parametrize("max_n", [1, 2, 4, 9])
@pytest.mark.parametrize("n_references", [1, 3, 20])
def test_it_is_the_definition(max_n: int, n_references: int) -> None:
    spec, config = SequenceSpec(30, 8, 0), BleuConfig(max_n=max_n, n_references=n_references)
    references, rows = random_rows(spec, n_references, 1), random_rows(spec, 60, 2)
    expected = [slow_bleu(spec, row, references, config) for row in rows]
    assert len(set(expected)) > 5
    np.testing.assert_allclose(Bleu(spec, references, config).of(rows), expected, rtol=1e-12)


def test_a_reference_itself_has_bleu_1_and_what_shares_nothing_next_to_none() -> None:
    spec = SequenceSpec(9, 6)
    references = np.array([[1, 2, 3, 4, 5, 6], [2, 2, 3, 4, 1, 1]])
    bleu_B = Bleu(spec, references, BleuConfig(n_references=2)).of(np.array([[2, 2, 3, 4, 1, 1], [7, 8, 7, 8, 7, 8]]))
    assert bleu_B[0] == 1
    assert bleu_B[1] < 0.05


def test_a_large_vocabulary_does_not_overflow() -> None:
    spec = SequenceSpec(2**40, 12)
    rows = np.random.default_rng(0).integers(0, 2**40, size=(3, 12))
    np.testing.assert_allclose(Bleu(spec, rows, BleuConfig(max_n=10)).of(rows), 1)


def test_it_is_paid_by_an_environment_against_its_own_real_sequences() -> None:
    env = gym.make("SeqGANGrammar-v0", reward="bleu", reward_kwargs={"n_references": 20, "max_n": 3}).unwrapped
    task = env.task  # type: ignore[attr-defined]
    rows = task.real_sequences[15:25]
    config = BleuConfig(max_n=3, n_references=20)
    expected = [slow_bleu(task.spec, row, task.real_sequences[:20], config) for row in rows]
    assert expected[0] == 1 > min(expected)
    np.testing.assert_allclose(task.scoring.score(rows), expected, rtol=1e-6)


@pytest.mark.parametrize("settings", [{"max_n": 0}, {"n_references": 0}, {"smoothing": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        BleuConfig(**settings)  # type: ignore[arg-type]
