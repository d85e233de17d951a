"""Trainers of the same generator from real sequences, as they take part in a sweep, and random tokens.

They take no step in the environment: a token that they learn from counts as one.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agents.rivals import (
    CooperativeConfig,
    CooperativeTrainer,
    DistillationConfig,
    DistillationTrainer,
    ExpertIterationConfig,
    ExpertIterationTrainer,
    RelaxedConfig,
    RelaxedTrainer,
    ScheduledSamplingConfig,
    ScheduledSamplingTrainer,
    SelfAdversarialConfig,
    SelfAdversarialTrainer,
)
from agents.runs.config import RunConfig
from agents.sweeps.algorithms import Contest, register_algorithm
from agents.sweeps.budget import Watch
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.checks import build_config
from seqgan_env.discriminators import GenerativeDiscriminator
from seqgan_env.seeding import numpy_rng

MakeTrainer = Callable[[Contest, Any, int], MaximumLikelihoodTrainer]
"""Makes a trainer of the game's generator from its settings and the number of epochs of its schedules."""


class TrainerLearner:
    """A trainer that passes over the real sequences in parts, between which it is measured; the last may be shorter.

    Args:
        contest: the run.
        make: makes the trainer.
        config: its settings.
        per_token: tokens that it learns from for each real one.
        per_sequence: sequences that it scores for each real one.
    """

    def __init__(self, contest: Contest, make: MakeTrainer, config: Any, per_token: int, per_sequence: int) -> None:
        game = contest.game
        self.sequences = game.agent.generator
        real = game.task.real_sequences
        self._real = real[: max(1, round(game.config.pretraining.real_share * len(real)))]
        self._seed, self._spec = game.config.seed, game.task.spec
        self._per_token, self._per_sequence = per_token, per_sequence
        per_epoch = float(self._spec.lengths(self._real).mean()) * per_token
        wanted = contest.n_steps / contest.budget.evaluations / per_epoch
        self._n = int(np.clip(wanted, 1, len(self._real)))
        n_epochs = math.ceil(contest.n_steps / (per_epoch * self._n))
        self._trainer = make(contest, config, max(1, n_epochs))

    def learn(self, watch: Watch) -> None:
        """See ``Learner``."""
        n_passes, left = 0, np.zeros(0, dtype=np.int64)
        while watch.goes_on():
            if not len(left):
                left = numpy_rng(self._seed, "sweep", "real", n_passes).permutation(len(self._real))
                n_passes += 1
            n = self._n_needed(watch, left[: self._n])
            part, left = left[:n], left[n:]
            watch.logger.record("train/loss", self._trainer.epoch(self._real[part]))
            n_tokens = int(self._spec.lengths(self._real[part]).sum())
            watch.spend(n_tokens * self._per_token, len(part) * self._per_sequence)

    def _n_needed(self, watch: Watch, part: npt.NDArray[np.int64]) -> int:
        """The sequences of a part, shape ``(B,)``, until the budget is spent; at most all."""
        n, budget = len(part), watch.budget
        if budget.steps is not None:
            n_tokens_B = self._spec.lengths(self._real[part]).cumsum() * self._per_token
            n = min(n, 1 + int((n_tokens_B < budget.steps - watch.steps).sum()))
        if budget.scored is not None and self._per_sequence:
            n = min(n, math.ceil((budget.scored - watch.scored) / self._per_sequence))
        return n


class UniformLearner:
    """Tokens drawn uniformly, from which nothing is learned.

    Args:
        contest: the run.
    """

    def __init__(self, contest: Contest) -> None:
        self.sequences: AutoregressiveModel = copy.deepcopy(contest.game.agent.generator)
        with torch.no_grad():
            for parameter in self.sequences.output.parameters():
                parameter.zero_()

    def learn(self, watch: Watch) -> None:
        """See ``Learner``."""


def _build(
    config_class: type[Any], make: MakeTrainer, per_token: int, per_sequence: int, contest: Contest
) -> TrainerLearner:
    config = build_config(config_class, contest.settings, "a trainer")
    return TrainerLearner(contest, make, config, per_token, per_sequence)


def _plain(kind: type[MaximumLikelihoodTrainer], contest: Contest, config: Any, n_epochs: int) -> Any:
    """A trainer that needs a generator alone."""
    return kind(contest.game.agent.generator, config, contest.game.config.seed, total_epochs=n_epochs)


def _playing(
    kind: type[RelaxedTrainer] | type[ExpertIterationTrainer], contest: Contest, config: Any, n_epochs: int
) -> Any:
    """A trainer that plays against the discriminator of the run, and trains it at every step."""
    game = contest.game
    return kind(game.agent.generator, game.adversary.trainer, config, game.config.seed, total_epochs=n_epochs)


def _expert(contest: Contest) -> TrainerLearner:
    """Expert iteration, which scores all candidates."""
    n_candidates = build_config(ExpertIterationConfig, contest.settings, "a trainer").n_candidates
    return _build(ExpertIterationConfig, partial(_playing, ExpertIterationTrainer), 1, n_candidates, contest)


def _distilled(contest: Contest, config: DistillationConfig, n_epochs: int) -> DistillationTrainer:
    """The language models of the run's discriminator, as teachers."""
    game = contest.game
    discriminator = game.adversary.trainer.discriminator
    assert isinstance(discriminator, GenerativeDiscriminator)
    teachers = discriminator.language_models
    return DistillationTrainer(game.agent.generator, teachers, config, game.config.seed, total_epochs=n_epochs)


def _check_models(run: RunConfig, settings: Mapping[str, Any]) -> None:
    """Refuse a discriminator without language models."""
    if run.task.discriminator != "generative":
        raise ValueError(
            "algorithm 'distillation' learns from the language models of the discriminator generative, got "
            f"{run.task.discriminator!r}"
        )


def _likelihood_settings(run: RunConfig) -> Mapping[str, Any]:
    """Those of the pretraining, which goes on."""
    return {each.name: getattr(run.pretraining, each.name) for each in dataclasses.fields(LikelihoodConfig)}


register_algorithm(
    "random",
    UniformLearner,
    label="random",
    summary="Tokens drawn uniformly.",
    source="a control",
    shares="nothing",
    plays="none",
)
register_algorithm(
    "maximum_likelihood",
    partial(_build, LikelihoodConfig, partial(_plain, MaximumLikelihoodTrainer), 1, 0),
    label="maximum likelihood",
    summary="Maximum likelihood for as many more tokens as the others choose.",
    source="eq. 13.34",
    shares="generator",
    plays="none",
    settings=lambda: LikelihoodConfig,
    from_run=_likelihood_settings,
)
register_algorithm(
    "scheduled_sampling",
    partial(_build, ScheduledSamplingConfig, partial(_plain, ScheduledSamplingTrainer), 1, 0),
    label="scheduled sampling",
    summary="Maximum likelihood after prefixes in which some tokens are the model's own.",
    source="arXiv 1506.03099",
    shares="generator",
    plays="none",
    settings=lambda: ScheduledSamplingConfig,
)
register_algorithm(
    "self_adversarial",
    partial(_build, SelfAdversarialConfig, partial(_plain, SelfAdversarialTrainer), 2, 0),
    label="self-adversarial",
    summary="The generator as its own discriminator, against itself as it was.",
    source="arXiv 1908.09127",
    shares="generator",
    plays="none",
    settings=lambda: SelfAdversarialConfig,
)
register_algorithm(
    "cooperative",
    partial(_build, CooperativeConfig, partial(_plain, CooperativeTrainer), 1, 0),
    label="cooperative",
    summary="Descent towards a mediator that learns the mixture of real and generated sequences.",
    source="arXiv 1804.03782",
    shares="generator",
    plays="none",
    settings=lambda: CooperativeConfig,
)
register_algorithm(
    "relaxed",
    partial(_build, RelaxedConfig, partial(_playing, RelaxedTrainer), 1, 1),
    label="Gumbel-softmax",
    summary="Reparametrised samples, along which the gradient of log D flows back.",
    source="arXiv 1611.01144",
    shares="generator",
    plays="discriminator",
    settings=lambda: RelaxedConfig,
)
register_algorithm(
    "expert_iteration",
    _expert,
    label="expert iteration",
    summary="Maximum likelihood of the best, by the discriminator, of some sequences of its own, again and again.",
    source="arXiv 1705.08439",
    shares="generator",
    plays="discriminator",
    settings=lambda: ExpertIterationConfig,
)
register_algorithm(
    "distillation",
    partial(_build, DistillationConfig, _distilled, 1, 1),
    label="distillation",
    summary="The language models of a generative discriminator teach the generator token by token: no game, a control.",
    source="arXiv 1606.07947",
    shares="generator",
    plays="discriminator",
    settings=lambda: DistillationConfig,
    check=_check_models,
)
