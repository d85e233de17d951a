"""Rewards that compare a sequence's logit with those of real sequences, which move with the discriminator.

Suffixes: B sequences, R real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from seqgan_env.checks import PositiveFloat, PositiveInt, check_fields
from seqgan_env.rewards.base import ComparingReward, Reward, RewardContext, register_reward
from seqgan_env.rewards.of_logit import OfLogit
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class RelativisticConfig:
    """The settings of ``relativistic``.

    Raises:
        ValueError: a value is out of range.
    """

    n_compared: PositiveInt = 256
    """R, the real sequences it is compared with: the first ones of the training set, at most all."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class RankConfig(RelativisticConfig):
    """The settings of ``rank``.

    Raises:
        ValueError: a value is out of range.
    """

    n_compared: PositiveInt = 16
    """R, the real sequences of the comparison set: the first ones of the training set, at most all."""
    gamma: PositiveFloat = 1.0
    """The softmax's inverse temperature."""


class Relativistic:
    """``log sigmoid(x - m)``, m the mean logit of real sequences.

    It is what the generator's half of RaSGAN maximises on its own sequences, and goes with the loss ``relativistic``.

    Args:
        real: the real sequences, ``(R, T)``.
    """

    def __init__(self, real: Tokens) -> None:
        self.compared = real

    def beside(self, logit_compared_R: Tensor) -> Reward:
        """See ``ComparingReward``."""
        mean = logit_compared_R.mean()
        return OfLogit(lambda logit_real_B: F.logsigmoid(logit_real_B - mean))


class Rank:
    """The log-probability of coming first among a comparison set of real sequences, under a softmax of the logits.

    RankGAN's ranker scores by the cosine of learnt features; here the discriminator's logit is the score, so that any
    discriminator can rank.

    Args:
        real: the comparison set, ``(R, T)``.
        gamma: the softmax's inverse temperature.
    """

    def __init__(self, real: Tokens, gamma: float) -> None:
        self.compared, self._gamma = real, gamma

    def beside(self, logit_compared_R: Tensor) -> Reward:
        """See ``ComparingReward``."""
        gamma, others = self._gamma, (self._gamma * logit_compared_R).logsumexp(dim=0)
        return OfLogit(lambda logit_real_B: F.logsigmoid(gamma * logit_real_B - others))


def _compared(context: RewardContext) -> Tokens:
    return context.real_sequences()[: context.config.n_compared]


def _build_relativistic(context: RewardContext) -> ComparingReward:
    return Relativistic(_compared(context))


def _build_rank(context: RewardContext) -> ComparingReward:
    return Rank(_compared(context), context.config.gamma)


register_reward(
    "relativistic",
    _build_relativistic,
    label="relativistic",
    summary="The log-probability of being more real than real sequences are on average.",
    source="arXiv 1807.00734",
    high=0.0,
    config=RelativisticConfig,
)
register_reward(
    "rank",
    _build_rank,
    label="rank",
    summary="The log-probability of ranking above all of a fixed set of real sequences.",
    source="RankGAN, arXiv 1705.11001, eq. 4",
    high=0.0,
    config=RankConfig,
)
