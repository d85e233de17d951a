"""The reward of both divergences: its definition, its limits, and the gradients that it promises."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.losses import policy_gradient_loss
from seqgan_env.discriminators import OptimalDiscriminator
from seqgan_env.rewards import REWARDS, DenseReward, RewardContext
from seqgan_env.rewards.divergences import BothDivergences, BothDivergencesConfig
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm

SPEC = SequenceSpec(3, 3, 0)
WIDE = BothDivergencesConfig(log_weight=0.7, log_clip=1e3, ratio_limit=1e9)
TOKENS_BT = torch.from_numpy(reference.all_sequences(SPEC))


def reward(**settings: float) -> BothDivergences:
    return BothDivergences(BothDivergencesConfig(**settings))


def test_it_is_the_ratio_and_a_multiple_of_the_clipped_log_ratio() -> None:
    x_B = torch.tensor([-30.0, -10.0, -1.0, 0.0, 1.0, 3.0, 30.0], dtype=torch.float64)
    got_B = reward(log_weight=0.3, log_clip=10.0, ratio_limit=20.0)(x_B, TOKENS_BT[:7])
    expected = [min(np.exp(x), 20.0) + 0.3 * min(10.0, max(-10.0, x)) for x in x_B.tolist()]
    np.testing.assert_allclose(got_B.numpy(), expected, rtol=1e-12)


def test_it_is_finite_for_any_logit() -> None:
    x_B = torch.tensor([-1e308, 1e308], dtype=torch.float64)
    assert bool(reward()(x_B, TOKENS_BT[:2]).isfinite().all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"log_weight": -0.1}, "log_weight must be a finite number of at least 0, got -0.1"),
        ({"log_weight": float("inf")}, "log_weight must be a finite number"),
        ({"log_clip": 0.0}, "log_clip must be a finite number above 0"),
        ({"ratio_limit": float("nan")}, "ratio_limit must be a finite number above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BothDivergencesConfig(**settings)


def test_the_settings_reach_the_environment_and_an_unknown_one_is_refused() -> None:
    env = gym.make("SeqGANTiny-v0", reward="both_divergences", reward_kwargs={"log_weight": 0.0})
    spec, scoring = env.unwrapped.sequence_spec, env.unwrapped.task.scoring
    tokens_BT = reference.all_sequences(spec)[:5]
    np.testing.assert_allclose(scoring.score(tokens_BT), np.exp(scoring.discriminator.logits(tokens_BT)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"reward 'both_divergences' takes log_weight, .*; got weight"):
        gym.make("SeqGANTiny-v0", reward="both_divergences", reward_kwargs={"weight": 1.0})
    with pytest.raises(ValueError, match="reward 'log_d' takes no arguments; got weight"):
        gym.make("SeqGANTiny-v0", reward_kwargs={"weight": 1.0})


@pytest.mark.theory
@pytest.mark.parametrize("log_weight", [0.0, 0.7])
def test_with_the_optimal_discriminator_it_descends_both_divergences(log_weight: float) -> None:
    """By enumeration: the expected policy gradient is minus that of KL(p || G) + log_weight KL(G || p)."""
    generator, source = lstm(SPEC, 1), lstm(SPEC, 2)
    log_p_B = source.log_prob(TOKENS_BT).sum(dim=1).detach()
    optimal = OptimalDiscriminator(SPEC, source.sequence_log_prob, generator.sequence_log_prob)
    logit_B = torch.from_numpy(optimal.logits(TOKENS_BT))
    reward_B = reward(log_weight=log_weight, log_clip=1e3, ratio_limit=1e9)(logit_B, TOKENS_BT)
    log_prob_BT = generator.log_prob(TOKENS_BT)
    log_g_B = log_prob_BT.sum(dim=1)
    g_B = log_g_B.detach().exp()
    # each sequence counts as often as it is drawn: the loss is a mean over rows
    advantage_BT = (g_B * len(g_B) * reward_B)[:, None].expand_as(log_prob_BT)
    loss = policy_gradient_loss(log_prob_BT, advantage_BT, SPEC.is_token(TOKENS_BT))
    ours = torch.autograd.grad(loss, list(generator.parameters()), retain_graph=True)
    forward = (log_p_B.exp() * (log_p_B - log_g_B)).sum()
    reverse = (log_g_B.exp() * (log_g_B - log_p_B)).sum()
    theirs = torch.autograd.grad(forward + log_weight * reverse, list(generator.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.theory
@pytest.mark.parametrize("name", ["both_divergences", "log_ratio", "exact_log_ratio"])
def test_values_of_tokens_have_the_gradient_of_the_whole_reward(name: str) -> None:
    """By enumeration, eq. 13.44 with the values of the terms equals that with the reward of the whole sequence.

    And prefix by prefix each value is the mean of the reward over the completions (eq. 13.40), up to what does not
    depend on the token: for the ratio exactly, for the log-ratio in expectation.
    """
    generator, source = lstm(SPEC, 1), lstm(SPEC, 2)
    built = REWARDS[name].build(
        RewardContext(SPEC, None, lambda: TOKENS_BT.numpy(), config=WIDE if "both" in name else None)
    )
    assert isinstance(built, DenseReward)
    log_prob_BT = generator.log_prob(TOKENS_BT)
    term_BT = (source.log_prob(TOKENS_BT) - log_prob_BT).detach()
    g_B = log_prob_BT.detach().sum(dim=1).exp()
    mask_BT = SPEC.is_token(TOKENS_BT)

    def gradient(q_BT: torch.Tensor) -> torch.Tensor:
        loss = policy_gradient_loss(log_prob_BT, (g_B * len(g_B))[:, None] * q_BT, mask_BT)
        return reference.gradient_of(loss, list(generator.parameters()))

    whole = gradient(built(term_BT.sum(dim=1), TOKENS_BT)[:, None].expand_as(term_BT))
    q_BT = built.action_values(term_BT)
    torch.testing.assert_close(gradient(q_BT), whole, rtol=1e-8, atol=1e-10)
    assert whole.abs().max() > 1e-3


def test_the_ratio_of_a_beginning_is_not_left_to_chance() -> None:
    """All sequences that share a beginning give its token the same value of the forward part."""
    generator, source = lstm(SPEC, 1), lstm(SPEC, 2)
    term_BT = (source.log_prob(TOKENS_BT) - generator.log_prob(TOKENS_BT)).detach()
    q_BT = reward(log_weight=0.0, ratio_limit=1e9).action_values(term_BT)
    for t in (1, 2):
        found: dict[tuple[int, ...], set[float]] = {}
        for row, q_T in zip(TOKENS_BT.tolist(), q_BT.tolist(), strict=True):
            if row[t - 1] != SPEC.pad_id:
                found.setdefault(tuple(row[:t]), set()).add(round(q_T[t - 1], 9))
        assert found
        assert all(len(values) == 1 for values in found.values())


def test_values_of_tokens_keep_to_the_limits() -> None:
    term_BT = torch.tensor([[-30.0, 5.0, 0.0], [40.0, 3.0, -1.0]], dtype=torch.float64)
    q_BT = reward(log_weight=0.5, log_clip=4.0, ratio_limit=20.0).action_values(term_BT)
    ratios = [[np.exp(-30), np.exp(-25), np.exp(-25)], [20.0, 20.0, 20.0]]
    to_go = [[-4.0, 4.0, 0.0], [4.0, 2.0, -1.0]]
    np.testing.assert_allclose(q_BT, np.array(ratios) + 0.5 * np.array(to_go), rtol=1e-12)


def test_it_declares_itself() -> None:
    entry = REWARDS["both_divergences"]
    assert (entry.label, entry.discriminator, entry.config) == ("both KL", "trained", BothDivergencesConfig)
