"""The discriminator's side of the game: one round is to draw negatives, fit, measure, and give the weights away."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.history import NegativeHistory
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ShareBelowOne,
    StepSize,
    check_fields,
)
from seqgan_env.discriminators import Discriminator, DiscriminatorTrainer
from seqgan_env.discriminators.losses import check_gradient_penalty, check_stopping, get_objective
from seqgan_env.discriminators.optimal import Logits
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import Tokens

LogProbReal = Callable[[Tokens], npt.NDArray[np.float64] | None]
"""Maps complete sequences ``(B, T)`` to their log-probabilities as real ones ``(B,)``, nats, if it knows them."""
Push = Callable[[Discriminator], None]
"""Gives the discriminator's current weights to the environments that pay with them."""


@runtime_checkable
class Sampler(Protocol):
    """A model that can draw whole sequences in batch, as ``SeqGAN`` can."""

    def sample(self, n: int, *, seed: int = 0) -> Tokens:
        """Draw ``n`` complete sequences, shape ``(n, T)``."""


class GeneratorSampler:
    """A generator as a ``Sampler``, for models that only contain one.

    Args:
        generator: draws the sequences.
    """

    def __init__(self, generator: AutoregressiveModel) -> None:
        self.generator = generator

    def sample(self, n: int, *, seed: int = 0) -> Tokens:
        """See ``Sampler``."""
        return self.generator.draw(n, seed=seed)


def sampler_of(model: BaseAlgorithm, *, constrained: bool) -> Sampler | None:
    """The source of fresh negatives: the model, or the generator in its policy, which knows of no constraints."""
    if isinstance(model, Sampler):
        return model
    generator = getattr(model.policy, "generator", None)
    return GeneratorSampler(generator) if isinstance(generator, AutoregressiveModel) and not constrained else None


@dataclass(frozen=True)
class RoundConfig:
    """The settings of a round.

    Raises:
        ValueError: a value is out of range.
    """

    n_generated: PositiveInt = 1024
    """Negatives of one training."""
    n_epochs: PositiveInt = 1
    """Passes over them."""
    batch_size: PositiveInt = 64
    """Sequences of each kind in an update."""
    learning_rate: StepSize = 1e-4
    """Step size of Adam."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay."""
    loss: str = "logistic"
    """The training loss: a key of ``seqgan_env.discriminators.losses.LOSSES``. Under wasserstein and relativistic D is
    no probability, and the reward that fits is log_ratio, the logit itself."""
    label_smoothing: float = 0.0
    """Share by which the label of real sequences falls short of 1."""
    gradient_penalty: NonNegativeFloat = 0.0
    """Weight of a penalty on the slope of the logit between real and generated embeddings; wasserstein needs one."""
    history: ShareBelowOne = 0.0
    """Share of the negatives of a training that come from those of earlier rounds of the game, a uniform sample of ten
    trainings' worth of them."""
    skip_real: ShareBelowOne = 0.0
    """Share of the real sequences, from the first, that it does not learn from. Cross-fitting: with those that the
    generator's maximum likelihood has seen, it would learn what the generator learnt by heart."""
    n_held_out: NonNegativeInt = 512
    """Held-out real sequences, and fresh negatives where the model is a ``Sampler``, on which the discriminator is
    measured after each training; 0 measures nothing."""
    patience: PositiveInt | None = None
    """Passes without a lower log-loss on the held-out sequences before a training stops; the best pass is kept. None
    makes all passes and keeps the last."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.patience is not None and not self.n_held_out:
            raise ValueError("patience needs held-out sequences, got n_held_out 0")
        get_objective(self.loss, self.label_smoothing)
        check_gradient_penalty(self.loss, self.gradient_penalty)
        if self.patience is not None:
            check_stopping(self.loss)


def trainer_of(discriminator: Discriminator, config: RoundConfig, seed: int) -> DiscriminatorTrainer:
    """A trainer with the settings of a round.

    Raises:
        ValueError: an unknown loss, a value out of range, or a loss that the discriminator can't be trained on.
    """
    return DiscriminatorTrainer(
        discriminator,
        config.learning_rate,
        seed=seed,
        weight_decay=config.weight_decay,
        loss=config.loss,
        label_smoothing=config.label_smoothing,
        gradient_penalty=config.gradient_penalty,
    )


Scores = Callable[["Adversary", Sampler | Tokens], dict[str, float]]


def _while_playing(method: Scores) -> Scores:
    """Call a method while the model is the one that plays, where it is another one at other times, as ``SeqGAN`` is."""

    @functools.wraps(method)
    def called(self: Adversary, negatives: Sampler | Tokens) -> dict[str, float]:
        with getattr(negatives, "playing", nullcontext)():
            return method(self, negatives)

    return called


class Adversary:
    """A discriminator's trainer, the real sequences it learns from, and the settings of a round.

    Args:
        trainer: the discriminator with its optimiser.
        real: the training set of real sequences, shape ``(n, T)``, of which it learns from those after ``skip_real``.
        held_out: real sequences to measure on, shape ``(m, T)``.
        config: the settings; None is the defaults. The step size is the trainer's.
        seed: of the negatives.
        push: called after each round.
        history: of earlier negatives, which it adds to; needed where the settings ask for a share of these.
        log_prob_real: the likelihood of the real ones, if it is known. With it, and a generator that draws the
            negatives, the discriminator is measured beside the best possible one too.

    Raises:
        ValueError: ``skip_real`` leaves no real sequences.
    """

    def __init__(
        self,
        trainer: DiscriminatorTrainer,
        real: Tokens,
        held_out: Tokens,
        config: RoundConfig | None = None,
        *,
        seed: int = 0,
        push: Push = lambda discriminator: None,
        history: NegativeHistory | None = None,
        log_prob_real: LogProbReal | None = None,
    ) -> None:
        self.trainer = trainer
        self.config = RoundConfig() if config is None else config
        self.real = real[round(self.config.skip_real * len(real)) :]
        if not len(self.real):
            raise ValueError(
                f"skip_real must leave real sequences to learn from, got {self.config.skip_real} of {len(real)}"
            )
        self.held_out = held_out
        self.seed = seed
        self.push = push
        self.history = history
        self._log_prob_real = log_prob_real

    def prepare(self, on_part: Callable[[], None] = lambda: None) -> None:
        """Let the discriminator learn what takes real sequences alone, if that has not been done.

        Args:
            on_part: called after each part that would not be done again.
        """
        self.trainer.discriminator.fit_real(self.real, derived_seed(self.seed, "real"), on_part)

    @_while_playing
    def round(self, negatives: Sampler | Tokens) -> dict[str, float]:
        """Train once, and give the weights away.

        Args:
            negatives: a model to draw fresh ones from, or sequences, the newest last.

        Returns:
            ``loss``, of the training or, with ``patience``, of the best pass on held-out sequences; and, with held-out
            sequences, ``discriminator_scores`` on those, with ``beside_optimum`` where both likelihoods are known.

        Raises:
            ValueError: there are no negatives, or too few to hold some out, or the discriminator needs a generator
                whose likelihood is known.
        """
        self.prepare()
        self.trainer.discriminator.follow(_generator_of(negatives))
        generated, fresh = self._drawn(negatives, self.config.n_generated)
        if not len(generated):
            raise ValueError("a training needs negatives, and no episode has finished yet")
        if self.history is not None:
            new, generated = generated, self.history.mixed(generated, self.config.history)
            self.history.add(new)
        n_held_out = len(fresh)
        sets, held_out = (self.real, generated), (self.held_out[:n_held_out], fresh)
        optimal = self._optimal(*held_out, negatives)
        n_epochs, batch_size = self.config.n_epochs, self.config.batch_size
        if self.config.patience is None:
            scores = {"loss": self.trainer.fit(*sets, n_epochs=n_epochs, batch_size=batch_size)}
            if n_held_out:
                scores |= self.trainer.evaluate(*held_out, optimal)
        else:
            history = self.trainer.fit_until_stale(
                *sets, *held_out, max_epochs=n_epochs, patience=self.config.patience, batch_size=batch_size
            )
            best = min(history, key=lambda each: each["log_loss"])
            scores = {"loss": best["log_loss"], **best}
            if optimal is not None:  # the network is that of the best pass again
                scores |= self.trainer.evaluate(*held_out, optimal)
        self.push(self.trainer.discriminator)
        return scores

    @_while_playing
    def measure(self, negatives: Sampler | Tokens) -> dict[str, float]:
        """The measurement of ``round`` on held-out sequences, of the discriminator as it is.

        Args:
            negatives: as for ``round``.

        Returns:
            Nothing where there is nothing to measure on.
        """
        _, fresh = self._drawn(negatives, 0)
        held_out = self.held_out[: len(fresh)]
        return self.trainer.evaluate(held_out, fresh, self._optimal(held_out, fresh, negatives)) if len(fresh) else {}

    def _optimal(self, held_out: Tokens, fresh: Tokens, negatives: Sampler | Tokens) -> Logits | None:
        """The logits of the best possible discriminator of these, if both likelihoods are known."""
        generator = _generator_of(negatives)
        if self._log_prob_real is None or generator is None or not len(fresh):
            return None
        if (real_B := self._log_prob_held_out) is None:
            return None
        fresh_B = self._log_prob_real(fresh)
        assert fresh_B is not None
        return real_B - generator.sequence_log_prob(held_out), fresh_B - generator.sequence_log_prob(fresh)

    @functools.cached_property
    def _log_prob_held_out(self) -> npt.NDArray[np.float64] | None:
        """The log-probabilities of the held-out sequences that stand beside as many of a generator, which stay."""
        return None if self._log_prob_real is None else self._log_prob_real(self.held_out[: self.config.n_held_out])

    def _drawn(self, negatives: Sampler | Tokens, n: int) -> tuple[Tokens, Tokens]:
        """Negatives to learn from, ``n`` of them where they are drawn, and newer ones to measure on."""
        n_held_out = self.config.n_held_out
        if isinstance(negatives, np.ndarray):
            n_held_out = min(n_held_out, len(negatives) // 5)
        else:
            seed = derived_seed(self.seed, "negatives", self.trainer.n_updates)
            negatives = negatives.sample(n + n_held_out, seed=seed)
        # hold out the newest: earlier rounds cannot have seen them
        generated, fresh = np.split(negatives, [len(negatives) - n_held_out])
        return generated, fresh

    def state_dict(self) -> dict[str, Any]:
        """The state that ``load_state_dict`` restores."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.trainer.load_state_dict(state)


def _generator_of(negatives: Sampler | Tokens) -> AutoregressiveModel | None:
    """The model that draws the negatives, if its likelihood is known."""
    generator = getattr(negatives, "generator", None)
    return generator if isinstance(generator, AutoregressiveModel) else None
