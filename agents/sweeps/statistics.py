"""Few runs on few tasks, summed up as arXiv 2108.13264 proposes.

A stratum holds the scores of the runs of one task. Intervals are of the percentile bootstrap, stratified: each stratum
is drawn from for itself, so that no task is drawn more often than it was run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scores = Sequence[float] | Floats
"""The scores of the runs of one task."""
N_RESAMPLES = 10_000
_LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    """The estimate."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""


def trimmed_mean(values: Floats) -> Floats:
    """The mean of the middle half along the last axis; of fewer than four values that of all."""
    n_cut = int(0.25 * values.shape[-1])
    middle: Floats = np.sort(values, axis=-1)[..., n_cut : values.shape[-1] - n_cut].mean(axis=-1)
    return middle


def interquartile_mean(*strata: Scores, n_resamples: int = N_RESAMPLES) -> Interval:
    """The mean of the middle half of all runs: one that went astray weighs little.

    Of five seeds it is the mean of the middle three, and the interval is narrower than it should be.

    Args:
        *strata: the scores of each task.
        n_resamples: of the bootstrap.
    """
    drawn = np.concatenate(_resampled(strata, n_resamples), axis=1)
    return _interval(float(trimmed_mean(np.concatenate([_floats(each) for each in strata]))), trimmed_mean(drawn))


def improvement(theirs: Sequence[Scores], ours: Sequence[Scores]) -> Interval:
    """The probability that a run of ours is below one of theirs on the same task, a tie being half; lower is better.

    Args:
        theirs: the scores of each task.
        ours: those of the same tasks.
    """
    n_resamples = 2_000  # each compares every pair of runs
    drawn = zip(_resampled(theirs, n_resamples), _resampled(ours, n_resamples, seed=1), strict=True)
    of_draws = np.mean([_below(x, y) for x, y in drawn], axis=0)
    value = np.mean([_below(_floats(x), _floats(y)) for x, y in zip(theirs, ours, strict=True)])
    return _interval(float(value), of_draws)


def profile(strata: Sequence[Scores], thresholds: Floats) -> Floats:
    """The share of runs whose score is at most each threshold, with the same weight for each task.

    Args:
        strata: the scores of each task.
        thresholds: shape ``(K,)``.

    Returns:
        Shape ``(K,)``.
    """
    shares = [(_floats(each)[:, None] <= thresholds).mean(axis=0) for each in strata]
    mean: Floats = np.mean(shares, axis=0)
    return mean


def _floats(scores: Scores) -> Floats:
    return np.asarray(scores, dtype=np.float64)


def _resampled(strata: Sequence[Scores], n: int, seed: int = 0) -> list[Floats]:
    """Each stratum drawn anew ``n`` times, with replacement."""
    rng = np.random.default_rng(seed)
    return [_floats(each)[rng.integers(len(each), size=(n, len(each)))] for each in strata]


def _below(x: Floats, y: Floats) -> Floats:
    """The share of pairs in which y is below x, along the last axes."""
    differences = x[..., :, None] - y[..., None, :]
    share: Floats = ((differences > 0) + 0.5 * (differences == 0)).mean(axis=(-2, -1))
    return share


def _interval(value: float, draws: Floats) -> Interval:
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(value, float(low), float(high))
