"""The phases of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.experiment import Experiment
from tests.support.runs import TINY, changed


def test_maximum_likelihood_keeps_its_best_epoch(tmp_path: Path) -> None:
    config = changed(
        TINY,
        task={"n_real": 20},
        pretraining={"n_epochs": 60, "patience": 3, "learning_rate": 0.05},
        agent={"n_updates": 0},
    )
    records = Experiment(config, tmp_path / "run", progress=False).run()
    likelihood = [r for r in records if r["phase"] == "maximum_likelihood"]
    best = min(likelihood, key=lambda r: r["nll_validation"])
    assert best["step"] < likelihood[-1]["step"] == best["step"] + 4 < 60
    kept = next(r for r in records if (r["phase"], r["step"]) == ("adversarial", 0))
    assert kept["nll_test"] == pytest.approx(best["nll_test"], rel=1e-6)
