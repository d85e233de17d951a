"""Action values by Monte Carlo completions (SeqGAN, arXiv 1609.05473, eq. 4): the estimate of Q in eq. 13.40."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.policy import AutoregressivePolicy

Score = Callable[[Tensor], Tensor]
"""Maps complete sequences ``(M, T)`` to their rewards ``(M,)``, float64."""


class LastStep(NamedTuple):
    """All the values of the last step, for the M sequences that reach it."""

    sequence_M: Tensor
    """Their places in the batch."""
    log_prob_MV: Tensor
    """log G(y_T | Y_{1:T-1}) of every token, nats, with gradient."""
    q_MV: Tensor
    """Q(Y_{1:T-1}, y_T) of every token (eq. 13.38), float64."""

    @property
    def value_M(self) -> Tensor:
        """The inner sum of eq. 13.40 at t = T - 1, without gradient."""
        return (self.log_prob_MV.detach().to(self.q_MV).exp() * self.q_MV).sum(dim=1)


@torch.no_grad()
def action_values(
    policy: AutoregressivePolicy,
    tokens_BT: Tensor,
    reward_B: Tensor,
    score: Score,
    *,
    n_completions: int,
    generator: torch.Generator | None = None,
    stratified: bool = False,
    last: LastStep | None = None,
) -> Tensor:
    """Estimate ``Q(Y_{1:t-1}, y_t)`` for every token of every sequence.

    For the last token it is the reward of the sequence itself (eq. 13.38); for an earlier one the mean reward of
    ``n_completions`` continuations of ``Y_{1:t}`` by the policy, which is unbiased for eq. 13.40.

    All completions of all prefixes advance together, one position at a time: at position t those that began earlier
    read the token they chose last, those that begin here start from the state of the sequence they branch off.

    Args:
        policy: the rollout policy. The estimate is unbiased for this policy's Q, not for that of the policy that drew
            the sequences: with a copy that lags behind, eq. 13.44 gets a bias.
        tokens_BT: complete sequences.
        reward_B: their rewards.
        score: gives the rewards of the completions; called once.
        n_completions: N, at least 1.
        generator: where the completions' randomness comes from; None is torch's global generator.
        stratified: draw the first tokens of the completions of one prefix from N equal parts of the distribution, one
            from each, in random order. Each completion still follows the policy, so the mean is unbiased.
        last: the values of ``last_step``. Where they are given, the sum over the last token is taken exactly and the
            prefixes of T - 1 tokens need no completions.

    Returns:
        ``q_BT``, float64; 0 at padding.

    Raises:
        ValueError: ``n_completions`` is below 1.
    """
    if n_completions < 1:
        raise ValueError(f"n_completions must be at least 1, got {n_completions}")
    spec = policy.spec
    n, (batch, horizon) = n_completions, tokens_BT.shape
    device = tokens_BT.device
    length_B = (tokens_BT != spec.pad_id).sum(dim=1)

    # One lane for each (prefix length, completion, sequence) whose prefix is not yet the whole sequence.
    start_PB = torch.arange(1, horizon, device=device)[:, None] < length_B
    if last is not None:
        start_PB[-1:] = False
    start_PNB = start_PB[:, None, :].expand(-1, n, -1)
    n_starting_P = (start_PB.sum(dim=1) * n).tolist()
    sequence_M = torch.arange(batch, device=device).expand_as(start_PNB)[start_PNB]
    prefix_length_M = torch.arange(1, horizon, device=device)[:, None, None].expand_as(start_PNB)[start_PNB]
    lanes_MT = tokens_BT[sequence_M]
    lanes_MT[torch.arange(horizon, device=device) >= prefix_length_M[:, None]] = spec.pad_id

    row_A = torch.zeros(0, dtype=torch.int64, device=device)  # the lanes that are being written
    state_A = tuple(part[:0] for part in policy.core.initial_state(1))
    state_B = policy.read(torch.full_like(tokens_BT, spec.pad_id))
    first = 0
    for t in range(1, horizon):
        # positions count from 0: prefixes of t tokens are complete up to t - 1, and position t is drawn here
        state_B = policy.step(tokens_BT[:, t - 1], state_B)
        new = slice(first, first + n_starting_P[t - 1])
        first = new.stop
        if len(row_A):
            state_A = policy.step(lanes_MT[row_A, t - 1], state_A)
        branch = sequence_M[new]
        if stratified:
            token_A = policy.choose(state_A, generator) if len(row_A) else row_A
            logits_BV = policy.output(state_B[0][start_PB[t - 1]])
            token_A = torch.cat([token_A, stratified_tokens(logits_BV, n, generator).flatten()])
        state_A = tuple(torch.cat([old, part[branch]]) for old, part in zip(state_A, state_B, strict=True))
        row_A = torch.cat([row_A, torch.arange(new.start, new.stop, device=device)])
        if not stratified:
            token_A = policy.choose(state_A, generator)
        lanes_MT[row_A, t] = token_A
        if spec.eos_id is not None:
            alive = (token_A != spec.eos_id).nonzero().squeeze(1)
            row_A, state_A = row_A[alive], tuple(part[alive] for part in state_A)

    q_BT = torch.zeros(batch, horizon, dtype=torch.float64, device=device)
    if len(lanes_MT):
        reward_M = score(lanes_MT).to(q_BT)
        reward_PNB = torch.zeros(start_PNB.shape, dtype=q_BT.dtype, device=device).masked_scatter(start_PNB, reward_M)
        q_BT[:, :-1] = reward_PNB.mean(dim=1).t()
    if last is not None and horizon > 1:
        q_BT[last.sequence_M, -2] = last.value_M
    q_BT[torch.arange(batch, device=device), length_B - 1] = reward_B.to(q_BT)
    return q_BT


def last_step(policy: AutoregressivePolicy, tokens_BT: Tensor, score: Score) -> LastStep:
    """Score all V last tokens of every sequence of T tokens, whichever it has.

    A sequence that end-of-sequence ended before T has no such step. It costs V scores a sequence, so it is for a small
    vocabulary.

    Args:
        policy: gives the probabilities.
        tokens_BT: complete sequences.
        score: gives the rewards; called once, or not at all where no sequence reaches T.
    """
    spec = policy.spec
    sequence_M = (tokens_BT[:, -1] != spec.pad_id).nonzero().squeeze(1)
    inputs_MT = torch.nn.functional.pad(tokens_BT[sequence_M, :-1], (1, 0), value=spec.pad_id)
    log_prob_MV = policy.output(policy.core(inputs_MT)[:, -1]).log_softmax(dim=1)
    lanes_MVT = tokens_BT[sequence_M, None].repeat(1, spec.vocab_size, 1)
    lanes_MVT[:, :, -1] = torch.arange(spec.vocab_size, device=tokens_BT.device)
    q_MV = torch.zeros(log_prob_MV.shape, dtype=torch.float64, device=tokens_BT.device)
    if len(sequence_M):
        q_MV = score(lanes_MVT.flatten(0, 1)).to(q_MV).unflatten(0, q_MV.shape)
    return LastStep(sequence_M, log_prob_MV, q_MV)


def stratified_tokens(logits_BV: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw n tokens a row, one from each n-th part of the unit interval by inverting the cumulative distribution.

    The parts come in random order, so each of the n tokens alone follows the softmax (eq. 13.30). Together they cannot
    all fall on the same side, and the variance of a mean over them is at most that of independent ones.

    Returns:
        ``token_NB``.
    """
    shape, device = (len(logits_BV), n), logits_BV.device
    part_BN = torch.rand(shape, generator=generator, device=device).argsort(dim=1)
    within_BN = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
    uniform_BN = ((part_BN + within_BN) / n).clamp(max=1 - 1e-12)  # so that rounding never carries it past the end
    cumulative_BV = logits_BV.double().softmax(dim=1).cumsum(dim=1)
    return torch.searchsorted(cumulative_BV, uniform_BN * cumulative_BV[:, -1:], right=True).t()
