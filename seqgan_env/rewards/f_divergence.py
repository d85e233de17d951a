"""The rewards of all f-divergences, one formula each (f-DPG, arXiv 2302.08215).

``D_f(G || p) = E_p[f(G / p)]`` has the gradient ``E_G[f'(G / p) grad log G]`` (theorem 1), so the reward ``-f'(G / p)``
descends it. With the optimal discriminator ``G / p = exp(-x)`` of the logit x. A constant in the reward is left out
where that makes it simpler.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.checks import PositiveFloat, check_choice, check_fields
from seqgan_env.rewards.base import Reward, RewardContext, register_reward

DIVERGENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "forward_kl": torch.exp,  # f(t) = -log t
    "reverse_kl": lambda x_B: x_B,  # t log t, whose -f' is x - 1
    "jensen_shannon": lambda x_B: -F.logsigmoid(-x_B) - math.log(2),  # t log(2t / (1 + t)) + log(2 / (1 + t))
    "total_variation": lambda x_B: 0.5 * x_B.sign(),  # |t - 1| / 2
    "chi_squared": lambda x_B: -2 * torch.expm1(-x_B),  # (t - 1)^2
    "squared_hellinger": lambda x_B: torch.expm1(0.5 * x_B),  # (1 - sqrt(t))^2
}
"""``-f'(exp(-x))`` by the name of the divergence; beside each, its f."""


@dataclass(frozen=True)
class FDivergenceConfig:
    """The settings of ``f_divergence``.

    Raises:
        ValueError: an unknown divergence, or a limit out of range.
    """

    divergence: str = "jensen_shannon"
    """forward_kl, reverse_kl, jensen_shannon, total_variation, chi_squared or squared_hellinger."""
    limit: PositiveFloat = 1000.0
    """The reward is cut off at plus and minus this."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("divergence", self.divergence, DIVERGENCES)


@dataclass(frozen=True)
class FDivergence:
    """The reward that descends an f-divergence between G and the data."""

    config: FDivergenceConfig

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``."""
        limit = self.config.limit
        return DIVERGENCES[self.config.divergence](logit_real_B).clamp(-limit, limit)


def _build(context: RewardContext) -> Reward:
    return FDivergence(context.config)


register_reward(
    "f_divergence",
    _build,
    label="f-divergence",
    summary="The negative derivative of an f-divergence's f at G / p: descends the divergence that a setting names.",
    source="arXiv 2302.08215, theorem 1",
    unit="of the divergence",
    config=FDivergenceConfig,
)
