"""The hot paths as the published implementations have them: plain, one thing after the other, and right.

Nothing is kept between prefixes, nothing is batched across positions or completions, every step draws with
``torch.multinomial``, convolutions are ``Conv2d`` and likelihoods hold all logits at once. ``benchmarks.speed``
measures the package against these, and the tests hold the package to their results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import CNNDiscriminator
from seqgan_env.tokens import Tokens


class PlainDiscriminator(nn.Module):
    """``CNNDiscriminator`` with ``Conv2d`` over ``(1, T, E)``, sharing its parameters.

    Args:
        discriminator: whose parameters to use.
    """

    def __init__(self, discriminator: CNNDiscriminator) -> None:
        super().__init__()
        self.shared = discriminator
        self.dropout = nn.Dropout(discriminator.dropout)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """``logit_real_B``."""
        d = self.shared
        embedded_B1TE = d.embedding(tokens_BT).unsqueeze(1)
        pooled = []
        for convolution in d.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            kernel_C1KE = convolution.weight.transpose(1, 2).unsqueeze(1)
            response_BCP = F.relu(F.conv2d(embedded_B1TE, kernel_C1KE, convolution.bias)).squeeze(3)
            pooled.append(F.max_pool1d(response_BCP, response_BCP.shape[2]).squeeze(2))
        features_BF = torch.cat(pooled, dim=1)
        gate_BF = torch.sigmoid(d.gate(features_BF))
        features_BF = gate_BF * F.relu(d.transform(features_BF)) + (1 - gate_BF) * features_BF
        logit_B: Tensor = d.output(self.dropout(features_BF)).squeeze(1)
        return logit_B


@torch.no_grad()
def sample(generator: AutoregressiveModel, n: int, prefix_BT: Tensor | None = None) -> Tensor:
    """Draw ``n`` sequences that begin with the given tokens, replaying these from the start token.

    Args:
        generator: the generator.
        n: how many; as many rows as ``prefix_BT`` has.
        prefix_BT: prefixes of one length, without padding.
    """
    spec = generator.spec
    given = 0 if prefix_BT is None else prefix_BT.shape[1]
    tokens_BT = torch.full((n, spec.max_length), spec.pad_id)
    ended_B = torch.zeros(n, dtype=torch.bool)
    token_B = torch.full((n,), spec.pad_id)
    state = generator.core.initial_state(n)
    for t in range(spec.max_length):
        state = generator.core.step(token_B, state)
        if prefix_BT is not None and t < given:
            token_B = prefix_BT[:, t]
        else:
            token_B = torch.multinomial(generator.output(state[0]).softmax(dim=1), 1).squeeze(1)
        tokens_BT[:, t] = torch.where(ended_B, spec.pad_id, token_B)
        if spec.eos_id is not None:
            ended_B |= token_B == spec.eos_id
    return tokens_BT


@torch.no_grad()
def action_values(
    generator: AutoregressiveModel,
    tokens_BT: Tensor,
    reward_B: Tensor,
    score: Callable[[Tensor], Tensor],
    n_completions: int,
) -> Tensor:
    """``agents.monte_carlo.action_values``: for each completion and each t a loop from the start token, and a score."""
    spec = generator.spec
    length_B = spec.lengths(tokens_BT)
    q_BT = torch.zeros(tokens_BT.shape, dtype=torch.float64)
    for _ in range(n_completions):
        for t in range(1, spec.max_length):
            row_M = (length_B > t).nonzero().squeeze(1)
            if len(row_M):
                completed_MT = sample(generator, len(row_M), tokens_BT[row_M, :t])
                q_BT[row_M, t - 1] += score(completed_MT).double() / n_completions
    q_BT[torch.arange(len(tokens_BT)), length_B - 1] = reward_B.double()
    return q_BT


def log_prob(generator: AutoregressiveModel, tokens_BT: Tensor) -> Tensor:
    """``AutoregressiveModel.log_prob`` with all logits at once, with gradient, for sequences of T tokens."""
    inputs_BT = F.pad(tokens_BT[:, :-1], (1, 0), value=generator.spec.pad_id)
    log_p_BTV = generator.output(generator.core(inputs_BT)).log_softmax(dim=2)
    log_prob_BT: Tensor = log_p_BTV.gather(2, tokens_BT[:, :, None]).squeeze(2)
    return log_prob_BT


def maximum_likelihood_epoch(
    generator: AutoregressiveModel, optimizer: torch.optim.Optimizer, real: Tokens, batch_size: int = 64
) -> None:
    """A pass over real sequences of T tokens."""
    for start in range(0, len(real), batch_size):
        loss = -log_prob(generator, torch.from_numpy(real[start : start + batch_size])).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(generator.parameters(), 5.0)
        optimizer.step()


def discriminator_epoch(
    plain: PlainDiscriminator, optimizer: torch.optim.Optimizer, real: Tokens, generated: Tokens, batch_size: int = 64
) -> None:
    """A pass over real and generated sequences, each batch of both."""
    plain.train()
    for start in range(0, len(real), batch_size):
        rows = slice(start, start + batch_size)
        tokens_BT = torch.from_numpy(np.concatenate([real[rows], generated[rows]]))
        label_B = torch.arange(len(tokens_BT)) < len(real[rows])
        loss = F.binary_cross_entropy_with_logits(plain(tokens_BT), label_B.float()) + plain.shared.penalty()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 5.0)
        optimizer.step()
    plain.eval()


def evaluate(generator: AutoregressiveModel, source: Any, test_BT: Tokens, generated_BT: Tokens) -> dict[str, float]:
    """Mean likelihoods, nats per token, of sequences of T tokens."""
    with torch.no_grad():
        own = [log_prob(generator, torch.from_numpy(x)).mean().item() for x in (test_BT, generated_BT)]
    n = generated_BT.size
    return {"nll_test": -own[0], "entropy": -own[1], "nll_oracle": -float(source.log_prob(generated_BT).sum()) / n}
