"""Action values by Monte Carlo completions (SeqGAN, arXiv 1609.05473, eq. 4): the estimate of Q in eq. 13.40."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.cores import rows_of
from seqgan_env.device import may_look
from seqgan_env.parallel import parallel_map, row_parts
from seqgan_env.progress import progress
from seqgan_env.tokens import SequenceSpec

Score = Callable[[Tensor], Tensor]
"""Maps complete sequences ``(M, T)`` to their rewards ``(M,)``, float64."""

_TOKENS_AT_ONCE = 1 << 21
"""Tokens of completions that are held in memory together."""


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
    generator: AutoregressiveModel,
    tokens_BT: Tensor,
    reward_B: Tensor,
    score: Score,
    *,
    n_completions: int,
    rng: torch.Generator | None = None,
    stratified: bool = False,
    last: LastStep | None = None,
    discount: float = 1.0,
) -> Tensor:
    """Estimate ``Q(Y_{1:t-1}, y_t)`` for every token of every sequence.

    For the last token it is the reward of the sequence itself (eq. 13.38); for an earlier one the mean reward of
    ``n_completions`` continuations of ``Y_{1:t}`` by the policy, which is unbiased for eq. 13.40.

    The completions of all prefixes of some sequences advance together, one position at a time: at position t those that
    began earlier read the token they chose last, those that begin here start from the state of the sequence they branch
    off. As many sequences are completed at once as memory that doesn't grow with their number has room for, at least
    one; each prefix takes its random numbers from ``rng`` in turn, so on a CPU that changes nothing but rounding.

    Args:
        generator: the rollout policy. The estimate is unbiased for its Q, not for that of the policy that drew the
            sequences: with a copy that lags behind, eq. 13.44 gets a bias.
        tokens_BT: complete sequences.
        reward_B: their rewards.
        score: gives the rewards of the completions; called once for the sequences that are completed at once.
        n_completions: N; with 0 every token of a sequence has the reward of the whole: the unbiased estimate of
            the most variance, for batches that are large instead.
        rng: where the completions' randomness comes from; None is torch's global generator.
        stratified: draw the first tokens of the completions of one prefix from N equal parts of the distribution, one
            from each, in random order. Each completion still follows the policy, so the mean is unbiased.
        last: the values of ``last_step``. Where they are given, the sum over the last token is taken exactly and the
            prefixes of T - 1 tokens need no completions.
        discount: factor of a reward for each token after the one whose value it is.

    Returns:
        ``q_BT``, float64; 0 at padding.

    Raises:
        ValueError: ``n_completions`` is below 0.
    """
    if n_completions < 0:
        raise ValueError(f"n_completions must be at least 0, got {n_completions}")
    if n_completions == 0:
        return reward_B.double()[:, None] * _discounts(generator.spec, tokens_BT, discount)
    batch, horizon = tokens_BT.shape
    n_lengths = max(0, horizon - (1 if last is None else 2))
    q_BT = torch.zeros(batch, horizon, dtype=torch.float64, device=tokens_BT.device)
    with progress(batch, "completing", "sequence") as bar:
        for some in chunks(batch, n_lengths * n_completions * horizon):
            arguments = n_lengths, score, n_completions, rng, stratified, discount
            _estimate(generator, tokens_BT[some], *arguments, q_BT[some], bar.update)
    if last is not None and horizon > 1:
        q_BT[last.sequence_M, -2] = discount * last.value_M
    length_B = generator.spec.lengths(tokens_BT)
    q_BT.masked_fill_(torch.arange(horizon, device=q_BT.device) >= length_B[:, None], 0)
    return q_BT.scatter_(1, length_B[:, None] - 1, reward_B.to(q_BT)[:, None])


def _discounts(spec: SequenceSpec, tokens_BT: Tensor, discount: float) -> Tensor:
    """The factor of the reward of a sequence in the value of each of its tokens, float64; 0 at padding."""
    left_BT = spec.lengths(tokens_BT)[:, None] - torch.arange(1, tokens_BT.shape[1] + 1, device=tokens_BT.device)
    return discount ** left_BT.clamp(min=0).double() * (left_BT >= 0)


def chunks(n: int, n_tokens: int) -> list[slice]:
    """Rows cut into parts whose completions are held in memory at once.

    Args:
        n: how many rows there are.
        n_tokens: of the completions of one.
    """
    size = max(1, _TOKENS_AT_ONCE // max(1, n_tokens))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _estimate(
    generator: AutoregressiveModel,
    tokens_BT: Tensor,
    n_lengths: int,
    score: Score,
    n_completions: int,
    rng: torch.Generator | None,
    stratified: bool,
    discount: float,
    q_BT: Tensor,
    on_completed: Callable[[int], object],
) -> None:
    """Write the values of the tokens before the last of some sequences into ``q_BT``; its padding is left undefined.

    Only the prefixes of at most ``n_lengths`` tokens are completed. ``on_completed`` is told how many sequences have
    been; the other arguments are those of ``action_values``.
    """
    batch, horizon = tokens_BT.shape
    device = tokens_BT.device
    looks = may_look(device)  # which sequences have ended; otherwise their prefixes are completed too, and masked later
    position_T = torch.arange(horizon, device=device)

    # The prefixes, those of one sequence side by side: Y_{1:t} of sequence_P, and t of them.
    prefix_P = torch.arange(batch * n_lengths, device=device)
    if looks:
        prefix_P = prefix_P[(position_T[1 : n_lengths + 1] < generator.spec.lengths(tokens_BT)[:, None]).flatten()]
    if not len(prefix_P):
        return
    sequence_P, t_P = prefix_P // n_lengths, prefix_P % n_lengths + 1

    dtype, more = generator.output.weight.dtype, 2 * stratified
    drawn_PND = torch.rand(len(prefix_P), n_completions, horizon + more, generator=rng, device=device, dtype=dtype)
    uniform_PNT = drawn_PND[:, :, :horizon]
    if stratified:
        first_PN = stratified_uniforms(*drawn_PND[:, :, horizon:].unbind(dim=2)).to(dtype)
        uniform_PNT.scatter_(2, t_P[:, None, None].expand(-1, n_completions, 1), first_PN[:, :, None])
    lanes_PNT = tokens_BT[sequence_P, None].repeat(1, n_completions, 1)
    lanes_PNT.masked_fill_(position_T >= t_P[:, None, None], generator.spec.pad_id)

    def complete(rows: slice) -> None:
        """The prefixes of some sequences."""
        some = slice(None)
        if rows != slice(0, batch):
            some = slice(*torch.searchsorted(sequence_P, torch.tensor([rows.start, rows.stop])).tolist())
        of_P = sequence_P[some] - rows.start
        _complete(generator, tokens_BT[rows], of_P, t_P[some], n_lengths, uniform_PNT[some], lanes_PNT[some])
        on_completed(rows.stop - rows.start)

    work = n_completions * n_lengths * horizon / 2 * generator.spec.vocab_size
    parallel_map(complete, row_parts(batch, work) if looks else [slice(0, batch)], device)
    lanes_MT = lanes_PNT.flatten(0, 1)
    reward_PN = score(lanes_MT).to(q_BT).view(-1, n_completions)
    if discount < 1:
        left_PN = generator.spec.lengths(lanes_MT).view(-1, n_completions) - t_P[:, None]
        reward_PN = reward_PN * discount ** left_PN.to(reward_PN)
    q_BT[sequence_P, t_P - 1] = reward_PN.mean(dim=1)


def _complete(
    generator: AutoregressiveModel,
    tokens_BT: Tensor,
    sequence_P: Tensor,
    t_P: Tensor,
    n_lengths: int,
    uniform_PNT: Tensor,
    lanes_PNT: Tensor,
) -> None:
    """Write the completions into their lanes.

    Args:
        generator: draws them.
        tokens_BT: sequences.
        sequence_P: where in the batch the sequence is whose prefix is completed.
        t_P: how many tokens of it are given, 1 to ``n_lengths``.
        n_lengths: where values can't be read, each sequence has all these prefixes, in order.
        uniform_PNT: where to invert the distribution of each token.
        lanes_PNT: the prefixes, N times each.
    """
    spec, looks = generator.spec, may_look(tokens_BT.device)
    n, horizon = lanes_PNT.shape[1:]
    lanes_MT, uniform_MT = lanes_PNT.flatten(0, 1), uniform_PNT.flatten(0, 1)  # views
    state_B = generator.start(len(tokens_BT))
    # the lanes that are being written, the tokens they chose last, and the states in which they did
    row_A, token_A, state_A = t_P[:0], t_P[:0], rows_of(state_B, slice(0))
    everything_P = torch.arange(len(t_P), device=t_P.device)
    for t in range(1, horizon):
        # positions count from 0: prefixes of t tokens are complete up to t - 1, and position t is drawn here
        state_B = generator.step(tokens_BT[:, t - 1], state_B)
        if len(row_A):
            state_A = generator.step(token_A, state_A)
            token_A = generator.choose(state_A, uniform_BN=uniform_MT[row_A, t, None]).squeeze(1)
        if t <= n_lengths:
            prefix_S = (t_P == t).nonzero().squeeze(1) if looks else everything_P[t - 1 :: n_lengths]
            state_S = rows_of(state_B, sequence_P[prefix_S])
            token_SN = generator.choose(state_S, uniform_BN=uniform_PNT[prefix_S, :, t])
            token_A = torch.cat([token_A, token_SN.flatten()])
            state_A = tuple(
                torch.cat([old, new.repeat_interleave(n, dim=0)]) for old, new in zip(state_A, state_S, strict=True)
            )
            row_A = torch.cat([row_A, (prefix_S[:, None] * n + torch.arange(n, device=t_P.device)).flatten()])
        if spec.eos_id is not None and not looks:
            before_A = lanes_MT[row_A, t - 1]
            token_A = torch.where((before_A == spec.eos_id) | (before_A == spec.pad_id), spec.pad_id, token_A)
        lanes_MT[row_A, t] = token_A
        if spec.eos_id is not None and looks:
            alive = (token_A != spec.eos_id).nonzero().squeeze(1)
            row_A, token_A, state_A = row_A[alive], token_A[alive], rows_of(state_A, alive)


def last_step(generator: AutoregressiveModel, tokens_BT: Tensor, score: Score) -> LastStep:
    """Score all V last tokens of every sequence of T tokens, whichever it has.

    A sequence that end-of-sequence ended before T has no such step. It costs V scores a sequence, so it is for a small
    vocabulary.

    Args:
        generator: gives the probabilities.
        tokens_BT: complete sequences.
        score: gives the rewards; called for some sequences at once, or not at all where none reaches T.
    """
    spec = generator.spec
    reaches_B = tokens_BT[:, -1] != spec.pad_id
    if may_look(tokens_BT.device):
        sequence_M = reaches_B.nonzero().squeeze(1)
    else:  # those that don't reach it too, with values of 0
        sequence_M = torch.arange(len(tokens_BT), device=tokens_BT.device)
    reaches_M1 = reaches_B[sequence_M, None]
    log_prob_MV = generator.output(generator.hidden(tokens_BT[sequence_M])[:, -1]).log_softmax(dim=1)
    q_MV = torch.zeros(log_prob_MV.shape, dtype=torch.float64, device=tokens_BT.device)
    last_MV = torch.where(reaches_M1, torch.arange(spec.vocab_size, device=tokens_BT.device), spec.pad_id)
    for some in chunks(len(sequence_M), spec.vocab_size * spec.max_length):
        lanes_KVT = tokens_BT[sequence_M[some], None].repeat(1, spec.vocab_size, 1)
        lanes_KVT[:, :, -1] = last_MV[some]
        q_MV[some] = score(lanes_KVT.flatten(0, 1)).to(q_MV).view(-1, spec.vocab_size) * reaches_M1[some]
    return LastStep(sequence_M, log_prob_MV, q_MV)


def stratified_uniforms(order_SN: Tensor, inside_SN: Tensor) -> Tensor:
    """Numbers from 0 to 1 of which each row has one in each n-th part, in random order, ``uniform_SN``, float64.

    Each of the n alone is uniform, so a token at which it inverts a cumulative distribution follows that distribution
    (eq. 13.30). Together they cannot all fall on the same side, and the variance of a mean over them is at most that of
    independent ones.

    Args:
        order_SN: independent uniform numbers, whose ranks are the parts.
        inside_SN: the same: the places within the parts.
    """
    part_SN = order_SN.argsort(dim=1)
    return (part_SN + inside_SN.double()) / order_SN.shape[1]
