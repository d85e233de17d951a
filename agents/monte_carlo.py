"""Action values by Monte Carlo completions (SeqGAN, arXiv 1609.05473, eq. 4): the estimate of Q in eq. 13.40."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agents.policy import AutoregressivePolicy

Score = Callable[[Tensor], Tensor]
"""Maps complete sequences ``(M, T)`` to their rewards ``(M,)``, float64."""


@torch.no_grad()
def action_values(
    policy: AutoregressivePolicy,
    tokens_BT: Tensor,
    reward_B: Tensor,
    score: Score,
    *,
    n_completions: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Estimate ``Q(Y_{1:t-1}, y_t)`` for every token of every sequence.

    For the last token it is the reward of the sequence itself (eq. 13.38); for an earlier one the mean reward of
    ``n_completions`` continuations of ``Y_{1:t}`` by the policy, which is unbiased for eq. 13.40.

    All completions of all prefixes advance together, one position at a time: at position t those that began earlier
    read the token they chose last, those that begin here start from the state of the sequence they branch off.

    Args:
        policy: the rollout policy.
        tokens_BT: complete sequences.
        reward_B: their rewards.
        score: gives the rewards of the completions; called once.
        n_completions: N, at least 1.
        generator: where the completions' randomness comes from; None is torch's global generator.

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
        state_A = tuple(torch.cat([old, part[branch]]) for old, part in zip(state_A, state_B, strict=True))
        row_A = torch.cat([row_A, torch.arange(new.start, new.stop, device=device)])
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
    q_BT[torch.arange(batch, device=device), length_B - 1] = reward_B.to(q_BT)
    return q_BT
