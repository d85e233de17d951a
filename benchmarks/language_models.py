"""The language models of a generative discriminator: their settings, and models that several runs share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from agents.runs.config import RunConfig
from agents.runs.presets import PRESETS
from benchmarks.harness import keep_result, kept_result
from benchmarks.rewards.games import SCENARIOS
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import build_discriminator, load_discriminator, save_discriminator
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
        file: where the discriminator is written, and beside it of what it was made; one that is there is left as it is,
            and one that was interrupted goes on after the last model that it had fitted.
        settings: fields of ``GenerativeConfig``.

    Raises:
        ValueError: the one that is there has other settings or has learnt other sequences.
    """
    torch.set_num_threads(1)
    task, generator = Task(config.task), config.generator
    kwargs = {"generator_core": generator.core, "generator_kwargs": generator.kwargs, **settings}
    discriminator = build_discriminator("generative", task.spec, seed=config.seed, kwargs=kwargs)
    made_with = {
        "models": dataclasses.asdict(discriminator.config),
        "real": hashlib.sha256(task.real_sequences.tobytes()).hexdigest(),
        "seed": config.seed,
    }
    done = file.with_suffix(".json")
    if kept_result(done, (), made_with) is not None and file.exists():
        return
    part = file.with_suffix(".part")
    begun = part.with_suffix(".begun.json")
    if kept_result(begun, (), made_with) is not None and part.exists():
        discriminator = load_discriminator(part)
    file.parent.mkdir(parents=True, exist_ok=True)
    keep_result(begun, {}, made_with)
    discriminator.to(resolve_device(config.runtime.device))
    discriminator.fit_real(task.real_sequences, config.seed, lambda: save_discriminator(discriminator, part))
    save_discriminator(discriminator, file)
    keep_result(done, {}, made_with)
    part.unlink(missing_ok=True)
    begun.unlink()
