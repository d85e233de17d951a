"""Cooperative training (CoT, arXiv 1804.03782): a mediator learns the mixture of both distributions.

Dimensions: B sequences, T time, H hidden, M tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.rivals.distillation import mixture_log_prob
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.autoregressive.likelihood import expected_value
from seqgan_env.autoregressive.maximum_likelihood import maximum_likelihood_factors
from seqgan_env.checks import PositiveInt, StepSize
from seqgan_env.descent import gradient_step
from seqgan_env.weights import check_weights, load_optimizer


@dataclass(frozen=True)
class CooperativeConfig(LikelihoodConfig):
    """The settings of cooperative training.

    Raises:
        ValueError: a value is out of range, or one that this loss has no place for is set.
    """

    mediator_learning_rate: StepSize = 0.01
    """Step size of the Adam of each mediator."""
    mediator_steps: PositiveInt = 1
    """Steps of each mediator before each of the generator, the first on the real sequences of the batch, all on fresh
    ones of the generator."""

    _unsmoothed = "cooperative training"


class CooperativeTrainer(MaximumLikelihoodTrainer):
    """Descent of ``KL(G || M)`` on the generator's own prefixes, in closed form over every token.

    The mediator M learns real and generated sequences half and half by maximum likelihood. If it knows their mixture,
    ``KL(G || M)`` and ``KL(p || M)`` make up the Jensen-Shannon divergence, whose gradient this is; the prefixes are
    taken as they come, without a gradient of their distribution (eq. 13 of the paper).

    With several mediators, which is not of the paper, M is their mean, token by token, and each learns by itself.

    Args:
        generator: the model to train.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        mediator: M, a model of the same sequences or several; None is a copy of the generator.
        total_epochs: how many epochs the schedule is for.

    Raises:
        ValueError: there is no mediator, or one is of other sequences.
    """

    Config = CooperativeConfig
    config: CooperativeConfig

    def __init__(
        self,
        generator: AutoregressiveModel,
        config: CooperativeConfig | None = None,
        seed: int = 0,
        *,
        mediator: AutoregressiveModel | Sequence[AutoregressiveModel] | None = None,
        total_epochs: int = 1,
    ) -> None:
        mediator = copy.deepcopy(generator) if mediator is None else mediator
        mediators = (mediator,) if isinstance(mediator, AutoregressiveModel) else tuple(mediator)
        if not mediators:
            raise ValueError("mediator must be a model or several, got none")
        for each in mediators:
            if each.spec != generator.spec:
                raise ValueError(f"the mediator must be of {generator.spec}, got {each.spec}")
        super().__init__(generator, config, seed, total_epochs=total_epochs)
        self.mediators = mediators
        self._mediator_optimizers = [
            torch.optim.Adam(each.parameters(), lr=self.config.mediator_learning_rate, fused=True) for each in mediators
        ]

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """The mediators' steps, then the divergence of the generator from it, nats per token of the generator."""
        for _ in range(self.config.mediator_steps):
            self._teach(torch.cat([tokens_BT, self.generator.sample(len(tokens_BT), rng)]), rng)
        return self.divergence(self.generator.sample(len(tokens_BT), rng), rng)

    def _teach(self, tokens_BT: Tensor, rng: torch.Generator) -> None:
        """A step of each mediator's maximum likelihood."""
        factor_BT = maximum_likelihood_factors(self.generator.spec.is_token(tokens_BT))
        for mediator, optimizer in zip(self.mediators, self._mediator_optimizers, strict=True):
            loss = -mediator.weighted_log_prob(tokens_BT, factor_BT, rng=rng)[0]
            gradient_step(optimizer, loss, self.config.max_grad_norm, "mediator")

    def divergence(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """``KL(G(. | prefix) || M(. | prefix))``, the mean over the prefixes of sequences, nats, with gradient.

        Args:
            tokens_BT: sequences of the generator.
            rng: where its dropout takes its noise from; None drops nothing.
        """
        is_token_BT, output = self.generator.spec.is_token(tokens_BT), self.generator.output
        hidden_MH = self.generator.hidden(tokens_BT, rng)[is_token_BT]
        with torch.no_grad():
            log_ratio_MV = output(hidden_MH).log_softmax(dim=1) - mixture_log_prob(self.mediators, tokens_BT)
        return expected_value(hidden_MH, output.weight, output.bias, log_ratio_MV) / len(hidden_MH)

    def state_dict(self) -> dict[str, Any]:
        """The state of the training, the mediators' included."""
        return {
            **super().state_dict(),
            "mediators": [dict(each.state_dict()) for each in self.mediators],
            "mediator_optimizers": [each.state_dict() for each in self._mediator_optimizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: see ``MaximumLikelihoodTrainer.load_state_dict``; or the mediators' weights don't fit.
        """
        for mediator, weights in zip(self.mediators, state["mediators"], strict=True):
            check_weights(mediator.state_dict(), weights)
        super().load_state_dict(state)
        for mediator, weights in zip(self.mediators, state["mediators"], strict=True):
            mediator.load_state_dict(weights)
        for optimizer, statistics in zip(self._mediator_optimizers, state["mediator_optimizers"], strict=True):
            load_optimizer(optimizer, statistics)
