"""Exact answers for tasks small enough to enumerate: every sequence, every value, the best policy.

A policy is given by a function from prefixes to the probabilities of their next tokens, and a reward by a function from
complete sequences to numbers, such as the ``score`` of a task or of an environment. All is double precision.

Suffixes beside those of ``tokens``: K all complete sequences, in the order of ``all_sequences``; S all states, which
are the prefixes that have not ended, in the order of ``open_prefixes``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.tokens import SequenceSpec, Tokens

Floats = npt.NDArray[np.float64]
Score = Callable[[Tokens], npt.NDArray[Any]]
"""Maps complete sequences ``(B, T)`` to their rewards ``(B,)``."""
Policy = Callable[[Tokens], npt.NDArray[Any]]
"""Maps prefixes ``(B, T)``, padded with V, to the probabilities of their next tokens ``(B, V)``: G(. | Y_{1:t-1})."""

MAX_TOKENS = 1 << 24
"""A task is enumerable if all its sequences together have no more tokens than this: 128 MB."""


# ------------------------------------------------------------------------------------------------------- sequences


def n_sequences(spec: SequenceSpec) -> int:
    """The number of complete sequences: ``V ** T`` where there is no end-of-sequence.

    Raises:
        ValueError: the task is too large to enumerate.
    """
    return n_completions(spec)[0]


def n_completions(spec: SequenceSpec) -> list[int]:
    """The number of sequences that begin with a given open prefix of t tokens, for t = 0 to T (1, for T).

    Raises:
        ValueError: the task is too large to enumerate.
    """
    n_after = [1]
    if spec.max_length**2 <= MAX_TOKENS:
        for _ in range(spec.max_length):
            n_after.append(_n_words(spec) * n_after[-1] + (spec.eos_id is not None))
    # T² too, as a task of a single sequence still has T states
    if max(n_after[-1], spec.max_length) * spec.max_length > MAX_TOKENS:
        raise ValueError(
            f"the task must be small enough to enumerate, with at most {MAX_TOKENS} tokens in all its sequences; got"
            f" {spec}"
        )
    return n_after[::-1]


def all_sequences(spec: SequenceSpec) -> Tokens:
    """Every complete sequence, padded, in lexicographic order, shape ``(K, T)``.

    Raises:
        ValueError: the task is too large to enumerate.
    """
    weight_TV = index_weights(spec)[:, :-1]
    rest_K = np.arange(n_sequences(spec))
    is_open_K = np.ones(len(rest_K), dtype=np.bool_)
    tokens_KT = np.full((len(rest_K), spec.max_length), spec.pad_id, dtype=np.int64)
    for t in range(spec.max_length):
        token = np.searchsorted(weight_TV[t], rest_K[is_open_K], side="right") - 1
        rest_K[is_open_K] -= weight_TV[t, token]
        tokens_KT[is_open_K, t] = token
        is_open_K[is_open_K] = token != spec.eos_id
    return tokens_KT


def index_weights(spec: SequenceSpec) -> Tokens:
    """The share of each token in the index of its sequence among ``all_sequences``, shape ``(T, V + 1)``.

    A token y at step t comes after all completions of ``Y_{1:t-1}`` by a lower token. There are as many completions of
    each, except that end-of-sequence is one by itself. Padding adds nothing.

    Raises:
        ValueError: the task is too large to enumerate.
    """
    n_after_T1 = np.array(n_completions(spec)[1:])[:, None]
    token_U = np.arange(spec.vocab_size + 1)
    n_ends_U = np.zeros_like(token_U) if spec.eos_id is None else (token_U > spec.eos_id).astype(np.int64)
    weight_TU: Tokens = (token_U - n_ends_U) * n_after_T1 + n_ends_U
    weight_TU[:, spec.pad_id] = 0
    return weight_TU


def sequence_index(spec: SequenceSpec, tokens: Any) -> Tokens:
    """The place of each sequence among ``all_sequences``, shape ``(B,)``.

    Raises:
        ValueError: a sequence that is not complete, or the task is too large to enumerate.
    """
    tokens_BT = spec.validate(tokens, complete=True, name="sequences")
    return np.asarray(index_weights(spec)[np.arange(spec.max_length), tokens_BT].sum(axis=1), dtype=np.int64)


def open_prefixes(spec: SequenceSpec) -> Tokens:
    """Every state: the prefixes that have not ended, the empty one first and shorter before longer, shape ``(S, T)``.

    Raises:
        ValueError: the task is too large to enumerate.
    """
    start_T1 = _level_starts(spec)
    width = _n_words(spec)
    tokens_ST = np.full((start_T1[-1], spec.max_length), spec.pad_id, dtype=np.int64)
    for t in range(1, spec.max_length):
        rank = np.arange(start_T1[t + 1] - start_T1[t])
        for place in reversed(range(t)):
            rank, digit = rank // width, rank % width
            tokens_ST[start_T1[t] : start_T1[t + 1], place] = (
                digit if spec.eos_id is None else digit + (digit >= spec.eos_id)
            )
    return tokens_ST


def prefix_index(spec: SequenceSpec, prefixes: Any) -> Tokens:
    """The place of each prefix among ``open_prefixes``, shape ``(B,)``.

    Raises:
        ValueError: one of them has ended, or the task is too large to enumerate.
    """
    tokens_BT = spec.validate(prefixes, name="prefixes")
    if spec.is_complete(tokens_BT).any():
        raise ValueError(f"prefixes must not have ended; row {spec.is_complete(tokens_BT).argmax()} has")
    start_T1 = np.array(_level_starts(spec))
    rank_B = np.zeros(len(tokens_BT), dtype=np.int64)
    for token_B in tokens_BT.T:
        digit_B = token_B if spec.eos_id is None else token_B - (token_B > spec.eos_id)
        rank_B = np.where(token_B == spec.pad_id, rank_B, rank_B * _n_words(spec) + digit_B)
    return np.asarray(start_T1[spec.lengths(tokens_BT)] + rank_B, dtype=np.int64)


# ---------------------------------------------------------------------------------------------------------- values


def sequence_probabilities(spec: SequenceSpec, policy: Policy) -> Floats:
    """The probability of every sequence, the product of its conditionals (eq. 13.31), shape ``(K,)``.

    Raises:
        ValueError: the policy gives no probabilities, or the task is too large to enumerate.
    """
    p_SV = _tabulated(spec, policy)
    tokens_KT = all_sequences(spec)
    probability_K = np.ones(len(tokens_KT))
    for t in range(spec.max_length):
        row = np.flatnonzero(tokens_KT[:, t] != spec.pad_id)
        before_T = np.where(np.arange(spec.max_length) < t, tokens_KT[row], spec.pad_id)
        probability_K[row] *= p_SV[prefix_index(spec, before_T), tokens_KT[row, t]]
    return probability_K


def action_values(spec: SequenceSpec, score: Score, policy: Policy) -> Floats:
    """``Q(Y_{1:t-1}, y_t)`` of a policy for every state and every token, shape ``(S, V)``.

    It is the reward where the token ends the sequence (eq. 13.38), else the recursion of eq. 13.40: the sum over the
    tokens that may follow, each with its probability.

    Raises:
        ValueError: a reward that is not finite, a policy that gives no probabilities, or a task too large to enumerate.
    """
    p_SV = _tabulated(spec, policy)
    return _backed_up(spec, score, lambda q_RV, states: (p_SV[states] * q_RV).sum(axis=1))


def optimal_action_values(spec: SequenceSpec, score: Score) -> Floats:
    """``Q*(Y_{1:t-1}, y_t)``, eq. 13.40 for the policy that always takes the best token, shape ``(S, V)``.

    Raises:
        ValueError: a reward that is not finite, or the task is too large to enumerate.
    """
    return _backed_up(spec, score, lambda q_RV, states: q_RV.max(axis=1))


def value(spec: SequenceSpec, score: Score, policy: Policy) -> float:
    """The expected reward J of a policy from the empty prefix (eq. 13.39), by eq. 13.41.

    Raises:
        ValueError: a reward that is not finite, a policy that gives no probabilities, or a task too large to enumerate.
    """
    p_V = _tabulated(spec, policy)[0]
    return float(p_V @ action_values(spec, score, policy)[0])


def optimal_value(spec: SequenceSpec, score: Score) -> float:
    """J of the best policy: the highest reward there is, as a policy may always write that sequence.

    Raises:
        ValueError: a reward that is not finite, or the task is too large to enumerate.
    """
    return float(_rewards(spec, score).max())


def optimal_policy(spec: SequenceSpec, score: Score) -> Callable[[Any], Tokens]:
    """The best policy: a function from prefixes ``(B, t)`` to their best next tokens ``(B,)``, the lowest id on a tie.

    The function raises ``ValueError`` for a prefix that has ended.

    Raises:
        ValueError: a reward that is not finite, or the task is too large to enumerate.
    """
    best_S = optimal_action_values(spec, score).argmax(axis=1)
    return lambda prefixes: best_S[prefix_index(spec, prefixes)]


def uniform_policy(spec: SequenceSpec) -> Policy:
    """The policy that takes every token with the same probability, 1 / V."""
    return lambda prefixes: np.full((len(prefixes), spec.vocab_size), 1.0 / spec.vocab_size)


# ----------------------------------------------------------------------------------------------------------- parts


def _n_words(spec: SequenceSpec) -> int:
    """The number of tokens that don't end a sequence by themselves."""
    return spec.vocab_size - (spec.eos_id is not None)


def _level_starts(spec: SequenceSpec) -> list[int]:
    """The places where the prefixes of t tokens begin among all states, t = 0 to T - 1, and the number of states."""
    n_sequences(spec)  # refuses what is too large
    starts = [0]
    for t in range(spec.max_length):
        starts.append(starts[-1] + _n_words(spec) ** t)
    return starts


def _rewards(spec: SequenceSpec, score: Score) -> Floats:
    """The reward of every sequence, checked, shape ``(K,)``."""
    tokens_KT = all_sequences(spec)
    reward_K = np.asarray(score(tokens_KT), dtype=np.float64)
    if reward_K.shape != (len(tokens_KT),) or not np.isfinite(reward_K).all():
        raise ValueError(
            f"score must give {len(tokens_KT)} finite rewards, got shape {reward_K.shape} with"
            f" {np.count_nonzero(~np.isfinite(reward_K))} values that are not finite"
        )
    return reward_K


def _tabulated(spec: SequenceSpec, policy: Policy) -> Floats:
    """The probabilities that a policy gives in every state, checked, shape ``(S, V)``."""
    prefix_ST = open_prefixes(spec)
    p_SV = np.asarray(policy(prefix_ST), dtype=np.float64)
    if p_SV.shape != (len(prefix_ST), spec.vocab_size):
        raise ValueError(f"policy must give shape {(len(prefix_ST), spec.vocab_size)}, got {p_SV.shape}")
    total_S = p_SV.sum(axis=1)
    # a softmax in single precision is off by some 1e-7
    if not (p_SV >= 0).all() or not np.allclose(total_S, 1.0, rtol=0, atol=1e-4):
        raise ValueError(
            f"policy must give probabilities: rows of numbers from 0 that sum to 1; got sums from {total_S.min()} to"
            f" {total_S.max()} and {p_SV.min()} as the least"
        )
    return p_SV


def _backed_up(spec: SequenceSpec, score: Score, value_of: Callable[[Floats, slice], Floats]) -> Floats:
    """Q of every state and token, from the last step to the first.

    Args:
        spec: the task's sequences.
        score: the reward.
        value_of: the values ``(R,)`` of R states from their action values ``(R, V)`` and from where they stand.
    """
    reward_K = _rewards(spec, score)
    prefix_ST, starts = open_prefixes(spec), _level_starts(spec)
    q_SV = np.zeros((len(prefix_ST), spec.vocab_size))
    value_R = np.zeros(0)
    for t in reversed(range(spec.max_length)):
        states = slice(starts[t], starts[t + 1])
        is_last_V = np.arange(spec.vocab_size) == (-1 if spec.eos_id is None else spec.eos_id)
        if t == spec.max_length - 1:
            is_last_V[:] = True
        else:  # the longer prefixes stand in the order of their beginnings, then of their last token
            q_SV[states, ~is_last_V] = value_R.reshape(states.stop - states.start, _n_words(spec))
        for token in np.flatnonzero(is_last_V):
            sequence_RT = prefix_ST[states].copy()
            sequence_RT[:, t] = token
            q_SV[states, token] = reward_K[sequence_index(spec, sequence_RT)]
        value_R = value_of(q_SV[states], states)
    return q_SV
