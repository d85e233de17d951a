"""The Markov decision process, by walking every sequence of two tasks that can be enumerated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqgan_env import mdp
from seqgan_env.tokens import SequenceSpec
from tests.support.reference import all_sequences
from tests.support.reference_env import BAD_ACTIONS, has_ended

FIXED, ENDING = SequenceSpec(3, 3), SequenceSpec(3, 3, eos_id=1)


@pytest.mark.parametrize("spec", [FIXED, ENDING])
def test_choosing_the_tokens_of_a_sequence_writes_it_and_ends_with_its_last(spec: SequenceSpec) -> None:
    sequences_BT = all_sequences(spec)
    state = mdp.initial(spec, len(sequences_BT))
    assert (state.tokens_BT == spec.pad_id).all()
    assert (state.length_B == 0).all()
    running = np.arange(len(sequences_BT))
    for t in range(spec.max_length):
        before = mdp.State(state.tokens_BT.copy(), state.length_B.copy())
        next_state, terminal_B = mdp.step(spec, state, sequences_BT[running, t])
        np.testing.assert_array_equal(state.tokens_BT, before.tokens_BT)  # the arguments are left as they are
        np.testing.assert_array_equal(state.length_B, before.length_B)
        np.testing.assert_array_equal(next_state.tokens_BT[:, : t + 1], sequences_BT[running, : t + 1])
        assert (next_state.tokens_BT[:, t + 1 :] == spec.pad_id).all()
        assert (next_state.length_B == t + 1).all()
        expected = [has_ended(spec, sequences_BT[b, : t + 1].tolist()) for b in running]
        assert terminal_B.tolist() == expected
        np.testing.assert_array_equal(next_state.tokens_BT[terminal_B], sequences_BT[running[terminal_B]])
        running = running[~terminal_B]
        state = mdp.State(next_state.tokens_BT[~terminal_B], next_state.length_B[~terminal_B])
    assert len(running) == 0


@pytest.mark.parametrize("spec", [FIXED, ENDING])
def test_starting_from_a_prefix_is_arriving_there(spec: SequenceSpec) -> None:
    for row_T in all_sequences(spec):
        state = mdp.initial(spec, 2)
        for t in range(int(spec.lengths(row_T[None])[0])):
            start = mdp.initial(spec, 2, row_T[:t])
            np.testing.assert_array_equal(start.tokens_BT, state.tokens_BT)
            np.testing.assert_array_equal(start.length_B, state.length_B)
            state, _ = mdp.step(spec, state, row_T[[t, t]])


def test_rows_with_lengths_of_their_own() -> None:
    state = mdp.State(np.array([[3, 3, 3], [0, 3, 3], [0, 2, 3]]), np.array([0, 1, 2]))
    state, terminal_B = mdp.step(ENDING, state, np.array([2, 1, 0]))
    assert state.tokens_BT.tolist() == [[2, 3, 3], [0, 1, 3], [0, 2, 0]]
    assert state.length_B.tolist() == [1, 2, 3]
    assert terminal_B.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ([0, 2, 0], "prefix must be shorter than T = 3 tokens, got 3"),
        ([0] * 5, "prefix must be shorter than T = 3 tokens, got 5"),
        ([5], r"prefix must hold ids in \[0, 3\), .* got 5"),
        ([-1], r"prefix must hold ids in \[0, 3\), .* got -1"),
        ([3], r"prefix must hold token ids in \[0, 3\), got the padding id 3"),
        ([0, 3], r"prefix must hold token ids in \[0, 3\), got the padding id 3"),
        ([1], "prefix must not hold the end-of-sequence token 1"),
        ([0, 1], "prefix must not hold the end-of-sequence token 1"),
        ([1, 0], "prefix must hold nothing after padding or end-of-sequence"),
        ([[0]], "prefix must be a row of token ids, or one for each of 2 episodes; got 1 rows"),
        ([[[0]]], r"prefix must be a row of token ids, got an array of shape \(1, 1, 1\)"),
        (0, r"prefix must be a row of token ids, got an array of shape \(\)"),
        (None, r"prefix must be a row of token ids, got an array of shape \(\)"),
        ([0.0], "prefix must be whole numbers, got an array of float64"),
        ([True], "prefix must be whole numbers, got an array of bool"),
        (["a"], "prefix must be whole numbers, got an array of <U1"),
    ],
)
def test_initial_refuses(prefix: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mdp.initial(ENDING, 2, prefix)


@pytest.mark.parametrize(("action", "message"), BAD_ACTIONS)
def test_check_actions_refuses(action: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mdp.check_actions(FIXED, [action])


@pytest.mark.parametrize("actions", [1, [[1]], [[1], [2, 0]]])
def test_check_actions_takes_one_id_a_row(actions: Any) -> None:
    with pytest.raises(ValueError, match=r"an action must be one token id|inhomogeneous"):
        mdp.check_actions(FIXED, actions)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64])
def test_check_actions_takes_every_integer_type(dtype: Any) -> None:
    action_B = mdp.check_actions(FIXED, np.array([2, 0, 1], dtype=dtype))
    assert action_B.dtype == np.int64
    assert action_B.tolist() == [2, 0, 1]
