"""The statistics of few runs, against slow forms and in limiting cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from agents.sweeps.statistics import improvement, interquartile_mean, profile, trimmed_mean


@pytest.mark.parametrize("n", range(1, 14))
def test_the_trimmed_mean_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(3, n))
    np.testing.assert_allclose(trimmed_mean(values), stats.trim_mean(values, 0.25, axis=1), atol=1e-12)


def test_a_task_is_drawn_as_often_as_it_was_run() -> None:
    """Within a task nothing varies, so an interval that is stratified has no width."""
    assert interquartile_mean([1.0] * 4, [9.0] * 4) == (5.0, 5.0, 5.0)


def test_one_run_that_went_astray_weighs_little() -> None:
    """The interquartile mean of five is that of the middle three, and its interval lies about it."""
    mean, low, high = interquartile_mean([1.0, 2.0, 3.0, 4.0, 1000.0])
    assert mean == pytest.approx(3.0)
    assert 1.0 <= low < mean < high
    assert interquartile_mean([2.0] * 5) == (2.0, 2.0, 2.0)
    rng = np.random.default_rng(0)
    covered = sum(low <= 3 <= high for _, low, high in map(interquartile_mean, rng.normal(3.0, 2.0, size=(300, 20))))
    assert covered > 0.85 * 300


def test_the_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    found = [interquartile_mean(*rng.normal([[0.0], [4.0]], 1.0, size=(2, 12)), n_resamples=300) for _ in range(200)]
    covered = sum(low <= 2 <= high for _, low, high in found)
    assert 170 <= covered <= 200  # 0.9 of 200 less two standard errors; the bootstrap of few runs is too narrow


def test_the_probability_of_improvement_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(1)
    theirs, ours = ([rng.integers(6, size=n).astype(float) for n in (4, 5)] for _ in range(2))
    shares = [
        np.mean([(y < x) + 0.5 * (y == x) for x, y in itertools.product(a, b)])
        for a, b in zip(theirs, ours, strict=True)
    ]
    found = improvement(theirs, ours)
    assert found.value == pytest.approx(np.mean(shares))
    assert found.low <= found.value <= found.high
    assert improvement(ours, theirs).value == pytest.approx(1 - found.value)
    assert improvement([[2.0, 3.0]], [[0.0, 1.0]]) == (1.0, 1.0, 1.0)


def test_a_profile_gives_each_task_the_same_weight() -> None:
    shares = profile([[1.0, 3.0], [1.0, 1.0, 1.0, 3.0]], np.array([0.0, 1.0, 2.9, 3.0]))
    np.testing.assert_allclose(shares, [0, 0.625, 0.625, 1])
