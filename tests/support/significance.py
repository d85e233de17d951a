"""Statistical tests with a stated error rate.

Each of them would reject a right implementation with probability ``FALSE_ALARM`` if its seed were drawn anew; the seeds
are fixed, so a test that passes once passes always. Suffixes: R runs, K quantities measured in each.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

FALSE_ALARM = 1e-3

Array = npt.NDArray[Any]


def assert_frequencies(counts: Array, probabilities: Array, n_tests: int = 1) -> None:
    """A chi-square test of counts against probabilities, one of ``n_tests`` that share the error rate.

    The rarest outcomes are put together to 5 expected or more.
    """
    assert counts[probabilities == 0].sum() == 0
    order = np.argsort(probabilities)
    expected = counts.sum() * probabilities[order]
    n_rare = int(np.searchsorted(np.cumsum(expected), 5.0)) + 1
    observed = np.r_[counts[order][:n_rare].sum(), counts[order][n_rare:]]
    expected = np.r_[expected[:n_rare].sum(), expected[n_rare:]]
    assert len(expected) > 1, "too few draws, or a single outcome: nothing would be tested"
    assert stats.chisquare(observed, expected * counts.sum() / expected.sum()).pvalue > FALSE_ALARM / n_tests


def assert_same_distribution(counts: Array, other_counts: Array) -> None:
    """A chi-square test of two samples of the same kinds of outcome, those that occur in neither left out."""
    table = np.stack([counts, other_counts])
    table = table[:, table.sum(axis=0) > 0]
    assert table.shape[1] > 1, "a single outcome: nothing would be tested"
    assert stats.chi2_contingency(table).pvalue > FALSE_ALARM


def counts_of(rows_BT: Array, outcomes_BT: Array) -> Array:
    """How often each of the outcomes is among the rows; every row must be one of them."""
    counter = Counter(map(tuple, rows_BT.tolist()))
    counts = np.array([counter.pop(tuple(row), 0) for row in outcomes_BT.tolist()])
    assert not counter
    return counts


def z_scores(samples_RK: Array, mean_K: Array) -> Array:
    """How many standard errors the mean over independent runs is from ``mean_K``; 0 where all runs agree with it."""
    error_K = samples_RK.std(axis=0, ddof=1) / np.sqrt(len(samples_RK))
    off_K = samples_RK.mean(axis=0) - mean_K
    exact_K = np.isclose(samples_RK.mean(axis=0), mean_K, rtol=1e-9, atol=1e-12)
    return np.where(exact_K, 0.0, off_K / np.where(exact_K, 1.0, np.maximum(error_K, 1e-300)))


def z_limit(n_quantities: int) -> float:
    """The largest of so many z-scores is above it with probability ``FALSE_ALARM`` (Bonferroni's bound)."""
    return float(stats.norm.isf(FALSE_ALARM / (2 * n_quantities)))


def assert_mean(samples_RK: Array, mean_K: Array) -> None:
    """Every mean over independent runs is where it should be, to within its own standard error."""
    assert len(samples_RK) >= 100, "the normal approximation needs runs"
    assert np.abs(z_scores(samples_RK, mean_K)).max() < z_limit(len(mean_K))


def assert_not_mean(samples_RK: Array, mean_K: Array) -> None:
    """The runs are enough to tell their mean from ``mean_K``: what ``assert_mean`` accepts is not everything."""
    assert np.abs(z_scores(samples_RK, mean_K)).max() > z_limit(len(mean_K))
