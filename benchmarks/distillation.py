"""Direct distillation: maximum likelihood on sentences of a generative discriminator's own language models.

The control of ``benchmarks.agent``: it has what the game has, those models and the time, and no game.
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
from torch import Tensor

from agents.agent_file import generator_weights
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.folder import RunFolder, check_same
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURES
from benchmarks.harness import keep_result, kept_result
from seqgan_env.autoregressive import AutoregressiveModel, MaximumLikelihoodTrainer
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import (
    GenerativeDiscriminator,
    build_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.seeding import derived_seed, torch_rng
from seqgan_env.task import Task
from seqgan_env.tokens import Tokens

STEP = 0.005
"""The step size of Adam, the largest: it falls to 0 by a cosine."""
N_DRAWN = 2_048
"""Sentences in an epoch, which are drawn for it alone."""
KEPT = ("temperature", "nll_oracle", "nll_test", "kl_forward", "kl_reverse", "kl_sum")
"""The measurements that a row of the results keeps."""


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
    """Go on with maximum likelihood on sentences of the language models themselves: the control without a game.

    Each epoch is of fresh sentences. There are as many as take the time of the base game, by the time of one.

    Args:
        config: of the run whose maximum likelihood it starts from.
        start: that run's folder.
        learned: the file of the generative discriminator.
        seconds: its time.
        file: of the result, which is read if it is there.

    Returns:
        A row of the results.
    """
    discriminator = load_discriminator(learned)
    assert isinstance(discriminator, GenerativeDiscriminator)
    made_with = {
        "config": config.to_dict(),
        "models": dataclasses.asdict(discriminator.config),
        "learning_rate": STEP,
        "n_drawn": N_DRAWN,
    }
    if (done := kept_result(file, ("seconds", "n_epochs", "records"), made_with)) is not None:
        return done
    torch.set_num_threads(1)
    task, seed = Task(config.task), config.seed
    generator = AutoregressiveModel(task.spec, config.generator.core, **config.generator.kwargs)
    generator.load_state_dict(generator_weights(RunFolder(start).load_state(pretrained=True)[1]["agent"]))
    generator.eval()
    settings = dataclasses.replace(config.pretraining, learning_rate=STEP)

    def learn(model: AutoregressiveModel, n_epochs: int) -> None:
        trainer = MaximumLikelihoodTrainer(model, settings, seed, total_epochs=n_epochs)
        for epoch in range(n_epochs):
            trainer.epoch(draw(discriminator, N_DRAWN, derived_seed(seed, "distillation", epoch)))

    started = time.perf_counter()
    learn(copy.deepcopy(generator), 1)
    n_epochs = max(1, round(seconds / (time.perf_counter() - started)))
    started = time.perf_counter()
    learn(generator, n_epochs)
    elapsed = time.perf_counter() - started
    evaluator = Evaluator(task, generator, config.evaluation.n, seed)
    measured = [{"temperature": t, **evaluator.measure("record", t)} for t in TEMPERATURES]
    records = [{name: m[name] for name in KEPT} | {"phase": FINAL_TEMPERATURE} for m in measured]
    row = {"seconds": elapsed, "n_epochs": n_epochs, "records": records}
    return keep_result(file, row, made_with)


@torch.no_grad()
def draw(discriminator: GenerativeDiscriminator, n: int, seed: int) -> Tokens:
    """Sentences of the mixture of language models, drawn token by token, shape ``(n, T)``."""
    spec, rng = discriminator.spec, torch_rng(seed, "draw")
    members = discriminator.language_models
    states = [member.start(n) for member in members]
    tokens_BT = torch.full((n, spec.max_length), spec.pad_id)
    open_B = torch.ones(n, dtype=torch.bool)
    for t in range(spec.max_length):
        p_BV: Tensor = torch.stack([m.output(s[0]).softmax(dim=1) for m, s in zip(members, states, strict=True)]).mean(
            0
        )
        token_B = torch.multinomial(p_BV, 1, generator=rng).squeeze(1)
        tokens_BT[:, t] = torch.where(open_B, token_B, spec.pad_id)
        if spec.eos_id is not None:
            open_B &= token_B != spec.eos_id
        states = [m.step(token_B, s) for m, s in zip(members, states, strict=True)]
    return spec.validate(tokens_BT.numpy(), complete=True)
