"""Potential-based shaping (Ng, Harada and Russell, 1999)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.shaping.base import Floats, Shaping, ShapingContext, register_shaping
from seqgan_env.tokens import Tokens

Potential = Callable[[Tokens, Tokens], npt.NDArray[Any]]
"""Maps prefixes ``(B, T)``, padded with V, and their lengths ``(B,)`` to potentials ``(B,)``."""


class PotentialShaping:
    """A step from prefix s to s' pays ``gamma * potential(s') - potential(s)``; a complete sequence has potential 0.

    The payments of an episode, discounted, telescope to minus the potential of its first prefix, whatever its length,
    so the best policy stays as it is. A single payment may have either sign; its unit is that of the potential.

    Args:
        potential: of unfinished prefixes; it must answer the same whenever it is asked.
        gamma: the discount of the agent that learns.
    """

    n_carried = 1  # the potential of the prefix, as it was when it was reached

    def __init__(self, potential: Potential, gamma: float) -> None:
        self._potential = potential
        self._gamma = gamma

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """The potential of each prefix, shape ``(B, 1)``.

        Raises:
            ValueError: the potential is not one finite number for each prefix.
        """
        n = len(tokens_BT)
        if n == 0:
            return np.zeros((0, 1))
        potential_B = np.asarray(self._potential(tokens_BT, length_B), dtype=np.float64)
        if potential_B.shape != (n,) or not np.isfinite(potential_B).all():
            raise ValueError(f"shaping must give {n} finite numbers, got {potential_B!r}")
        return potential_B[:, None]

    def total(self, beginning_BT: Tokens, start_B: Tokens, tokens_BT: Tokens, length_B: Tokens) -> Floats | None:
        """Minus the potential of the beginning, if nothing is discounted; see ``TelescopingShaping``."""
        return -self.start(beginning_BT, start_B)[:, 0] if self._gamma == 1 else None

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        new_BK = np.zeros((len(ended_B), 1))
        new_BK[~ended_B] = self.start(tokens_BT[~ended_B], length_B[~ended_B])
        return self._gamma * new_BK[:, 0] - carry_BK[:, 0], new_BK


def _of_discriminator(context: ShapingContext) -> Shaping:
    return PotentialShaping(lambda tokens_BT, length_B: context.scoring.prefix_reward(tokens_BT), context.gamma)


register_shaping(
    "discriminator",
    _of_discriminator,
    summary="The potential Φ of an unfinished prefix is the reward that it would get as it is, and 0 at the end.",
    formula="γ Φ(Y_{1:t}) − Φ(Y_{1:t-1})",
    source="Ng, Harada and Russell (1999)",
    keeps_optimal_policy=True,
    length_effect="neither",
    length_reason="the payments sum to minus the potential of the first prefix",
)
