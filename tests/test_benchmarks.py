"""The benchmarks: that their statistics are right, and that the docs say what the results say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import rewards, speed, stable_baselines, text
from benchmarks.page import replace_section, section


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


@pytest.mark.skipif(not rewards.FILE.exists(), reason="no results are committed")
def test_the_tables_of_rewards_are_made_from_the_committed_results() -> None:
    assert rewards.tables(json.loads(rewards.FILE.read_text())) == section(rewards.PAGE, "rewards")


@pytest.mark.skipif(not text.FILE.exists(), reason="no results are committed")
def test_the_tables_of_real_text_are_made_from_the_committed_results() -> None:
    assert text.tables(json.loads(text.FILE.read_text(encoding="utf-8"))) == section(text.PAGE, "text")


@pytest.mark.skipif(not stable_baselines.FILE.exists(), reason="no results are committed")
def test_the_table_of_stable_baselines_is_made_from_the_committed_results() -> None:
    document = json.loads(stable_baselines.FILE.read_text())
    assert stable_baselines.table(document) == section(stable_baselines.PAGE, "stable_baselines")
    for run in document["runs"]:
        assert run["timesteps"] >= 50_000
        assert run["versions"] == list(range(len(run["versions"])))
        assert np.ptp(run["mean_reward"]) > 0.1


@pytest.mark.skipif(not rewards.FILE.exists(), reason="no results are committed")
def test_with_the_exact_reward_the_agent_passes_maximum_likelihood_at_any_temperature() -> None:
    """In each committed scenario the 95 % interval of the difference in reverse divergence lies below 0."""
    for scenario in json.loads(rewards.FILE.read_text())["scenarios"].values():
        rows = scenario["rows"]
        pairs = zip(rows["SeqGAN exact"], rows["best temperature"], strict=True)
        mean, half = rewards.interval([a["kl_reverse"] - b["kl_reverse"] for a, b in pairs])
        assert mean + half < 0


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    replace_section(page, "x", "new\n")
    assert page.read_text() == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="once each"):
        replace_section(page, "y", "new\n")


def test_the_tables_of_speed_are_made_from_the_committed_results() -> None:
    documents = [json.loads(file.read_text()) for file in speed.result_files()]
    assert "\n".join(speed.tables(document) for document in documents) == section(speed.PAGE, "speed")
