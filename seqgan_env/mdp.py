"""The token-choosing Markov decision process, as pure functions over a batch.

The state is the prefix, the action is the next token, the transition is deterministic (it appends), and an episode ends
with the end-of-sequence token or at the horizon. ``SeqGANEnv`` and ``SeqGANVectorEnv`` are this process with different
clothes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seqgan_env.tokens import SequenceSpec, Tokens


class State(NamedTuple):
    """A batch of prefixes."""

    tokens_BT: Tokens
    """The prefixes, padded with the id V."""
    length_B: Tokens
    """Their lengths in tokens."""


def initial(spec: SequenceSpec, n: int, prefix: Any = ()) -> State:
    """The starting state of ``n`` episodes: the empty prefix, or one given prefix for all.

    Raises:
        ValueError: ``prefix`` is not a row of token ids (padding is none), is as long as the horizon, or has ended
            already.
    """
    row = np.asarray(prefix)
    if row.ndim != 1:
        raise ValueError(f"prefix must be a row of token ids, got an array of shape {row.shape}")
    if len(row) >= spec.max_length:
        raise ValueError(f"prefix must be shorter than T = {spec.max_length} tokens, got {len(row)}")
    prefix_T = spec.validate(row.reshape(1, -1), name="prefix")[0]
    if spec.lengths(prefix_T) < len(row):
        raise ValueError(f"prefix must hold token ids in [0, {spec.vocab_size}), got the padding id {spec.pad_id}")
    if spec.eos_id is not None and (prefix_T == spec.eos_id).any():
        raise ValueError(f"prefix must not hold the end-of-sequence token {spec.eos_id}")
    tokens_BT = np.tile(prefix_T, (n, 1))
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
    if not np.issubdtype(action_B.dtype, np.integer):
        raise ValueError(f"an action must be a whole number, got {action_B.dtype} {action_B[:1].tolist()}")
    outside = (action_B < 0) | (action_B >= spec.vocab_size)
    if outside.any():
        raise ValueError(f"an action must be a token id in [0, {spec.vocab_size}), got {action_B[outside][0]}")
    return action_B.astype(np.int64, copy=False)
