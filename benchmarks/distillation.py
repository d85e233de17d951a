"""Training of a generator without a game: the controls of the games that language models judge.

It is taught by those models, or learns from the real sequences for as long.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from agents.agent_file import generator_weights
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.folder import RunFolder
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURES
from benchmarks.curves import KEPT
from benchmarks.harness import keep_result, kept_result
from benchmarks.paper.rivals import RIVALS, Rival, alone
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.discriminators import load_discriminator
from seqgan_env.task import Task

_ON_REAL = {"learning_rate": 0.02, "own_share": 0.0}
TEACHING: dict[str, Rival] = {
    "forward": RIVALS["distillation"]._replace(changes=_ON_REAL),
    "reverse": RIVALS["distillation"]._replace(changes={**_ON_REAL, "divergence": "reverse_kl"}),
}
"""By the divergence that falls, on real prefixes alone: the ways to teach a generator that is too small, with the best
of the settings that were tried on seeds 100 and 101."""
MORE = Rival(alone(MaximumLikelihoodTrainer), LikelihoodConfig, {})
"""More maximum likelihood, its step size falling anew."""


def train(
    config: RunConfig, start: Path, learned: Path, n_epochs: int, file: Path, rival: Rival = RIVALS["distillation"]
) -> dict[str, Any]:
    """Train the generator of a start without a game, by default as language models teach one that is large enough.

    Args:
        config: of the run whose maximum likelihood it starts from.
        start: that run's folder.
        learned: the file of the generative discriminator.
        n_epochs: passes over the real sequences.
        file: of the result, which is read if it is there.
        rival: how; by default token by token on real prefixes and on the generator's own.

    Returns:
        A row of the results.
    """
    made_with = {
        "config": config.to_dict(),
        "models": dataclasses.asdict(load_discriminator(learned).config),
        "rival": dataclasses.asdict(rival.settings(config)),
        "n_epochs": n_epochs,
    }
    if (done := kept_result(file, ("seconds", "n_epochs", "records"), made_with)) is not None:
        return done
    torch.set_num_threads(1)
    task, seed = Task(config.task), config.seed
    generator = AutoregressiveModel(task.spec, config.generator.core, **config.generator.kwargs)
    generator.load_state_dict(generator_weights(RunFolder(start).load_state(pretrained=True)[1]["agent"]))
    generator.eval()
    trainer = rival.trainer(generator, config, learned, n_epochs)
    started = time.perf_counter()
    for _ in range(n_epochs):
        trainer.epoch(task.real_sequences)
    elapsed = time.perf_counter() - started
    evaluator = Evaluator(task, generator, config.evaluation.n, seed)
    measured = [{"temperature": t, **evaluator.measure("record", t)} for t in TEMPERATURES]
    records = [{name: m[name] for name in KEPT} | {"phase": FINAL_TEMPERATURE} for m in measured]
    row = {"seconds": elapsed, "n_epochs": n_epochs, "records": records}
    return keep_result(file, row, made_with)
