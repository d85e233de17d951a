"""The language models of a generative discriminator: their settings, fitted once for several runs, and as teachers.

The last is the control of ``benchmarks.agent``: it has what the game has, those models and the time.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from agents.agent_file import generator_weights
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.folder import RunFolder, check_same
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURES
from agents.runs.presets import PRESETS
from benchmarks.curves import KEPT
from benchmarks.harness import keep_result, kept_result
from benchmarks.paper.rivals import RIVALS
from benchmarks.rewards.games import SCENARIOS
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import (
    build_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.discriminators.generative import GenerativeConfig
from seqgan_env.task import Task

TASKS = {"grammar": "large generator", "small": "synthetic oracle"}
"""The presets whose games are studied; ``benchmarks.rewards.games`` has the settings of their language models."""
N_LIKELIHOOD = 10_000
"""Real sequences that the presets have, and that the settings are for."""
N_REAL: dict[str, int] = {"2,000": 2_000, "10,000": N_LIKELIHOOD, "unlimited": 100_000}
"""Real sequences that a discriminator learns from; "unlimited" are as many as none learns by heart in its time."""
LARGER = {"small": {"n_members": 3, "hidden_dim": 128, "dropout": 0.0, "n_epochs": 140}}
"""Settings of language models where sequences are unlimited, found on seed 100, as the games' are."""


def models_of(task: str, n_real: str) -> dict[str, Any]:
    """The settings of a generative discriminator: those of its games, in about as many updates.

    Args:
        task: a key of ``TASKS``.
        n_real: a key of ``N_REAL``. With fewer sequences than the games have, each member chooses its epoch on some
            that it leaves out.

    Returns:
        Fields of ``GenerativeConfig``.
    """
    core, n = PRESETS[task].generator, N_REAL[n_real]
    models = SCENARIOS[TASKS[task]].games["generative"]["task"]["discriminator_kwargs"]
    if n > N_LIKELIHOOD:
        models = {**models, **LARGER.get(task, {})}
    n_epochs = models.get("n_epochs", GenerativeConfig.n_epochs)
    return {
        **models,
        "n_epochs": max(1, n_epochs * N_LIKELIHOOD // max(n, N_LIKELIHOOD)),
        "validation": 0.1 if n < N_LIKELIHOOD else models["validation"],
        "generator_core": core.core,
        "generator_kwargs": core.kwargs,
    }


def fit(config: RunConfig, file: Path, settings: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Fit the language models of the generative discriminator and write it, so that several runs can have it.

    Args:
        config: the task and its generator.
        file: where the discriminator is written; one that is there is left as it is.
        settings: fields of ``GenerativeConfig``.

    Raises:
        ValueError: the one that is there has other settings.
    """
    torch.set_num_threads(1)
    task, generator = Task(config.task), config.generator
    kwargs = {"generator_core": generator.core, "generator_kwargs": generator.kwargs, **settings}
    discriminator = build_discriminator("generative", task.spec, seed=config.seed, kwargs=kwargs)
    if file.exists():
        theirs, ours = (dataclasses.asdict(each.config) for each in (load_discriminator(file), discriminator))
        check_same(theirs, ours, f"the discriminator in {file}")
        return
    discriminator.to(resolve_device(config.runtime.device))
    discriminator.fit_real(task.real_sequences, config.seed)
    save_discriminator(discriminator, file)


def distil(config: RunConfig, start: Path, learned: Path, seconds: float, file: Path) -> dict[str, Any]:
    """Teach a generator token by token what the language models of a discriminator know: the control without a game.

    On real prefixes and on the generator's own, for as many epochs as take the time of a game, by the time of one.

    Args:
        config: of the run whose maximum likelihood it starts from.
        start: that run's folder.
        learned: the file of the generative discriminator.
        seconds: the time of the game.
        file: of the result, which is read if it is there.

    Returns:
        A row of the results.
    """
    rival = RIVALS["distillation"]
    made_with = {
        "config": config.to_dict(),
        "models": dataclasses.asdict(load_discriminator(learned).config),
        "rival": dataclasses.asdict(rival.settings(config)),
    }
    if (done := kept_result(file, ("seconds", "n_epochs", "records"), made_with)) is not None:
        return done
    torch.set_num_threads(1)
    task, seed = Task(config.task), config.seed
    generator = AutoregressiveModel(task.spec, config.generator.core, **config.generator.kwargs)
    generator.load_state_dict(generator_weights(RunFolder(start).load_state(pretrained=True)[1]["agent"]))
    generator.eval()

    def learn(model: AutoregressiveModel, n_epochs: int) -> float:
        trainer = rival.trainer(model, config, learned, n_epochs)
        started = time.perf_counter()
        for _ in range(n_epochs):
            trainer.epoch(task.real_sequences)
        return time.perf_counter() - started

    n_epochs = max(1, round(seconds / learn(copy.deepcopy(generator), 1)))
    elapsed = learn(generator, n_epochs)
    evaluator = Evaluator(task, generator, config.evaluation.n, seed)
    measured = [{"temperature": t, **evaluator.measure("record", t)} for t in TEMPERATURES]
    records = [{name: m[name] for name in KEPT} | {"phase": FINAL_TEMPERATURE} for m in measured]
    row = {"seconds": elapsed, "n_epochs": n_epochs, "records": records}
    return keep_result(file, row, made_with)
