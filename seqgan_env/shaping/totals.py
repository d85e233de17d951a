"""The payments of whole episodes: the sum over the steps that a shaping pays.

Dimensions: those of ``base``.
"""

from __future__ import annotations

import numpy as np

from seqgan_env.shaping.base import Floats, Shaping, TelescopingShaping
from seqgan_env.shaping.choice import SummedShaping
from seqgan_env.tokens import SequenceSpec, Tokens


def total_payments(shaping: Shaping, spec: SequenceSpec, tokens_BT: Tokens, start_B: Tokens | None = None) -> Floats:
    """The sum of what the steps of complete episodes are paid by a shaping, shape ``(B,)``.

    Args:
        shaping: replayed step by step, unless it knows its sum.
        spec: the sequences.
        tokens_BT: complete sequences, padded with V.
        start_B: the lengths of the prefixes that the episodes began with; None is the empty one.
    """
    length_B = spec.lengths(tokens_BT)
    start_B = np.zeros_like(length_B) if start_B is None else start_B
    if isinstance(shaping, SummedShaping):
        totals = [total_payments(part, spec, tokens_BT, start_B) for part in shaping.parts]
        return np.asarray(np.sum(totals, axis=0))
    beginning_BT = _prefixes(spec, tokens_BT, start_B)
    if isinstance(shaping, TelescopingShaping):
        total_B = shaping.total(beginning_BT, start_B, tokens_BT, length_B)
        if total_B is not None:
            return total_B
    carry_BK = shaping.start(beginning_BT, start_B)
    paid_B = np.zeros(len(tokens_BT))
    for t in range(int(start_B.min(initial=0)), int(length_B.max(initial=0))):
        moves_B = (start_B <= t) & (t < length_B)
        after_M = np.full(int(moves_B.sum()), t + 1)
        prefix_MT = _prefixes(spec, tokens_BT[moves_B], after_M)
        bonus_M, carry_BK[moves_B] = shaping.step(prefix_MT, after_M, length_B[moves_B] == t + 1, carry_BK[moves_B])
        paid_B[moves_B] += bonus_M
    return paid_B


def _prefixes(spec: SequenceSpec, tokens_BT: Tokens, length_B: Tokens) -> Tokens:
    """The first tokens of each sequence, padded with V."""
    prefix_BT: Tokens = np.where(np.arange(spec.max_length) < length_B[:, None], tokens_BT, spec.pad_id)
    return prefix_BT
