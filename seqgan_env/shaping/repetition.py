"""A penalty for repetition within a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeFloat, PositiveInt, check_fields
from seqgan_env.shaping.base import Floats, Shaping, ShapingContext, register_shaping
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class RepetitionConfig:
    """The settings of ``repetition``.

    Raises:
        ValueError: a number out of range.
    """

    n: PositiveInt = 2
    """Length of the n-grams, tokens."""
    weight: NonNegativeFloat = 0.1
    """The cost of a repetition."""

    def __post_init__(self) -> None:
        check_fields(self)


class RepetitionPenalty:
    """A step pays ``-weight`` if its last n tokens stood in the sequence before, overlapping or not, else 0.

    Every payment is 0 or negative, in the unit of the reward.

    Args:
        config: the settings.
    """

    n_carried = 0

    def __init__(self, config: RepetitionConfig) -> None:
        self._n, self._weight = config.n, config.weight

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``."""
        return np.zeros((len(length_B), 0))

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        ngram_BPn = np.lib.stride_tricks.sliding_window_view(tokens_BT, self._n, axis=1)  # P places
        last_B = length_B - self._n  # negative where there is none
        last_B1n = ngram_BPn[np.arange(len(last_B)), np.maximum(last_B, 0)][:, None]
        is_earlier_BP = np.arange(ngram_BPn.shape[1]) < last_B[:, None]
        repeats_B = (is_earlier_BP & (ngram_BPn == last_B1n).all(axis=2)).any(axis=1)
        return np.where(repeats_B, -self._weight, 0.0), carry_BK


def _build(context: ShapingContext) -> Shaping:
    config: RepetitionConfig = context.config
    if config.n >= context.spec.max_length:
        horizon = context.spec.max_length
        raise ValueError(f"n of shaping 'repetition' must be below T = {horizon}, or nothing repeats; got {config.n}")
    return RepetitionPenalty(config)


register_shaping(
    "repetition",
    _build,
    summary="A penalty for a token that completes an n-gram which its own sequence holds already.",
    formula="−w [Y_{t-n+1:t} stood before]",
    source="this project; as the constraint of arXiv 1705.04304, section 2.5, but soft",
    keeps_optimal_policy=False,
    length_effect="shorter",
    length_reason="no token is paid and some cost; a short sequence has less to repeat",
    config=RepetitionConfig,
)
