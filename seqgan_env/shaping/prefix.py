"""A reward for every prefix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import check_fields
from seqgan_env.scoring import Scoring
from seqgan_env.shaping.base import Floats, Shaping, ShapingContext, register_shaping
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class PrefixConfig:
    """The settings of ``prefix``.

    Raises:
        ValueError: the weight is no number.
    """

    weight: float = 1.0
    """Factor of every payment."""

    def __post_init__(self) -> None:
        check_fields(self)


class PrefixReward:
    """Step t pays ``weight * R(Y_{1:t})`` of an unfinished prefix; a complete sequence has its terminal reward.

    R is the task's reward, clip included, of the prefix as it is. With ``reward="centered"`` and weight 1 every step
    pays ``2 D(Y_{1:t}) - 1``, which is ScratchGAN's (arXiv 1905.09922, eq. 3). Sign, range and unit are those of the
    reward, times the weight.

    Args:
        scoring: gives R.
        weight: see ``PrefixConfig``.
    """

    n_carried = 0

    def __init__(self, scoring: Scoring, weight: float) -> None:
        self._scoring = scoring
        self._weight = weight

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``."""
        return np.zeros((len(length_B), 0))

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        bonus_B = np.zeros(len(length_B))
        if not ended_B.all():
            bonus_B[~ended_B] = self._weight * self._scoring.prefix_reward(tokens_BT[~ended_B])
        return bonus_B, carry_BK


def _build(context: ShapingContext) -> Shaping:
    return PrefixReward(context.scoring, context.config.weight)


register_shaping(
    "prefix",
    _build,
    summary="The reward of every unfinished prefix as it is; with the reward `centered` that of ScratchGAN.",
    formula="w R(Y_{1:t}) [t < length]",
    source="ScratchGAN, arXiv 1905.09922, eq. 3",
    keeps_optimal_policy=False,
    length_effect="depends",
    length_reason="each token adds a reward: longer where w R is positive, as −log(1 − D), shorter where not",
    config=PrefixConfig,
)
