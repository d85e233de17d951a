"""The trainers of rows that play no game of policy gradients, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from agents.adversary import trainer_of
from agents.rivals import (
    CooperativeConfig,
    CooperativeTrainer,
    DistillationConfig,
    DistillationTrainer,
    RelaxedConfig,
    RelaxedTrainer,
    ScheduledSamplingConfig,
    ScheduledSamplingTrainer,
    SelfAdversarialConfig,
    SelfAdversarialTrainer,
)
from agents.runs.config import RunConfig
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.discriminators import GenerativeDiscriminator, build_discriminator, load_discriminator

Settings = TypeVar("Settings", bound=LikelihoodConfig)
Builder = Callable[[AutoregressiveModel, RunConfig, Path, int], MaximumLikelihoodTrainer]
"""Makes a trainer of a generator, for the settings of a run, with the file of the language models, for some epochs."""


def _settings(config: RunConfig, kind: type[Settings], **changes: Any) -> Settings:
    """Those of the run's maximum likelihood, with some changed."""
    names = [each.name for each in dataclasses.fields(LikelihoodConfig)]
    return kind(**{name: getattr(config.pretraining, name) for name in names} | changes)


def _alone(trainer: type[MaximumLikelihoodTrainer], kind: type[LikelihoodConfig], **changes: Any) -> Builder:
    """A trainer that needs a generator alone."""

    def build(generator: AutoregressiveModel, config: RunConfig, models: Path, n: int) -> MaximumLikelihoodTrainer:
        return trainer(generator, _settings(config, kind, **changes), config.seed, total_epochs=n)

    return build


def _relaxed(generator: AutoregressiveModel, config: RunConfig, models: Path, n: int) -> Any:
    task = config.task
    network = build_discriminator(
        task.discriminator, generator.spec, seed=config.seed, kwargs=task.discriminator_kwargs
    ).to(generator.device)
    settings = _settings(config, RelaxedConfig, learning_rate=1e-4)
    trainer = trainer_of(network, config.adversary, config.seed)
    return RelaxedTrainer(generator, trainer, settings, config.seed, total_epochs=n)


def _distillation(generator: AutoregressiveModel, config: RunConfig, models: Path, n: int) -> Any:
    discriminator = load_discriminator(models)
    assert isinstance(discriminator, GenerativeDiscriminator)
    teachers = [member.to(generator.device) for member in discriminator.language_models]
    settings = _settings(config, DistillationConfig, learning_rate=0.01, dropout=False)
    return DistillationTrainer(generator, teachers, settings, config.seed, total_epochs=n)


RIVALS: dict[str, Builder] = {
    "scheduled sampling": _alone(ScheduledSamplingTrainer, ScheduledSamplingConfig, final_real_share=0.5),
    "cooperative": _alone(CooperativeTrainer, CooperativeConfig, learning_rate=1e-3, mediator_learning_rate=1e-3),
    "self-adversarial": _alone(SelfAdversarialTrainer, SelfAdversarialConfig, learning_rate=1e-3),
    "relaxed": _relaxed,
    "distillation": _distillation,
}
"""The step sizes, and the dropout of distillation, are the best of those that were tried on seed 100."""
