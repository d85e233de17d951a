"""The variances: the benchmark's numbers are what they say, and the docs say the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.estimator import EstimatorConfig
from benchmarks import harness, variance
from tests.support.significance import z_limit


class TestSummary:
    def test_finds_the_variance_the_bias_and_the_scale(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On draws made for it: parameters of known variance, one option biased, one of twice the length."""
        monkeypatch.setattr(variance, "REFERENCE", "a")
        monkeypatch.setattr(variance, "OPTIONS", {"a": {}, "b": {}, "c": {"normalize_advantage": True}})
        rng = np.random.default_rng(0)
        exact_K = np.array([3.0, -4.0])
        gradients = {
            "a": exact_K + rng.normal(size=(4000, 2)),
            "b": 0.9 * exact_K + 2 * rng.normal(size=(4000, 2)),
            "c": 2 * (exact_K + rng.normal(size=(4000, 2))),
        }
        seconds = {name: np.full(4000, s) for name, s in {"a": 1.0, "b": 0.5, "c": 3.0}.items()}
        rows: Any = variance.summary(gradients, seconds, exact_K)
        assert rows["a"]["variance"] == pytest.approx(2, rel=0.1)
        assert abs(rows["a"]["variance"] - 2) < 2 * rows["a"]["variance_half"]
        assert rows["b"]["variance_ratio"] == pytest.approx(4, rel=0.1)
        assert rows["b"]["product_ratio"] == pytest.approx(2, rel=0.1)
        assert rows["c"]["variance_ratio"] == pytest.approx(1, rel=0.1)  # the scale is taken out
        assert rows["c"]["scale"] == pytest.approx(2, rel=0.05)
        assert abs(rows["a"]["bias"]) < 2 * rows["a"]["bias_half"] < 0.05
        assert rows["b"]["bias"] == pytest.approx(-0.1, abs=2 * rows["b"]["bias_half"])
        assert rows["a"]["bias_z"] < 4 < rows["b"]["bias_z"]
        assert rows["c"]["bias"] is None
        assert variance.best(rows) == "a"

    def test_a_run_writes_what_the_report_reads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(harness, "describe", lambda: {"versions": {"torch": "2"}, "processor": "none", "gpu": None})
        tiny = dataclasses.replace(variance.SCENARIOS["tiny"], n_episodes=4, n_completions=1, n_rounds=0)
        monkeypatch.setattr(variance, "SCENARIOS", {"tiny": tiny})
        results, page = tmp_path / "variance.json", tmp_path / "page.md"
        variance.run(results, scale=0.0)
        page.write_text("before\n<!-- variance: begin -->\nold\n<!-- variance: end -->\nafter\n")
        variance.report(results, page)
        text = page.read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        for name in variance.OPTIONS:
            assert f"| {name} |" in text


@pytest.mark.skipif(not variance.FILE.exists(), reason="no results are committed")
class TestResults:
    DOCUMENT = json.loads(variance.FILE.read_text()) if variance.FILE.exists() else {}

    def test_they_are_of_the_options_and_scenarios_of_today(self) -> None:
        assert set(self.DOCUMENT["scenarios"]) == set(variance.SCENARIOS)
        for name, measured in self.DOCUMENT["scenarios"].items():
            assert measured["scenario"] == json.loads(json.dumps(dataclasses.asdict(variance.SCENARIOS[name])))
            assert set(measured["rows"]) == set(variance.OPTIONS)

    def test_no_option_is_biased(self) -> None:
        """The z-scores of 652 parameters with each of ten options."""
        found = [row["bias_z"] for row in self.DOCUMENT["scenarios"]["tiny"]["rows"].values()]
        assert max(z for z in found if z is not None) < z_limit(652 * 10)

    def test_the_default_baseline_is_the_best_at_the_sizes_of_a_real_run(self) -> None:
        """Of the baselines; docs/theory.md says what stratified completions save and normalised advantages cost."""
        rows = self.DOCUMENT["scenarios"]["grammar"]["rows"]
        assert variance.best({name: row for name, row in rows.items() if ", " not in name}) == "prefix"
        assert variance.best(rows).removesuffix(", stratified") == "prefix"
        default = EstimatorConfig()
        assert (default.baseline, default.normalize_advantage) == ("prefix", True)
        assert not default.stratified
        assert not default.exact_last_step
