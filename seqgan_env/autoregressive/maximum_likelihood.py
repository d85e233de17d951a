"""Maximum likelihood (eq. 13.33-13.34), which is behaviour cloning of the real sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_env.autoregressive.model import AutoregressiveModel
from seqgan_env.averaging import WeightAverage
from seqgan_env.checks import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ShareBelowOne,
    StepSize,
    check_arguments,
    check_choice,
    check_fields,
    check_type,
)
from seqgan_env.descent import gradient_step, mean_loss
from seqgan_env.seeding import numpy_rng, torch_rng
from seqgan_env.tokens import Tokens
from seqgan_env.weights import load_optimizer

_DIVERGED = 100.0
SCHEDULES = ("cosine", "constant", "plateau")
"""The ways of the step size: to 0 by half a cosine over all epochs; as it is; halved when validation gets no better."""


def maximum_likelihood_factors(mask_BT: Tensor) -> Tensor:
    """Weight of each log-probability of a real token in eq. 13.34, as a mean over tokens: they sum to 1."""
    return mask_BT.double() / mask_BT.sum()


def maximum_likelihood_loss(log_prob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The negative of eq. 13.34: the mean negative log-likelihood of a real token, nats per token."""
    return -(log_prob_BT * maximum_likelihood_factors(mask_BT).to(log_prob_BT.dtype)).sum()


@dataclass(frozen=True)
class LikelihoodConfig:
    """The settings of maximum likelihood.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate: StepSize = 0.01
    """Step size of Adam, the largest of its schedule."""
    schedule: str = "cosine"
    """cosine, constant or plateau."""
    warmup: ShareBelowOne = 0.0
    """Share of the updates in which the step size rises linearly from 0."""
    batch_size: PositiveInt = 64
    """Sequences in an update."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay (arXiv 1711.05101)."""
    label_smoothing: ShareBelowOne = 0.0
    """Share of the target that is spread over all tokens."""
    max_grad_norm: PositiveFloat = 5.0
    """The gradient is scaled down to this norm."""
    weight_averaging: ShareBelowOne = 0.0
    """Decay of a moving average of the weights for each update: the generator is the average between epochs. 0 is
    none."""

    _unsmoothed: ClassVar[str] = ""  # the training, in words, if its loss has no place for label smoothing

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("schedule", self.schedule, SCHEDULES)
        if self._unsmoothed and self.label_smoothing:
            raise ValueError(f"label_smoothing must be 0 in {self._unsmoothed}, got {self.label_smoothing}")

    def step_size(self, progress: float) -> float:
        """The step size after a share of all updates, before any plateau."""
        warmed = min(1.0, progress / self.warmup) if self.warmup else 1.0
        falls = 0.5 * (1 + math.cos(math.pi * min(1.0, progress))) if self.schedule == "cosine" else 1.0
        return self.learning_rate * warmed * falls


class MaximumLikelihoodTrainer:
    """A model with the optimiser of its maximum likelihood.

    With ``weight_averaging`` the model has the averaged weights after each epoch, so that these are what is measured,
    drawn from and kept, and the next epoch goes on from the others, which the trainer holds.

    Args:
        generator: the model to train.
        config: the settings; None is the defaults.
        seed: shuffling and dropout follow it and the number of epochs made, and nothing else.
        total_epochs: how many epochs the schedule is for.
    """

    Config: type[LikelihoodConfig] = LikelihoodConfig
    """The class of the settings."""
    config: LikelihoodConfig

    @check_arguments
    def __init__(
        self,
        generator: AutoregressiveModel,
        config: LikelihoodConfig | None = None,
        seed: NonNegativeInt = 0,
        *,
        total_epochs: PositiveInt = 1,
    ) -> None:
        self.generator = generator
        self.config = config = check_type("config", self.Config() if config is None else config, self.Config)
        self.optimizer = torch.optim.AdamW(
            generator.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.seed = seed
        self.total_epochs = total_epochs
        self.n_epochs = 0
        self._plateau = 1.0
        self._least_nll = math.inf
        self._average = WeightAverage(generator, config.weight_averaging)

    def epoch(self, real: Tokens) -> float:
        """Pass once over the real sequences.

        Returns:
            The mean loss over the updates, nats per token.

        Raises:
            ValueError: there are no sequences, a loss, a gradient or the step size is not finite, or training has
                diverged: the mean loss is a hundred times that of guessing.
        """
        if not len(real):
            raise ValueError("real must hold sequences, got none")
        generator, config = self.generator, self.config
        order = numpy_rng(self.seed, "maximum likelihood", self.n_epochs).permutation(len(real))
        rng = torch_rng(self.seed, "maximum likelihood", "dropout", self.n_epochs, device=generator.device)
        batches = torch.from_numpy(real[order]).to(generator.device).split(config.batch_size)
        losses = []
        with self._average.having(learning=True):
            for i, tokens_BT in enumerate(batches):
                progress = (self.n_epochs + i / len(batches)) / self.total_epochs
                losses.append(self._update(tokens_BT, self._plateau * config.step_size(progress), rng))
                self._average.take()
        self.n_epochs += 1
        loss, guessing = mean_loss(losses, "generator"), math.log(generator.spec.vocab_size)
        if loss > _DIVERGED * max(1.0, guessing):
            raise ValueError(
                f"maximum likelihood has diverged: its loss is {loss:.4g} nats per token, that of guessing "
                f"{guessing:.4g}; learning_rate must be smaller, got {config.learning_rate:g}"
            )
        return loss

    def _update(self, tokens_BT: Tensor, step_size: float, rng: torch.Generator) -> Tensor:
        """One gradient step; the loss before it, a scalar."""
        for group in self.optimizer.param_groups:
            group["lr"] = step_size
        loss = self.loss(tokens_BT, rng)
        gradient_step(self.optimizer, loss, self.config.max_grad_norm, "generator")
        return loss.detach()

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of an update, a scalar with gradient: here the negative of eq. 13.34, nats per token.

        Args:
            tokens_BT: real sequences, padded with V.
            rng: where dropout takes its noise from.
        """
        factor_BT = maximum_likelihood_factors(self.generator.spec.is_token(tokens_BT))
        smoothing = self.config.label_smoothing
        return -self.generator.weighted_log_prob(tokens_BT, factor_BT, rng=rng, smoothing=smoothing)[0]

    def observe(self, nll: float) -> None:
        """Note the validation likelihood after an epoch; under the schedule ``plateau`` a worse one halves the step.

        Args:
            nll: nats per token.
        """
        if self.config.schedule == "plateau" and nll >= self._least_nll:
            self._plateau *= 0.5
        self._least_nll = min(self._least_nll, nll)

    def state_dict(self) -> dict[str, Any]:
        """The state of the training beside the generator's own weights."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "n_epochs": self.n_epochs,
            "plateau": self._plateau,
            "least_nll": self._least_nll,
            "averaging": self._average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: the statistics or the averaged weights are not those of this model.
        """
        self._average.load_state_dict(state["averaging"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.n_epochs = int(state["n_epochs"])
        self._plateau, self._least_nll = float(state["plateau"]), float(state["least_nll"])
