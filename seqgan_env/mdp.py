"""The token-choosing Markov decision process, as pure functions over a batch.

The state is the prefix, the action is the next token, the transition is deterministic (it appends), and an episode ends
with the end-of-sequence token or at the horizon. ``SeqGANEnv`` and ``SeqGANVectorEnv`` are thin wrappers around it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import shown
from seqgan_env.tokens import SequenceSpec, Tokens


class State(NamedTuple):
    """A batch of prefixes."""

    tokens_BT: Tokens
    """The prefixes, padded with the id V."""
    length_B: Tokens
    """Their lengths in tokens."""


@dataclass(frozen=True, eq=False)
class EpisodeState:
    """The state of a batch of episodes: all that ``restore_state`` needs, and nothing of the discriminator.

    A single environment has a batch of one, so a state can go from it to every row of a vector environment.
    """

    tokens_BT: Tokens
    """The prefixes, padded with the id V."""
    length_B: Tokens
    """Their lengths in tokens."""
    ended_B: npt.NDArray[np.bool_]
    """True for those that are over."""
    reward_B: npt.NDArray[np.float64]
    """The last reward of each."""
    carry_BK: npt.NDArray[np.float64]
    """The numbers that the task's shaping carries from one step to the next; K is 0 without shaping."""

    def check_arrays(self) -> None:
        """Refuse arrays of another type than those of ``clone_state``, and rewards of another number of episodes.

        Raises:
            ValueError: an array is none, or of another type, or not finite; or the rewards are too few or too many.
        """
        kinds = ("int64", "int64", "bool", "float64", "float64")
        for (name, array), kind in zip(vars(self).items(), kinds, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype != kind or not np.isfinite(array).all():
                raise ValueError(f"the state's {name} must be a finite array of {kind}, got {shown(array)}")
        if self.reward_B.shape != (n := len(self.tokens_BT),):
            raise ValueError(f"the state's rewards must be one for each of {n} episodes, got {self.reward_B.shape}")

    def take(self, rows: Any) -> EpisodeState:
        """The state of some episodes, in any order and number, such as ``[0] * 64`` or the survivors of a beam.

        Args:
            rows: indices, or a boolean mask of shape ``(B,)``.

        Raises:
            ValueError: an index is out of range, or it is neither.
        """
        n, rows = len(self.tokens_BT), np.asarray(rows)
        is_mask = rows.dtype == np.bool_ and rows.shape == (n,)
        if not rows.size:
            rows = rows.astype(np.int64)
        if not is_mask and not (rows.dtype.kind in "iu" and rows.ndim == 1 and ((-n <= rows) & (rows < n)).all()):
            raise ValueError(f"rows must be indices of {n} episodes or a boolean mask of them, got {shown(rows)}")
        return EpisodeState(*(getattr(self, field.name)[rows] for field in fields(self)))

    def where(self, chosen_B: npt.NDArray[np.bool_], other: EpisodeState) -> EpisodeState:
        """The episodes of the mask from this state, the rest from the other."""
        chosen_B1 = chosen_B[:, None]
        return EpisodeState(
            np.where(chosen_B1, self.tokens_BT, other.tokens_BT),
            np.where(chosen_B, self.length_B, other.length_B),
            np.where(chosen_B, self.ended_B, other.ended_B),
            np.where(chosen_B, self.reward_B, other.reward_B),
            np.where(chosen_B1, self.carry_BK, other.carry_BK),
        )


def initial(spec: SequenceSpec, n: int, prefix: Any = ()) -> State:
    """The starting state of ``n`` episodes: the empty prefix, one given prefix for all, or one for each.

    Args:
        spec: the task's sequences.
        n: B.
        prefix: a row of token ids, or an array of shape ``(B, t)``, padded with V.

    Raises:
        ValueError: ``prefix`` is neither (padding is no token of a row), or one is as long as the horizon or has ended
            already.
    """
    if isinstance(prefix, tuple) and not prefix:
        return State(np.full((n, spec.max_length), spec.pad_id, dtype=np.int64), np.zeros(n, dtype=np.int64))
    rows = np.asarray(prefix)
    if rows.ndim not in (1, 2):
        raise ValueError(f"prefix must be a row of token ids, got an array of shape {rows.shape}")
    if rows.ndim == 2 and len(rows) != n:
        raise ValueError(f"prefix must be a row of token ids, or one for each of {n} episodes; got {len(rows)} rows")
    if rows.shape[-1] >= spec.max_length:
        raise ValueError(f"prefix must be shorter than T = {spec.max_length} tokens, got {rows.shape[-1]}")
    tokens_BT = spec.validate(np.atleast_2d(rows), name="prefix")
    if rows.ndim == 1 and spec.lengths(tokens_BT)[0] < len(rows):
        raise ValueError(f"prefix must hold token ids in [0, {spec.vocab_size}), got the padding id {spec.pad_id}")
    if spec.eos_id is not None and (tokens_BT == spec.eos_id).any():
        raise ValueError(f"prefix must not hold the end-of-sequence token {spec.eos_id}")
    if rows.ndim == 1:
        tokens_BT = np.tile(tokens_BT, (n, 1))
    return State(tokens_BT, spec.lengths(tokens_BT))


def step(spec: SequenceSpec, state: State, action_B: Tokens) -> tuple[State, npt.NDArray[np.bool_]]:
    """Append one token to each prefix; the arguments are left as they are.

    Args:
        spec: the task's sequences.
        state: prefixes that have not ended.
        action_B: valid token ids.

    Returns:
        The next state, and whether each sequence is now complete, shape ``(B,)``.
    """
    tokens_BT = state.tokens_BT.copy()
    tokens_BT[np.arange(len(action_B)), state.length_B] = action_B
    length_B = state.length_B + 1
    terminal_B = length_B == spec.max_length
    if spec.eos_id is not None:
        terminal_B |= action_B == spec.eos_id
    return State(tokens_BT, length_B), terminal_B


def check_actions(spec: SequenceSpec, action: Any) -> Tokens:
    """A batch of actions as ``int64`` of shape ``(B,)``.

    Raises:
        ValueError: not whole numbers in [0, V), or not one a row.
    """
    action_B = np.asarray(action)
    if action_B.ndim != 1:
        raise ValueError(f"an action must be one token id, got an array of shape {action_B.shape[1:]}")
    if action_B.dtype.kind not in "iu":
        raise ValueError(f"an action must be a whole number, got {action_B.dtype} {action_B[:1].tolist()}")
    token_B = action_B.astype(np.int64, copy=False)
    outside_B = token_B.view(np.uint64) >= spec.vocab_size  # a negative number is a large one here
    if outside_B.any():
        raise ValueError(f"an action must be a token id in [0, {spec.vocab_size}), got {action_B[outside_B][0]}")
    return token_B
