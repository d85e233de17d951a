"""Rewards whose expected gradient descends a divergence between the data and the generator.

With the optimal discriminator the logit is ``x = log p(Y) - log G(Y)``. The reward ``x`` descends the reverse
divergence KL(G || p), which leaves out sequences that are hard to write; ``exp(x) = p / G`` descends the forward one,
KL(p || G), by importance weights on the generator's own sequences (MaliGAN, arXiv 1702.07983; f-DPG, arXiv 2302.08215).
Subtracting a baseline changes neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from seqgan_env.checks import NonNegativeFloat, PositiveFloat, check_fields
from seqgan_env.rewards.base import Reward, RewardContext, register_reward
from seqgan_env.rewards.of_logit import OfLogit, to_go


@dataclass(frozen=True)
class BothDivergencesConfig:
    """The settings of ``BothDivergences``.

    Raises:
        ValueError: a value is out of range.
    """

    log_weight: NonNegativeFloat = 0.5
    """Weight of the log-ratio beside the ratio; 0 is the forward divergence alone."""
    log_clip: PositiveFloat = 10.0
    """The log-ratio is cut off at plus and minus this, nats: one impossible sequence must not outweigh a batch."""
    ratio_limit: PositiveFloat = 1000.0
    """The ratio is cut off at this."""

    def __post_init__(self) -> None:
        check_fields(self)


class BothDivergences(OfLogit):
    """``min(exp(x), ratio_limit) + log_weight * clip(x, -log_clip, log_clip)`` of the logit x.

    Args:
        config: the settings.
    """

    def __init__(self, config: BothDivergencesConfig) -> None:
        super().__init__(self._paid)
        self.config = config

    def _paid(self, logit_real_B: Tensor) -> Tensor:
        c = self.config
        ratio_B = logit_real_B.clamp(max=math.log(c.ratio_limit)).exp()
        return ratio_B + c.log_weight * logit_real_B.clamp(-c.log_clip, c.log_clip)

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        """The ratio of each beginning, and the clipped log-ratio of what follows it; see ``DenseReward``.

        The mean of ``p(Y) / G(Y)`` over the completions of ``Y_{1:t}`` by G is ``p(Y_{1:t}) / G(Y_{1:t})`` exactly, so
        no completion is needed, and what chance adds later is left out.
        """
        c = self.config
        ratio_BT = logit_real_BT.cumsum(dim=1).clamp(max=math.log(c.ratio_limit)).exp()
        return ratio_BT + c.log_weight * to_go(logit_real_BT).clamp(-c.log_clip, c.log_clip)

    def known_values(self, before_BT1: Tensor, logit_real_BTV: Tensor) -> Tensor:
        """The whole ratio, and the token's own log-ratio, clipped; see ``DenseReward``."""
        c = self.config
        ratio_BTV = (before_BT1 + logit_real_BTV).clamp(max=math.log(c.ratio_limit)).exp()
        return ratio_BTV + c.log_weight * logit_real_BTV.clamp(-c.log_clip, c.log_clip)


def _build(context: RewardContext) -> Reward:
    return BothDivergences(context.config)


register_reward(
    "both_divergences",
    _build,
    label="both KL",
    summary="D/(1 − D) and a clipped multiple of its logarithm: the forward and the reverse divergence together.",
    source="arXiv 1702.07983, arXiv 2302.08215",
    unit="ratio and nats",
    config=BothDivergencesConfig,
)
