"""The mathematics in slow, obvious forms: double precision, plain loops, every sequence of a task one by one.

Here a sequence is a tuple of token ids without padding; it includes its end-of-sequence token, where it has one. A
generator is a function from a prefix to the V probabilities of the next token.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.tokens import SequenceSpec, Tokens

Floats = npt.NDArray[np.float64]
Prefix = tuple[int, ...]
NextToken = Callable[[Prefix], Tensor]
"""G(. | prefix): V probabilities, float64, perhaps with gradient."""
Reward = Callable[[Prefix], float]
"""The reward of a complete sequence."""


# ------------------------------------------------------------------------------------------------------- sequences


def is_complete(spec: SequenceSpec, prefix: Prefix) -> bool:
    return len(prefix) == spec.max_length or (spec.eos_id is not None and spec.eos_id in prefix)


def sequences(spec: SequenceSpec, prefix: Prefix = ()) -> list[Prefix]:
    """Every complete sequence that begins with ``prefix``."""
    if is_complete(spec, prefix):
        return [prefix]
    return [sequence for token in range(spec.vocab_size) for sequence in sequences(spec, (*prefix, token))]


def open_prefixes(spec: SequenceSpec) -> list[Prefix]:
    """Every prefix that has not ended: the states, s_0 = () first."""
    return sorted({sequence[:t] for sequence in sequences(spec) for t in range(len(sequence))}, key=len)


def padded(spec: SequenceSpec, rows: Iterable[Sequence[int]]) -> Tokens:
    """Sequences as a batch of tokens, shape ``(B, T)``."""
    return np.array([[*row, *[spec.pad_id] * (spec.max_length - len(row))] for row in rows], dtype=np.int64)


def unpadded(spec: SequenceSpec, tokens_BT: Tokens | Tensor) -> list[Prefix]:
    """A batch of tokens as sequences."""
    return [tuple(token for token in row if token != spec.pad_id) for row in tokens_BT.tolist()]


def all_sequences(spec: SequenceSpec) -> Tokens:
    """Every complete sequence as a batch of tokens, in lexicographic order, shape ``(B, T)``."""
    return padded(spec, sequences(spec))


def representatives(spec: SequenceSpec) -> list[Prefix]:
    """One of the sequences that agree up to their last token: every state is on the way of one of them."""
    return list({sequence[:-1]: sequence for sequence in sequences(spec)}.values())


def random_reward(spec: SequenceSpec, seed: int = 0) -> dict[Prefix, float]:
    """A reward of its own for every sequence."""
    rows = sequences(spec)
    return dict(zip(rows, np.random.default_rng(seed).normal(size=len(rows)).tolist(), strict=True))


# -------------------------------------------------------------------------------------------------------- policies


def next_token_of(policy: AutoregressiveModel) -> NextToken:
    """A shipped policy with the parameters it has now, one prefix at a time, read from the start symbol.

    The policy must be in double precision; the gradient reaches its parameters.
    """

    @functools.cache
    def next_token(prefix: Prefix) -> Tensor:
        hidden_1TH = policy.core(torch.tensor([[policy.spec.pad_id, *prefix]]))
        return torch.softmax(policy.output(hidden_1TH[0, -1]), dim=0)

    return next_token


def lstm_next_token(policy: AutoregressiveModel) -> NextToken:
    """Eq. 13.28-13.30 written out: h_t = g(h_{t-1}, x_t) and softmax(W h_t + c), from the numbers in the policy."""
    weights = {name: tensor.double() for name, tensor in copy.deepcopy(policy).state_dict().items()}
    embedding, output, bias = weights["core.embedding.weight"], weights["output.weight"], weights["output.bias"]

    def next_token(prefix: Prefix) -> Tensor:
        hidden = cell = torch.zeros(output.shape[1], dtype=torch.float64)
        for token in (policy.spec.pad_id, *prefix):
            gates = weights["core.rnn.weight_ih_l0"] @ embedding[token] + weights["core.rnn.bias_ih_l0"]
            gates = gates + weights["core.rnn.weight_hh_l0"] @ hidden + weights["core.rnn.bias_hh_l0"]
            admit, keep, candidate, show = gates.split(len(hidden))
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(admit) * torch.tanh(candidate)
            hidden = torch.sigmoid(show) * torch.tanh(cell)
        weight = torch.exp(output @ hidden + bias)
        return weight / weight.sum()

    return next_token


def table_policy(spec: SequenceSpec, seed: int = 0) -> tuple[NextToken, list[Tensor]]:
    """A policy with logits of its own for every prefix, and its parameters: whatever a policy can be, this can."""
    states = {prefix: s for s, prefix in enumerate(open_prefixes(spec))}
    generator = torch.Generator().manual_seed(seed)
    logits_SV = torch.randn(len(states), spec.vocab_size, generator=generator, dtype=torch.float64, requires_grad=True)
    return lambda prefix: torch.softmax(logits_SV[states[prefix]], dim=0), [logits_SV]


def softmax(hidden_H: Tensor, weight_VH: Tensor, bias_V: Tensor, temperature: float = 1.0) -> Floats:
    """Eq. 13.30: exp over the sum of exp, in double precision."""
    logits_V = (weight_VH.double() @ hidden_H.double() + bias_V.double()).numpy() / temperature
    weight_V = np.exp(logits_V - logits_V.max())
    return np.asarray(weight_V / weight_V.sum())


def truncated(p_V: Floats, top_k: int | None = None, top_p: float | None = None) -> Floats:
    """Top-k and top-p by definition, one token after the other: the likeliest, until there are k or they reach p."""
    kept_V = np.zeros_like(p_V)
    likeliest = sorted(range(len(p_V)), key=lambda token: -p_V[token])
    if top_k is not None:
        likeliest = likeliest[:top_k]
    goal = 1.0 if top_p is None else top_p * sum(p_V[token] for token in likeliest)
    for token in likeliest:
        if kept_V.sum() < goal:
            kept_V[token] = p_V[token]
    return np.asarray(kept_V / kept_V.sum())


# --------------------------------------------------------------------------------------- values and their gradient


def probability(next_token: NextToken, sequence: Prefix, given: int = 0) -> Tensor:
    """Eq. 13.31: the product of the conditionals, those of the first ``given`` tokens left out."""
    product = torch.ones((), dtype=torch.float64)
    for t in range(given, len(sequence)):
        product = product * next_token(sequence[:t])[sequence[t]]
    return product


def expected_reward(spec: SequenceSpec, next_token: NextToken, reward: Reward, prefix: Prefix = ()) -> Tensor:
    """Eq. 13.39: the sum over all sequences (that begin with ``prefix``) of probability times reward."""
    total = torch.zeros((), dtype=torch.float64)
    for sequence in sequences(spec, prefix):
        total = total + probability(next_token, sequence, given=len(prefix)) * reward(sequence)
    return total


def action_value(spec: SequenceSpec, next_token: NextToken, reward: Reward, prefix: Prefix, token: int) -> Tensor:
    """Q(Y_{1:t-1}, y_t): the reward at the end (eq. 13.38), before it the recursion (eq. 13.40)."""
    longer = (*prefix, token)
    if is_complete(spec, longer):
        return torch.tensor(reward(longer), dtype=torch.float64)
    value = torch.zeros((), dtype=torch.float64)
    for following, p in enumerate(next_token(longer)):
        value = value + p * action_value(spec, next_token, reward, longer, following)
    return value


def action_values(
    spec: SequenceSpec, next_token: NextToken, reward: Reward, rows: Iterable[Sequence[int]]
) -> torch.Tensor:
    """Q of every token of every sequence, shape ``(B, T)``, 0 at padding."""

    @functools.cache
    def value(prefix: Prefix, token: int) -> float:
        return action_value(spec, next_token, reward, prefix, token).item()

    q_BT = [[value(tuple(row[:t]), row[t]) for t in range(len(row))] for row in rows]
    return torch.tensor([[*row, *[0.0] * (spec.max_length - len(row))] for row in q_BT], dtype=torch.float64)


def objective(spec: SequenceSpec, next_token: NextToken, reward: Reward) -> Tensor:
    """Eq. 13.41: J from s_0, the sum over y_1 of G(y_1 | s_0) Q(s_0, y_1)."""
    total = torch.zeros((), dtype=torch.float64)
    for token, p in enumerate(next_token(())):
        total = total + p * action_value(spec, next_token, reward, (), token)
    return total


def gradient_of(scalar: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """All partial derivatives in one vector."""
    gradients = torch.autograd.grad(scalar, parameters, retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def gradient_by_enumeration(
    spec: SequenceSpec, next_token: NextToken, reward: Reward, parameters: Sequence[Tensor]
) -> Tensor:
    """grad J by differentiating eq. 13.39."""
    return gradient_of(expected_reward(spec, next_token, reward), parameters)


def gradient_by_theorem(
    spec: SequenceSpec,
    next_token: NextToken,
    reward: Reward,
    parameters: Sequence[Tensor],
    completed_by: NextToken | None = None,
) -> Tensor:
    """grad J by eq. 13.44: sum over t and Y_{1:t-1}, weighted by its probability, of sum_y grad G(y | Y_{1:t-1}) Q.

    Q is that of ``completed_by``, which is not grad J where it is another policy than the one that is differentiated.
    """
    completed_by = next_token if completed_by is None else completed_by
    total = torch.zeros((), dtype=torch.float64)
    for prefix in open_prefixes(spec):
        reached = probability(next_token, prefix).detach()
        for token, p in enumerate(next_token(prefix)):
            total = total + reached * p * action_value(spec, completed_by, reward, prefix, token).detach()
    return gradient_of(total, parameters)


def over_all_batches(policy: AutoregressiveModel, n: int, loss_of: Callable[[Tensor], Tensor]) -> tuple[Tensor, float]:
    """The mean of a loss's gradient over every batch of n sequences that the policy may draw, and its variance.

    The variance is the trace of the covariance.

    Args:
        policy: in double precision.
        n: sequences in a batch.
        loss_of: maps a batch ``(n, T)`` to the loss.
    """
    rows_KT = torch.from_numpy(all_sequences(policy.spec))
    log_p_K = policy.log_prob(rows_KT).detach().sum(dim=1)
    parameters = list(policy.parameters())
    mean, square = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64), 0.0
    for batch in itertools.product(range(len(rows_KT)), repeat=n):
        p = float(log_p_K[list(batch)].sum().exp())
        gradient = gradient_of(loss_of(rows_KT[list(batch)]), parameters)
        mean, square = mean + p * gradient, square + p * float(gradient @ gradient)
    return mean, square - float(mean @ mean)


def reward_of(table: Mapping[Prefix, float]) -> Reward:
    """A table of rewards as a function."""
    return lambda sequence: table[sequence]
