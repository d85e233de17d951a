"""The phases of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agents.experiment import Experiment
from tests.support.runs import TINY


def test_maximum_likelihood_keeps_its_best_epoch(tmp_path: Path) -> None:
    config = dataclasses.replace(
        TINY, n_real=20, generator_epochs=60, generator_patience=3, n_updates=0, generator_learning_rate=0.05
    )
    records = Experiment(config, tmp_path / "run", progress=False).run()
    likelihood = [r for r in records if r["phase"] == "maximum_likelihood"]
    best = min(likelihood, key=lambda r: r["nll_validation"])
    assert best["step"] < likelihood[-1]["step"] == best["step"] + 4 < 60
    kept = next(r for r in records if (r["phase"], r["step"]) == ("adversarial", 0))
    assert kept["nll_test"] == pytest.approx(best["nll_test"], rel=1e-6)
