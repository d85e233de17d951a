"""The rewards of f-divergences: each descends its divergence, by enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from agents.losses import policy_gradient_loss
from seqgan_env.discriminators import OptimalDiscriminator
from seqgan_env.rewards.f_divergence import DIVERGENCES, FDivergence, FDivergenceConfig
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm

SPEC = SequenceSpec(3, 3, 0)
TOKENS_BT = torch.from_numpy(reference.all_sequences(SPEC))
F_OF: dict[str, Callable[[Tensor], Tensor]] = {
    "forward_kl": lambda t: -t.log(),
    "reverse_kl": lambda t: t * t.log(),
    "jensen_shannon": lambda t: t * (2 * t / (1 + t)).log() + (2 / (1 + t)).log(),
    "total_variation": lambda t: 0.5 * (t - 1).abs(),
    "chi_squared": lambda t: (t - 1) ** 2,
    "squared_hellinger": lambda t: (1 - t.sqrt()) ** 2,
}
"""f of each divergence ``E_p[f(G / p)]``, from its definition."""


def test_every_divergence_is_tested() -> None:
    assert list(F_OF) == list(DIVERGENCES)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_reward_is_minus_the_derivative_of_f_up_to_a_constant(name: str) -> None:
    x_B = torch.linspace(-3, 3, 12, dtype=torch.float64)
    t_B = (-x_B).exp().requires_grad_()
    (slope_B,) = torch.autograd.grad(F_OF[name](t_B).sum(), t_B)
    difference_B = FDivergence(FDivergenceConfig(name))(x_B, TOKENS_BT[:12]) + slope_B
    torch.testing.assert_close(difference_B, difference_B.mean().expand(12), rtol=0, atol=1e-12)


@pytest.mark.theory
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_with_the_optimal_discriminator_it_descends_its_divergence(name: str, dense: bool) -> None:
    """By enumeration: the expected policy gradient is minus the gradient of ``E_p[f(G / p)]``.

    So it is where each token has a value of its own.
    """
    generator, source = lstm(SPEC, 1), lstm(SPEC, 2)
    p_B = source.log_prob(TOKENS_BT).sum(dim=1).detach().exp()
    optimal = OptimalDiscriminator(SPEC, source.sequence_log_prob, generator.sequence_log_prob)
    log_prob_BT = generator.log_prob(TOKENS_BT)
    g_B = log_prob_BT.sum(dim=1).exp()
    reward = FDivergence(FDivergenceConfig(name))
    if dense:
        q_BT = reward.action_values((source.log_prob(TOKENS_BT) - log_prob_BT).detach())
    else:
        q_BT = reward(torch.from_numpy(optimal.logits(TOKENS_BT)), TOKENS_BT)[:, None].expand_as(log_prob_BT)
    loss = policy_gradient_loss(log_prob_BT, g_B.detach()[:, None] * len(g_B) * q_BT, SPEC.is_token(TOKENS_BT))
    weights = list(generator.parameters())
    divergence = (p_B * F_OF[name](g_B / p_B)).sum()
    exact = reference.gradient_of(divergence, weights)
    torch.testing.assert_close(reference.gradient_of(loss, weights), exact, rtol=1e-8, atol=1e-10)
    assert exact.abs().max() > 1e-3


@pytest.mark.parametrize("name", DIVERGENCES)
def test_it_is_finite_for_any_logit(name: str) -> None:
    x_B = torch.tensor([-1e308, -800.0, 0.0, 800.0, 1e308], dtype=torch.float64)
    got_B = FDivergence(FDivergenceConfig(name, limit=50.0))(x_B, TOKENS_BT[:5])
    assert float(got_B.abs().max()) <= 50.0
    assert bool((got_B.diff() >= 0).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"divergence": "kl"}, "divergence must be one of forward_kl, .*; got 'kl'"),
        ({"limit": 0.0}, r"limit must be a finite number above 0, got 0\.0"),
        ({"limit": math.inf}, "limit must be a finite number above 0, got inf"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FDivergenceConfig(**settings)  # type: ignore[arg-type]
