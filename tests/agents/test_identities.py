"""What the adversarial game optimises, by enumeration: the identities that docs/theory.md derives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgan_env.discriminators import OptimalDiscriminator
from seqgan_env.discriminators.losses import discriminator_loss
from seqgan_env.rewards.of_logit import log_ratio
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(4, 1)]


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_value_of_the_best_discriminator_is_twice_the_jensen_shannon_divergence_less_log_4(
    spec: SequenceSpec,
) -> None:
    """Eq. 13.32 at D* = p / (p + G), by the shipped loss on the whole task, each sequence as often as it is likely."""
    real, generated = lstm(spec, seed=1), lstm(spec, seed=0)
    tokens_BT = reference.padded(spec, reference.sequences(spec))
    p_B, g_B = (np.exp(policy.sequence_log_prob(tokens_BT)) for policy in (real, generated))
    best = OptimalDiscriminator(spec, real.sequence_log_prob, generated.sequence_log_prob)
    logit_B = torch.from_numpy(best.logits(tokens_BT)).double()
    d_B = torch.sigmoid(logit_B).numpy()
    np.testing.assert_allclose(d_B, p_B / (p_B + g_B), rtol=1e-6)
    value = float(p_B @ np.log(d_B) + g_B @ np.log1p(-d_B))
    middle_B = (p_B + g_B) / 2
    divergence = float(p_B @ np.log(p_B / middle_B) + g_B @ np.log(g_B / middle_B)) / 2
    assert value == pytest.approx(2 * divergence - np.log(4), abs=1e-6)
    assert divergence > 0.01
    # the loss that is trained is a mean over a batch: weights of one sequence among n make it the same expectation
    n = len(tokens_BT)
    losses = [discriminator_loss(logit_B[b : b + 1], logit_B[b : b + 1] * 0) for b in range(n)]
    log_d_B = -2 * torch.stack(losses).double().numpy() + np.log(2)
    np.testing.assert_allclose(p_B @ log_d_B, p_B @ np.log(d_B), atol=1e-6)


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_exact_log_ratio_descends_the_reverse_divergence(spec: SequenceSpec) -> None:
    """The policy gradient with the reward log p - log G held constant is the gradient of -KL(G || p) itself."""
    policy, real = lstm(spec), lstm(spec, seed=1)
    next_token, law = reference.next_token_of(policy), reference.next_token_of(real)
    parameters = list(policy.parameters())
    rows = reference.sequences(spec)
    g_B = torch.stack([reference.probability(next_token, row) for row in rows])
    p_B = torch.stack([reference.probability(law, row) for row in rows]).detach()
    divergence = (g_B * (g_B.log() - p_B.log())).sum()
    logit_B = (p_B.log() - g_B.log()).detach()
    table = dict(zip(rows, log_ratio(logit_B).tolist(), strict=True))
    by_theorem = reference.gradient_by_theorem(spec, next_token, reference.reward_of(table), parameters)
    exact = -reference.gradient_of(divergence, parameters)
    torch.testing.assert_close(by_theorem, exact, rtol=0, atol=1e-10)
    assert exact.abs().max() > 1e-3


@pytest.mark.theory
def test_the_recursion_conditions_on_the_prefix() -> None:
    """Eq. 13.40 as the source prints it, with Y_{1:T} as the condition, can't be meant: another number comes out.

    The condition would hold the very tokens that the sum is over. Read with the only distribution that Y_{1:T} leaves,
    the one that has chosen the tokens of Y_{1:T}, it makes Q the reward of Y_{1:T} whatever the step.
    """
    spec = SequenceSpec(3, 3)
    next_token, _ = reference.table_policy(spec)
    table = reference.random_reward(spec)
    reward = reference.reward_of(table)
    sequence = (0, 1, 2)
    by_prefix = reference.action_value(spec, next_token, reward, (), 0).item()
    expected = reference.expected_reward(spec, next_token, reward, (0,)).item()
    assert by_prefix == pytest.approx(expected, abs=1e-12)

    def given_the_sequence(prefix: reference.Prefix) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(sequence[len(prefix)]), 3).double()

    as_printed = reference.action_value(spec, given_the_sequence, reward, (), 0).item()
    assert as_printed == table[sequence]
    assert abs(as_printed - by_prefix) > 0.1
