"""A bonus or a penalty for each token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import check_fields
from seqgan_env.shaping.base import Floats, Shaping, ShapingContext, register_shaping
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class LengthConfig:
    """The settings of ``length``.

    Raises:
        ValueError: the weight is no number.
    """

    weight: float = 0.01
    """The payment of each token: a bonus for length if positive, a penalty if negative."""

    def __post_init__(self) -> None:
        check_fields(self)


class LengthBonus:
    """Every step pays ``weight``, the one of end-of-sequence too: ``weight`` times the length in all.

    The unit is the reward's for a token. Where all sequences have T tokens it changes no policy.

    Args:
        weight: see ``LengthConfig``.
    """

    n_carried = 0

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``."""
        return np.zeros((len(length_B), 0))

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        return np.full(len(length_B), self._weight), carry_BK

    def total(self, beginning_BT: Tokens, start_B: Tokens, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """The weight for each token that was written; see ``TelescopingShaping``."""
        return (self._weight * (length_B - start_B)).astype(np.float64)


def _build(context: ShapingContext) -> Shaping:
    return LengthBonus(context.config.weight)


register_shaping(
    "length",
    _build,
    summary="A bonus, or with a negative weight a penalty, for each token.",
    formula="w",
    source="the per-word reward of arXiv 1808.10006",
    keeps_optimal_policy=False,
    length_effect="depends",
    length_reason="the weight's sign: longer where it is positive, shorter where negative",
    unit="of the reward, a token",
    config=LengthConfig,
)
