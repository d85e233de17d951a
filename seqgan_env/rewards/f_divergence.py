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
from seqgan_env.rewards.of_logit import OfLogit

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


class FDivergence(OfLogit):
    """The reward that descends an f-divergence between G and the data.

    Args:
        config: the settings.
    """

    def __init__(self, config: FDivergenceConfig) -> None:
        reward, limit = DIVERGENCES[config.divergence], config.limit
        super().__init__(lambda logit_real_B: reward(logit_real_B).clamp(-limit, limit))
        self.config = config

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        """As of any function of the logit, but for the ratio of ``forward_kl``; see ``DenseReward``.

        The mean of ``p(Y) / G(Y)`` over the completions of ``Y_{1:t}`` by G is ``p(Y_{1:t}) / G(Y_{1:t})`` exactly, so
        what chance adds after the token is left out, as ``BothDivergences`` does.
        """
        if self.config.divergence != "forward_kl":
            return super().action_values(logit_real_BT)
        sum_BT = logit_real_BT.cumsum(dim=1)
        return self.function(sum_BT) - self.function(sum_BT - logit_real_BT)


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
