"""The phases of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.runs.experiment import Experiment
from agents.runs.phases import MaximumLikelihood
from tests.support.runs import TINY, changed, without_time

pytestmark = pytest.mark.usefixtures("without_pictures")


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


def test_of_many_epochs_some_are_measured_and_the_best_one(tmp_path: Path) -> None:
    config = changed(
        TINY, task={"n_real": 20}, pretraining={"n_epochs": 80, "learning_rate": 0.05}, agent={"n_updates": 0}
    )
    experiment = Experiment(config, tmp_path / "run", progress=False)
    measured = [r for r in experiment.run() if r["phase"] == "maximum_likelihood"]
    steps = [r["step"] for r in measured]
    assert steps[:-1] == [*list(range(3, 80, 3)), 80]
    assert steps[-1] not in steps[:-1]  # so this test's best epoch is one that is measured for being that
    best = min(measured, key=lambda r: r["nll_validation"])
    assert best is measured[-1]
    kept = experiment.game.evaluator.validation_nll()
    assert kept == pytest.approx(best["nll_validation"], rel=1e-6)


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    parts = {"n_epochs": 12, "learning_rate": 0.1, "schedule": "constant", "keep_last": True}
    experiment = Experiment(changed(TINY, task={"n_real": 20}, pretraining=parts), tmp_path / "run", progress=False)
    records = experiment.run(pretraining_only=True)
    nll_E = [r["nll_validation"] for r in records if r["phase"] == "maximum_likelihood"]
    assert len(nll_E) == 12
    assert nll_E[-1] > min(nll_E) + 0.1
    assert experiment.game.evaluator.validation_nll() == pytest.approx(nll_E[-1], rel=1e-6)


def test_every_epoch_is_told_and_what_that_raises_ends_maximum_likelihood(tmp_path: Path) -> None:
    config = changed(TINY, task={"n_real": 20}, pretraining={"n_epochs": 80})  # the third is the first one measured
    experiment = Experiment(config, tmp_path / "run", progress=False)
    told: list[tuple[int, float]] = []

    def on_epoch(epoch: int, nll: float) -> None:
        told.append((epoch, nll))
        if epoch == 2:
            raise LookupError

    with pytest.raises(LookupError):
        MaximumLikelihood(on_epoch).run(experiment.game, experiment)
    assert [epoch for epoch, _ in told] == [1, 2]
    assert told[-1][1] == experiment.game.evaluator.validation_nll() != told[0][1]


OVERFITS = changed(
    TINY,
    task={"n_real": 20},
    pretraining={"n_epochs": 1},
    adversary={"n_rounds": 60, "n_held_out": 100, "learning_rate": 0.05, "patience": 3, "n_epochs": 2},
    agent={"n_updates": 0},
)
"""A discriminator that learns twenty sequences by heart."""


def test_the_discriminator_s_pretraining_goes_back_to_its_best_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(OVERFITS, tmp_path / "run", progress=False)
    adversary, losses, states = experiment.game.adversary, [], []
    play = adversary.round

    def spy(negatives: Any) -> dict[str, float]:
        scores = play(negatives)
        losses.append(scores["log_loss"])
        states.append(adversary.trainer.snapshot())
        return scores

    monkeypatch.setattr(adversary, "round", spy)
    experiment.run()
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 60
    kept = adversary.trainer.discriminator.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in states[best]["discriminator"].items())
    assert any(not torch.equal(kept[name], weight) for name, weight in states[-1]["discriminator"].items())


def test_an_interrupted_pretraining_of_the_discriminator_remembers_its_best_round(tmp_path: Path) -> None:
    config = changed(OVERFITS, adversary={"n_rounds": 20})
    whole = Experiment(config, tmp_path / "whole", progress=False).run()

    class Interrupted(Experiment):
        def keep(self) -> None:
            super().keep()
            if [r["phase"] for r in self.records].count("discriminator") == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted(config, tmp_path / "stopped", progress=False).run()
    resumed = Experiment(config, tmp_path / "stopped", resume=True, progress=False).run()
    assert without_time(resumed) == without_time(whole)


def test_cross_fitting_gives_each_side_real_sequences_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(TINY, pretraining={"n_epochs": 1, "real_share": 0.4}, adversary={"skip_real": 0.4, "n_rounds": 1})
    experiment = Experiment(config, tmp_path / "run", progress=False)
    seen: dict[str, list[Any]] = {"likelihood": [], "discriminator": []}
    likelihood, trainer = experiment.game.likelihood_trainer, experiment.game.adversary.trainer
    epoch, fit = likelihood.epoch, trainer.fit
    monkeypatch.setattr(likelihood, "epoch", lambda real: (seen["likelihood"].append(real), epoch(real))[1])
    monkeypatch.setattr(
        trainer, "fit", lambda real, *rest, **more: (seen["discriminator"].append(real), fit(real, *rest, **more))[1]
    )
    experiment.run()
    real = experiment.game.task.real_sequences
    assert len(seen["likelihood"]) == 1
    assert len(seen["discriminator"]) > 1  # before the game, and in it
    assert all(np.array_equal(own, real[:80]) for own in seen["likelihood"])
    assert all(np.array_equal(own, real[80:]) for own in seen["discriminator"])
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match="real_share must be a finite number above 0 and at most 1, got"):
            changed(TINY, pretraining={"real_share": share})
