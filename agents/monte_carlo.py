"""Action values by Monte Carlo completions (SeqGAN, arXiv 1609.05473, eq. 4): the estimate of Q in eq. 13.40."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.policy import AutoregressivePolicy
from seqgan_env.device import may_look
from seqgan_env.progress import progress

Score = Callable[[Tensor], Tensor]
"""Maps complete sequences ``(M, T)`` to their rewards ``(M,)``, float64."""


class LastStep(NamedTuple):
    """All the values of the last step, for the M sequences that reach it."""

    sequence_M: Tensor
    """Their places in the batch; on a GPU all places, and values of 0 for those that don't reach it."""
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

    looks = may_look(device)  # which sequences and lanes have ended; otherwise all go on to the horizon
    n_prefixes = horizon - 1 if last is None else max(0, horizon - 2)
    everyone = torch.arange(batch, device=device)
    # which sequences have a token after their first 1, 2, ...
    branching = [everyone[length_B > t] if looks else everyone for t in range(1, n_prefixes + 1)]

    # One lane for each (prefix length, completion, sequence).
    n_lanes = [n * len(branch) for branch in branching]
    lanes_MT = tokens_BT[torch.cat([everyone[:0], *(branch.repeat(n) for branch in branching)])]
    for t, lanes in enumerate(lanes_MT.split(n_lanes), start=1):
        lanes[:, t:] = spec.pad_id
    row_A = everyone[:0]  # the lanes that are being written
    state_A = tuple(part[:0] for part in policy.core.initial_state(1))
    token_A = everyone[:0]
    state_B = policy.step(torch.full_like(tokens_BT[:, 0], spec.pad_id), policy.core.initial_state(batch))
    bar = progress(sum(n * (horizon - t) for t, n in enumerate(n_lanes, start=1)), "completing", "token")
    for t in range(1, horizon):
        # positions count from 0: prefixes of t tokens are complete up to t - 1, and position t is drawn here
        state_B = policy.step(tokens_BT[:, t - 1], state_B)
        if len(row_A):
            state_A = policy.step(token_A, state_A)
            token_A = policy.choose(state_A, generator)
        if t <= n_prefixes:
            branch, first = branching[t - 1], sum(n_lanes[: t - 1])
            state_S = tuple(part[branch] for part in state_B)
            draw = stratified_uniforms if stratified else uniforms
            uniform_SN = draw(len(branch), n, generator, device, state_S[0].dtype)
            token_A = torch.cat([token_A, policy.choose(state_S, uniform_BN=uniform_SN).t().flatten()])
            state_A = tuple(
                torch.cat([old, new.repeat(n, *[1] * (new.ndim - 1))])
                for old, new in zip(state_A, state_S, strict=True)
            )
            row_A = torch.cat([row_A, torch.arange(first, first + n_lanes[t - 1], device=device)])
        if spec.eos_id is not None and not looks:
            before_A = lanes_MT[row_A, t - 1]
            token_A = torch.where((before_A == spec.eos_id) | (before_A == spec.pad_id), spec.pad_id, token_A)
        lanes_MT[row_A, t] = token_A
        bar.update(sum(n_lanes[:t]))  # those that have ended too: their tokens cost nothing, but were counted
        if spec.eos_id is not None and looks:
            alive = (token_A != spec.eos_id).nonzero().squeeze(1)
            row_A, token_A, state_A = row_A[alive], token_A[alive], tuple(part[alive] for part in state_A)
    bar.close()

    q_BT = torch.zeros(batch, horizon, dtype=torch.float64, device=device)
    if len(lanes_MT):
        rewards = score(lanes_MT).to(q_BT).split(n_lanes)
        for t, (branch, reward_M) in enumerate(zip(branching, rewards, strict=True)):
            q_BT[branch, t] = reward_M.view(n, -1).mean(dim=0)
    if last is not None and horizon > 1:
        q_BT[last.sequence_M, -2] = last.value_M
    q_BT.masked_fill_(torch.arange(horizon, device=device) >= length_B[:, None], 0)
    return q_BT.scatter_(1, length_B[:, None] - 1, reward_B.to(q_BT)[:, None])


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
    reaches_B = tokens_BT[:, -1] != spec.pad_id
    if may_look(tokens_BT.device):
        sequence_M = reaches_B.nonzero().squeeze(1)
    else:  # those that don't reach it too, with values of 0
        sequence_M = torch.arange(len(tokens_BT), device=tokens_BT.device)
    reaches_M1 = reaches_B[sequence_M, None]
    inputs_MT = torch.nn.functional.pad(tokens_BT[sequence_M, :-1], (1, 0), value=spec.pad_id)
    log_prob_MV = policy.output(policy.core(inputs_MT)[:, -1]).log_softmax(dim=1)
    lanes_MVT = tokens_BT[sequence_M, None].repeat(1, spec.vocab_size, 1)
    lanes_MVT[:, :, -1] = torch.where(reaches_M1, torch.arange(spec.vocab_size, device=tokens_BT.device), spec.pad_id)
    q_MV = torch.zeros(log_prob_MV.shape, dtype=torch.float64, device=tokens_BT.device)
    if len(sequence_M):
        q_MV = score(lanes_MVT.flatten(0, 1)).to(q_MV).unflatten(0, q_MV.shape) * reaches_M1
    return LastStep(sequence_M, log_prob_MV, q_MV)


def uniforms(
    n_rows: int, n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Independent numbers from 0 to 1, ``uniform_SN``."""
    return torch.rand(n_rows, n, generator=generator, device=device, dtype=dtype)


def stratified_uniforms(
    n_rows: int, n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Numbers from 0 to 1 of which each row has one in each n-th part, in random order, ``uniform_SN``.

    Each of the n alone is uniform, so a token at which it inverts a cumulative distribution follows that distribution
    (eq. 13.30). Together they cannot all fall on the same side, and the variance of a mean over them is at most that of
    independent ones.
    """
    part_SN = torch.rand(n_rows, n, generator=generator, device=device).argsort(dim=1)
    return ((part_SN + uniforms(n_rows, n, generator, device)) / n).to(dtype)
