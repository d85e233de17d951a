"""The benchmark of the discriminators: the settings of its language models, and its tables."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch

from agents.adversary import Adversary, RoundConfig
from agents.runs.evaluation import optimal_discriminator
from agents.runs.presets import PRESETS
from benchmarks import discriminators
from benchmarks.discriminators import KINDS, Cell
from benchmarks.language_models import N_REAL, TASKS, models_of
from benchmarks.rewards.games import SCENARIOS
from seqgan_env.discriminators import DISCRIMINATORS, build_discriminator, discriminator_scores
from seqgan_env.discriminators.generative import GenerativeConfig
from seqgan_env.discriminators.optimal import share_of_optimum
from seqgan_env.seeding import derived_seed
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from tests.support.builders import ORACLE, make_generator


def models(task: str, n_real: str) -> GenerativeConfig:
    return GenerativeConfig(**models_of(task, n_real))


@pytest.mark.parametrize("task", TASKS)
def test_the_language_models_are_those_of_the_games_where_the_data_are(task: str) -> None:
    scenario = SCENARIOS[TASKS[task]]
    assert scenario.config == PRESETS[task]
    generator = {"generator_core": scenario.config.generator.core, "generator_kwargs": scenario.config.generator.kwargs}
    of_the_game = scenario.games["generative"]["task"]["discriminator_kwargs"]
    assert models(task, "10,000") == GenerativeConfig(**of_the_game, **generator)
    assert (models(task, "2,000").validation, models(task, "unlimited").validation) == (0.1, 0.0)


def test_unlimited_sequences_are_learnt_in_fewer_passes() -> None:
    assert models("grammar", "10,000").n_epochs == 10 * models("grammar", "unlimited").n_epochs
    assert models("small", "unlimited").hidden_dim > models("small", "10,000").hidden_dim


def test_the_best_round_is_measured_on_what_nothing_was_chosen_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log-losses of the rounds are told: the second is the best, and two without a better one end it."""
    told, weights, seed = iter([0.6, 0.5, 0.55, 0.52, 0.1]), [], 3
    task = Task(TaskConfig(**{**ORACLE, "discriminator_kwargs": {}}))
    generator = make_generator("lstm", task.spec).float()
    before = copy.deepcopy(generator.state_dict())
    first, second = np.split(task.held_out_sequences, 2)

    class Told(Adversary):
        def round(self, negatives: Any) -> dict[str, float]:
            np.testing.assert_array_equal(self.held_out, first)
            np.testing.assert_array_equal(self.real, task.real_sequences)
            assert negatives.generator is generator
            scores = super().round(negatives)
            weights.append(copy.deepcopy(self.trainer.discriminator.state_dict()))
            return {**scores, "log_loss": next(told)}

    monkeypatch.setattr(discriminators, "Adversary", Told)
    monkeypatch.setattr(discriminators, "task_of", lambda name: task)
    monkeypatch.setattr(discriminators, "strong_generator", lambda *of: generator)
    monkeypatch.setattr(discriminators, "ROUND", RoundConfig(n_generated=64, learning_rate=0.01, n_held_out=20))
    monkeypatch.setattr(discriminators, "N_HELD_OUT", 40)
    monkeypatch.setattr(discriminators, "PATIENCE", 2)
    cell = Cell("small", "2,000", "cnn", seed)
    result = discriminators.measure(cell, tmp_path)
    assert (result["rounds"], len(weights)) == (4, 4)
    best = build_discriminator("cnn", task.spec, kwargs=discriminators.CNN)
    best.load_weights(weights[1])
    generated = generator.draw(40, seed=derived_seed(seed, "test"))
    optimum = optimal_discriminator(task.source, generator)  # type: ignore[arg-type]
    logits, exact = ((d.logits(second), d.logits(generated)) for d in (best, optimum))
    expected = discriminator_scores(*logits) | {"share": share_of_optimum(logits, exact)}
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert all(torch.equal(before[name], weight) for name, weight in generator.state_dict().items())
    assert discriminators.measure(cell, tmp_path) == result  # read, not made again


def document() -> dict[str, Any]:
    cells = [
        Cell("small", n_real, kind, seed)._asdict()
        | {"share": 0.1 * seed, "correlation": 0.5, "seconds": 3.0 * seed}
        | {"rounds": 40 if (n_real, kind, seed) == ("unlimited", "gru", 3) else 7}
        for n_real in N_REAL
        for kind in KINDS
        for seed in (1, 3)
    ]
    return {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 3], "cells": cells}


def test_a_row_has_every_number_of_sequences(tmp_path: Path) -> None:
    text = discriminators.tables(document(), tmp_path)
    (row,) = (line for line in text.splitlines() if line.startswith("| gru |"))
    assert row.split(" | ")[1:4] == ["0.20 ± 1.27", "0.20 ± 1.27", "0.20 ± 1.27 ↑"]
    assert row.endswith("| 6 |")
    assert (tmp_path / "discriminators.svg").read_text().count("gru") == 1


@pytest.mark.skipif(not discriminators.FILE.exists(), reason="no results are committed")
@pytest.mark.parametrize(("row", "kind"), [("three cnn" if k == "ensemble" else k, k) for k in DISCRIMINATORS])
def test_the_costs_of_the_page_are_those_of_the_committed_results(row: str, kind: str) -> None:
    cells = json.loads(discriminators.FILE.read_text(encoding="utf-8"))["cells"]
    own = [c for c in cells if (c["task"], c["n_real"], c["kind"]) == ("grammar", "10,000", row)]
    per_round = [cell["seconds"] / cell["rounds"] for cell in own]
    if not own:
        says = "Not measured"
    elif kind == "generative":
        says = f"{median(per_round):.0f} s, once"
    else:
        says = f"{median(per_round):.1f} s a round"
    assert says in DISCRIMINATORS[kind].cost
