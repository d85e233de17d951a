"""BLEU-4 where a generator is as diverse as real sequences, found on a curve that is known beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from seqgan_env.metrics import EvaluationBatch, measure
from seqgan_env.metrics.overlap import Overlap
from seqgan_env.metrics.real_diversity import RealDiversity
from seqgan_env.metrics.temperatures import TEMPERATURES
from seqgan_env.tokens import Tokens
from tests.support.text import text_batch

RNG = np.random.default_rng(0)
VARIED, REAL = ([tuple(RNG.integers(1, 9, size=6)) for _ in range(40)] for _ in range(2))
FLAT = [(1, 2, 3, 4, 5, 6)]


def batch_of(test: Sequence[Sequence[int]], share_varied: dict[float, float]) -> EvaluationBatch:
    """A generator that repeats one sentence, but for a share of varied ones by temperature."""

    def tempered(temperature: float) -> tuple[Tokens, object]:
        n = round(40 * share_varied[temperature])
        return text_batch(VARIED[:n] + FLAT * (40 - n), test).generated_BT, None

    return replace(text_batch(VARIED, test), tempered=tempered)  # type: ignore[arg-type]


def curve(batch: EvaluationBatch, n: int) -> dict[float, tuple[float, float]]:
    """Self-BLEU-4 and BLEU-4 of the first n sentences at each temperature."""
    found = {}
    for t in TEMPERATURES:
        assert batch.tempered is not None
        of = Overlap()(replace(batch, generated_BT=batch.tempered(t)[0][:n]))
        found[t] = of["self_bleu_4"], of["bleu_4"]
    return found


SHARES = {t: (t - 0.3) / 1.2 for t in TEMPERATURES}


@pytest.mark.parametrize("n_test", [30, 50])
def test_it_is_on_the_line_between_the_temperatures_around_the_diversity_of_real_sequences(n_test: int) -> None:
    test = [*REAL[:14], *FLAT * (n_test - 14)]
    batch, n = batch_of(test, SHARES), min(n_test, 40)
    found = RealDiversity()(batch)
    real = Overlap()(replace(batch, generated_BT=batch.test_BT[:n]))["self_bleu_4"]
    assert (found["self_bleu_4_real"], found["real_sequences"], found["real_protocol"]) == (real, n, 1)
    points = curve(batch, n)
    (x, y), (x_next, y_next) = next(
        (points[a], points[b]) for a, b in itertools.pairwise(TEMPERATURES) if points[a][0] <= real <= points[b][0]
    )
    assert found["bleu_4_real"] == pytest.approx(y + (y_next - y) * (real - x) / (x_next - x))
    assert x < x_next
    assert y != y_next


@pytest.mark.parametrize("test", [REAL, FLAT * 40])
def test_a_diversity_that_no_temperature_reaches_leaves_it_out(test: list[tuple[int, ...]]) -> None:
    found = RealDiversity()(batch_of(test, SHARES))
    assert RealDiversity.columns.keys() - found.keys() == {"bleu_4_real"}


def test_without_a_temperature_or_another_sequence_nothing_is_measured() -> None:
    for batch in (text_batch(VARIED, REAL), batch_of(FLAT, SHARES)):
        assert measure(batch, ["text_temperatures"]) == measure(batch)
