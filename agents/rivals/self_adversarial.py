"""Self-adversarial learning by density ratio (DGSAN, arXiv 1908.09127): the generator is its own discriminator.

Dimensions: B sequences, T time.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class SelfAdversarialConfig(LikelihoodConfig):
    """The settings of self-adversarial learning: those of maximum likelihood.

    Raises:
        ValueError: a value is out of range, or one that this loss has no place for is set.
    """

    _unsmoothed = "self-adversarial learning"


class SelfAdversarialTrainer(MaximumLikelihoodTrainer):
    """Logistic discrimination of real sequences from those of the generator as it was when the epoch began.

    ``D(Y) = G(Y) / (G(Y) + G_old(Y))``, whose logit is ``log G(Y) - log G_old(Y)``: a ``G`` that maximises eq. 13.32
    with it is the distribution of the real sequences. Nothing is dropped, since a likelihood with dropout is another
    one.

    Args:
        generator: the model to train.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedule is for.
    """

    Config = SelfAdversarialConfig

    def __init__(
        self,
        generator: AutoregressiveModel,
        config: SelfAdversarialConfig | None = None,
        seed: int = 0,
        *,
        total_epochs: int = 1,
    ) -> None:
        super().__init__(generator, config, seed, total_epochs=total_epochs)
        self.old = copy.deepcopy(generator).requires_grad_(False)
        """The generator as it was when the epoch began."""

    def epoch(self, real: Tokens) -> float:
        """Pass once over the real sequences, each batch beside as many of the generator as it is now.

        Returns:
            The mean log-loss, nats per sequence; log 2 where the two can't be told apart.

        Raises:
            ValueError: see ``MaximumLikelihoodTrainer.epoch``.
        """
        self.old.load_state_dict(self.generator.state_dict())
        return super().epoch(real)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """Half the negative of eq. 13.32, nats per sequence; see ``MaximumLikelihoodTrainer.loss``."""
        own_BT = self.old.sample(len(tokens_BT), rng)
        return 0.5 * (F.softplus(-self.logits(tokens_BT)).mean() + F.softplus(self.logits(own_BT)).mean())

    def logits(self, tokens_BT: Tensor) -> Tensor:
        """``log G(Y) - log G_old(Y)``, nats, shape ``(B,)``."""
        return (self.generator.log_prob(tokens_BT) - self.old.log_prob(tokens_BT)).sum(dim=1)
