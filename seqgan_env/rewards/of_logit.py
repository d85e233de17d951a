"""Rewards that are functions of the discriminator's logit alone.

With ``logit = log D(Y) - log(1 - D(Y))`` every reward here is computed from the logit, so that
it stays finite where ``D`` itself would round to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.rewards.base import Reward, RewardContext, register_reward


def log_d(logit_real_B: Tensor) -> Tensor:
    """The usual reward, ``log D(Y)`` (eq. 13.37), in nats, at most 0."""
    return F.logsigmoid(logit_real_B)


def neg_log_one_minus_d(logit_real_B: Tensor) -> Tensor:
    """The reward ``-log(1 - D(Y))`` (eq. 13.36), in nats, at least 0: what minimising eq. 13.35 asks for.

    As ``1 - sigmoid(x) = sigmoid(-x)`` it is ``-logsigmoid(-x)``; PyTorch's ``softplus`` is the same but rounds
    ``exp(-x)`` to 0 from x = 20 on.
    """
    return -F.logsigmoid(-logit_real_B)


def log_ratio(logit_real_B: Tensor) -> Tensor:
    """``log D(Y) - log(1 - D(Y))``, in nats: with the optimal discriminator, ``log p_data(Y) - log G(Y)``."""
    return logit_real_B


def to_go(logit_real_BT: Tensor, discount: float = 1.0) -> Tensor:
    """The sum of each term and those after it, discounted once a step: those before do not depend on the token."""
    if discount == 1:
        return logit_real_BT.flip(1).cumsum(dim=1).flip(1)
    total_BT = logit_real_BT.clone()
    for t in range(total_BT.shape[1] - 2, -1, -1):
        total_BT[:, t] += discount * total_BT[:, t + 1]
    return total_BT


def probability(logit_real_B: Tensor) -> Tensor:
    """``D(Y)`` itself, in [0, 1], the reward of the SeqGAN paper's experiments."""
    return torch.sigmoid(logit_real_B)


def centered(logit_real_B: Tensor) -> Tensor:
    """``2 D(Y) - 1 = tanh(logit / 2)``, in [-1, 1]: a sequence that looks generated is punished."""
    return torch.tanh(0.5 * logit_real_B)


class OfLogit:
    """A function of the logit as a reward.

    Where the logit is a sum over tokens, each of them has a value of its own (``DenseReward``): the reward of the
    sequence less that of the tokens before it, as if there were no others. These do not depend on the token, so what is
    subtracted is a baseline, and the values are unbiased whatever the function and the terms.

    Args:
        function: maps logits to rewards, each by itself.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``."""
        return self.function(logit_real_B)

    def build(self, context: RewardContext) -> Reward:
        """The reward itself: it is the same for every task."""
        return self

    def clipped(self, low: float, high: float) -> OfLogit:
        """The same, cut off at two limits."""
        return OfLogit(lambda logit_real_B: self.function(logit_real_B).clamp(low, high))

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        """The reward of the whole less that of what lies before the token; see ``DenseReward``."""
        sum_BT = logit_real_BT.cumsum(dim=1)
        return self.function(sum_BT[:, -1:]) - self.function(sum_BT - logit_real_BT)

    def known_values(self, before_BT1: Tensor, logit_real_BTV: Tensor) -> Tensor:
        """The reward up to the token less that of what lies before it; see ``DenseReward``."""
        return self.function(before_BT1 + logit_real_BTV) - self.function(before_BT1)


class LogRatio(OfLogit):
    """The logit itself as a reward."""

    def __init__(self) -> None:
        super().__init__(log_ratio)

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        """``to_go``; see ``DenseReward``."""
        return to_go(logit_real_BT)

    def known_values(self, before_BT1: Tensor, logit_real_BTV: Tensor) -> Tensor:
        """The token's own term; see ``DenseReward``."""
        return logit_real_BTV


register_reward(
    "log_d",
    OfLogit(log_d).build,
    label="log D",
    summary="The usual reward of SeqGAN.",
    source="eq. 13.37",
    high=0.0,
)
register_reward(
    "neg_log_one_minus_d",
    OfLogit(neg_log_one_minus_d).build,
    label="−log(1 − D)",
    summary="The negative of the original generator objective of a GAN.",
    source="eq. 13.36",
    low=0.0,
)
register_reward(
    "log_ratio",
    LogRatio().build,
    label="log D − log(1 − D)",
    summary="The discriminator's logit, an estimate of log p(Y) − log G(Y).",
    source="AIRL, arXiv 1710.11248",
)
register_reward(
    "d",
    OfLogit(probability).build,
    label="D",
    summary="The probability of being real, as in the original code of SeqGAN.",
    source="arXiv 1609.05473",
    low=0.0,
    high=1.0,
    unit="probability",
)
register_reward(
    "centered",
    OfLogit(centered).build,
    label="2D − 1",
    summary="The probability of being real, centred: negative for what looks generated.",
    source="ScratchGAN, arXiv 1905.09922, eq. 3",
    low=-1.0,
    high=1.0,
    unit="probability",
)
register_reward(
    "exact_log_ratio",
    LogRatio().build,
    label="exact",
    summary="log p(Y) − log G(Y) of the optimal discriminator, where the likelihood of the source is known.",
    source="the maximiser of eq. 13.32",
    discriminator="exact",
)
