"""The trainers of rows that play no game of policy gradients, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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

Build = Callable[[AutoregressiveModel, Any, RunConfig, Path, int], MaximumLikelihoodTrainer]
"""Makes a trainer: of a generator, with settings, for a run, with the file of the language models, for some epochs."""


class Rival(NamedTuple):
    """A way to train a generator without a game of policy gradients."""

    build: Build
    kind: type[LikelihoodConfig]
    """The class of its settings, which have the values of the run's maximum likelihood."""
    changes: Mapping[str, Any]
    """The settings that have other values."""
    needs_models: bool = False
    """Whether it begins with the language models of its seed."""

    def settings(self, config: RunConfig) -> LikelihoodConfig:
        """Its settings in a run."""
        names = [each.name for each in dataclasses.fields(LikelihoodConfig)]
        return self.kind(**{name: getattr(config.pretraining, name) for name in names} | dict(self.changes))

    def trainer(
        self, generator: AutoregressiveModel, config: RunConfig, models: Path, n_epochs: int
    ) -> MaximumLikelihoodTrainer:
        """Its trainer.

        Args:
            generator: to be trained.
            config: of the run.
            models: the file of the language models, for those that have them as teachers.
            n_epochs: that the schedule is for.
        """
        return self.build(generator, self.settings(config), config, models, n_epochs)


def alone(trainer: type[MaximumLikelihoodTrainer]) -> Build:
    """Of a trainer that needs a generator alone."""

    def build(generator: AutoregressiveModel, settings: Any, config: RunConfig, models: Path, n: int) -> Any:
        return trainer(generator, settings, config.seed, total_epochs=n)

    return build


def _cooperative(generator: AutoregressiveModel, settings: Any, config: RunConfig, models: Path, n: int) -> Any:
    """With several mediators, which begin as the language models."""
    mediators = [model.requires_grad_(True) for model in _language_models(models, generator)]
    return CooperativeTrainer(generator, settings, config.seed, mediator=mediators, total_epochs=n)


def _relaxed(generator: AutoregressiveModel, settings: Any, config: RunConfig, models: Path, n: int) -> Any:
    task = config.task
    network = build_discriminator(
        task.discriminator, generator.spec, seed=config.seed, kwargs=task.discriminator_kwargs
    ).to(generator.device)
    trainer = trainer_of(network, config.adversary, config.seed)
    return RelaxedTrainer(generator, trainer, settings, config.seed, total_epochs=n)


def _distillation(generator: AutoregressiveModel, settings: Any, config: RunConfig, models: Path, n: int) -> Any:
    teachers = _language_models(models, generator)
    return DistillationTrainer(generator, teachers, settings, config.seed, total_epochs=n)


def _language_models(file: Path, generator: AutoregressiveModel) -> list[AutoregressiveModel]:
    """Those of a generative discriminator's file, where the generator is."""
    discriminator = load_discriminator(file)
    assert isinstance(discriminator, GenerativeDiscriminator)
    return [member.to(generator.device) for member in discriminator.language_models]


_SLOW = {"learning_rate": 1e-3}
_COOPERATIVE = {**_SLOW, "mediator_learning_rate": 1e-3}
RIVALS: dict[str, Rival] = {
    "scheduled sampling": Rival(alone(ScheduledSamplingTrainer), ScheduledSamplingConfig, {"final_real_share": 0.5}),
    "cooperative": Rival(alone(CooperativeTrainer), CooperativeConfig, _COOPERATIVE),
    "cooperative, several mediators": Rival(_cooperative, CooperativeConfig, _COOPERATIVE, needs_models=True),
    "self-adversarial": Rival(alone(SelfAdversarialTrainer), SelfAdversarialConfig, _SLOW),
    "relaxed": Rival(_relaxed, RelaxedConfig, {"learning_rate": 1e-4}),
    "distillation": Rival(
        _distillation, DistillationConfig, {"learning_rate": 0.01, "dropout": False}, needs_models=True
    ),
}
"""The step sizes, and the dropout of distillation, are the best of those that were tried on seed 100; several mediators
have those of one."""
