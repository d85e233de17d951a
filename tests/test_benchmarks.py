"""The benchmarks: that their statistics are right, and that the docs say what the results say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks import rewards


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """95 % of the intervals of five normal draws hold the true mean; 4,000 trials, error rate below 1e-6."""
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, size=(4000, 5))
    covered = sum(abs(mean - 3.0) <= half for mean, half in map(rewards.interval, draws))
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], 4000, 0.95)
    assert low <= covered <= high


def test_differences_are_taken_within_a_seed() -> None:
    def record(value: float) -> dict[str, float]:
        return dict.fromkeys(rewards.DIFFERENCES, value)

    rows = {
        "max. likelihood": [record(1.0), record(9.0)],
        "best temperature": [record(2.0), record(4.0)],
        "SeqGAN exact": [record(0.5), record(8.5)],
    }
    assert "| exact − max. likelihood | -0.500 ± 0.000 |" in rewards.differences(rows)


@pytest.mark.skipif(not rewards.RESULTS.exists(), reason="no results are committed")
def test_the_page_of_results_is_made_from_the_committed_results() -> None:
    page = rewards.PAGE.read_text()
    assert rewards.tables(json.loads(rewards.RESULTS.read_text())) in page


@pytest.mark.skipif(not rewards.RESULTS.exists(), reason="no results are committed")
def test_with_the_exact_reward_the_agent_passes_maximum_likelihood_at_any_temperature() -> None:
    """In each committed scenario the 95 % interval of the difference in reverse divergence lies below 0."""
    for scenario in json.loads(rewards.RESULTS.read_text())["scenarios"].values():
        rows = scenario["rows"]
        pairs = zip(rows["SeqGAN exact"], rows["best temperature"], strict=True)
        mean, half = rewards.interval([a["kl_reverse"] - b["kl_reverse"] for a, b in pairs])
        assert mean + half < 0
