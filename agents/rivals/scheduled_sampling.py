"""Scheduled sampling (Bengio et al., arXiv 1506.03099): maximum likelihood that reads tokens of its own.

Dimensions: B sequences, T time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_env.autoregressive import LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.autoregressive.likelihood import weighted_log_prob
from seqgan_env.autoregressive.maximum_likelihood import maximum_likelihood_factors
from seqgan_env.checks import Share


@dataclass(frozen=True)
class ScheduledSamplingConfig(LikelihoodConfig):
    """The settings of scheduled sampling.

    Raises:
        ValueError: a value is out of range.
    """

    final_real_share: Share = 0.0
    """Share of real tokens among those that are read in the last update; it falls to this linearly from 1."""


class ScheduledSamplingTrainer(MaximumLikelihoodTrainer):
    """Maximum likelihood of the real tokens given prefixes in which some tokens are the model's own.

    The gradient does not flow through the choice of these. The optimum is not the distribution of the real sequences
    where the model's own tokens are read (arXiv 1511.05101).

    Args:
        generator: the model to train.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedules are for.
    """

    Config = ScheduledSamplingConfig
    config: ScheduledSamplingConfig

    @property
    def real_share(self) -> float:
        """Share of real tokens among those that are read in this epoch."""
        progress = min(1.0, self.n_epochs / max(1, self.total_epochs - 1))
        return 1 + progress * (self.config.final_real_share - 1)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """See ``MaximumLikelihoodTrainer.loss``."""
        generator, is_token_BT = self.generator, self.generator.spec.is_token(tokens_BT)
        hidden_BTH = generator.hidden(self.mixed(tokens_BT, rng), rng)
        factor_M = maximum_likelihood_factors(is_token_BT)[is_token_BT].to(hidden_BTH.dtype)
        softmax = hidden_BTH[is_token_BT], generator.output.weight, generator.output.bias
        return -weighted_log_prob(*softmax, tokens_BT[is_token_BT], factor_M, self.config.label_smoothing)[0]

    @torch.no_grad()
    def mixed(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """The tokens that are read: real ones, and with the probability that is left what the model draws there.

        Args:
            tokens_BT: real sequences, padded with V.
            rng: decides, and draws.
        """
        generator, mixed_BT = self.generator, tokens_BT.clone()
        state = generator.start(len(tokens_BT))
        own_BT = torch.rand(tokens_BT.shape, generator=rng, device=tokens_BT.device) >= self.real_share
        own_BT &= generator.spec.is_token(tokens_BT)
        for t in range(tokens_BT.shape[1]):
            mixed_BT[:, t] = torch.where(own_BT[:, t], generator.choose(state, rng), tokens_BT[:, t])
            state = generator.step(mixed_BT[:, t], state)
        return mixed_BT
