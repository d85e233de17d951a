"""Constrained generation: the tokens that may come next, as a mask over the actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments, check_type
from seqgan_env.tokens import SequenceSpec, Tokens

Mask = npt.NDArray[np.int8]
"""1 where a token may be chosen, 0 where not: the form that ``Discrete.sample(mask=...)`` takes."""
AllowedNext = Callable[[Tokens, Tokens], npt.NDArray[np.bool_]]
"""Maps prefixes ``(B, T)``, padded with V, and their lengths ``(B,)`` to the tokens that may follow, ``(B, V)``."""


class ActionMask:
    """The tokens that may follow a prefix.

    After a sequence that has ended all are allowed: an action there is ignored or refused as a whole, and an agent that
    draws one all the same must not find an empty distribution. Padding and the start symbol are no actions, so they
    need no mask; the unknown token of a text stands in its real sequences and is a word like any other.

    Args:
        spec: the task's sequences.
        min_length: the tokens that a sequence has before it may end, counting end-of-sequence itself.
        allowed: ids of a lexicon, or None for all; end-of-sequence always belongs to it.
        allowed_next: a function of the prefix, or None. It must answer the same whenever it is asked.

    Raises:
        ValueError: ``min_length`` is not in [1, T], or above 1 where nothing but the horizon ends a sequence; an id is
            no token; or the lexicon is empty.
    """

    @check_arguments
    def __init__(
        self,
        spec: SequenceSpec,
        *,
        min_length: PositiveInt = 1,
        allowed: Iterable[int] | None = None,
        allowed_next: AllowedNext | None = None,
    ) -> None:
        if min_length > spec.max_length:
            raise ValueError(f"min_length must be at most T = {spec.max_length}, got {min_length}")
        if min_length > 1 and spec.eos_id is None:
            raise ValueError(f"min_length must be 1 where every sequence has T tokens, got {min_length}")
        allowed_V = np.ones(spec.vocab_size, dtype=np.bool_)
        if allowed is not None:
            ids = [check_type("a token of allowed_tokens", token, NonNegativeInt) for token in allowed]
            if not ids or max(ids) >= spec.vocab_size:
                raise ValueError(f"allowed_tokens must hold token ids in [0, {spec.vocab_size}), got {ids}")
            allowed_V[:] = False
            allowed_V[ids] = True
            if spec.eos_id is not None:
                allowed_V[spec.eos_id] = True
        self._spec = spec
        self._min_length = min_length
        self._allowed_next = allowed_next
        self._allowed_V = allowed_V
        self._without_end_V = allowed_V.copy()
        if spec.eos_id is not None:
            self._without_end_V[spec.eos_id] = False
            if min_length > 1 and not self._without_end_V.any():
                raise ValueError("allowed_tokens must hold a token besides end-of-sequence where min_length is above 1")
        self.is_free = bool(allowed_V.all()) and min_length == 1 and allowed_next is None
        """Whether every token may always come next."""

    def __call__(self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_]) -> Mask:
        """The mask after each prefix, shape ``(B, V)``; not to be written to.

        Args:
            tokens_BT: prefixes, padded with V.
            length_B: their lengths.
            ended_B: which of them are complete.

        Raises:
            ValueError: ``allowed_next`` answers with something else than such a mask, or leaves no token to choose.
        """
        if self.is_free:  # one number, B x V times: nothing is written however large V is
            return np.broadcast_to(np.int8(1), (len(ended_B), self._spec.vocab_size))
        may_end_B = length_B + 1 >= self._min_length
        allowed_BV = np.where(may_end_B[:, None], self._allowed_V, self._without_end_V)
        if self._allowed_next is not None and not ended_B.all():
            open_B = ~ended_B
            answer_BV = np.asarray(self._allowed_next(tokens_BT[open_B], length_B[open_B]))
            expected = (int(open_B.sum()), self._spec.vocab_size)
            if answer_BV.shape != expected or answer_BV.dtype != np.bool_:
                raise ValueError(
                    f"allowed_next must answer with a boolean array of shape {expected}, "
                    f"got {answer_BV.dtype} of shape {answer_BV.shape}"
                )
            allowed_BV[open_B] &= answer_BV
            dead_B = open_B & ~allowed_BV.any(axis=1)
            if dead_B.any():
                b = int(dead_B.argmax())
                prefix = tokens_BT[b, : length_B[b]].tolist()
                raise ValueError(f"the task's constraints must leave a token to choose; after {prefix} none is left")
        allowed_BV[ended_B] = True
        return allowed_BV.view(np.int8)
