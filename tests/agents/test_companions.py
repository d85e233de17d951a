"""Copies of the generator that stay behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import SeqGAN, make_seqgan_vec_env
from agents.collection import Episodes
from agents.companions import Companions
from agents.estimator import EstimatorConfig
from seqgan_env.seeding import torch_rng
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.agents import SGD, TableDiscriminator, agent, tiny_agent
from tests.support.builders import lstm
from tests.support.significance import assert_mean, assert_not_mean

SPEC = SequenceSpec(3, 2)


@pytest.mark.theory
def test_the_policy_of_the_completions_is_the_mean_of_those_before() -> None:
    """Every weight is lag of itself and the rest the generator's, the embedding's too."""
    companions, generator = Companions(EstimatorConfig(rollout_lag=0.75)), lstm(SPEC, 1)
    assert companions.rollout is None
    companions.begin(generator)
    expected = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    for seed in (2, 3):
        generator.load_state_dict(lstm(SPEC, seed).state_dict())
        companions.begin(generator)  # which it has long done
        companions.follow(generator)
        for name, tensor in generator.state_dict().items():
            expected[name] = 0.75 * expected[name] + 0.25 * tensor
    assert companions.rollout is not None
    for name, tensor in companions.rollout.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
        assert not tensor.requires_grad


def test_what_is_not_asked_for_is_not_kept() -> None:
    generator = lstm(SPEC, 1)
    for given, names in (({}, set()), ({"kl_penalty": 0.1}, {"pretrained"}), ({"rollout_lag": 0.1}, {"rollout"})):
        companions = Companions(EstimatorConfig(**given))  # type: ignore[arg-type]
        companions.begin(generator)
        companions.follow(generator)
        assert {name for name in ("pretrained", "rollout") if companions.state_dict()[name]} == names


def test_a_state_comes_back_and_one_of_another_generator_is_refused() -> None:
    both: Any = {"kl_penalty": 0.1, "rollout_lag": 0.5}
    generator, other = lstm(SPEC, 1), lstm(SPEC, 2)
    companions, read = Companions(EstimatorConfig(**both)), Companions(EstimatorConfig(**both))
    companions.begin(generator)
    companions.follow(other)
    read.load_state_dict(companions.state_dict(), generator)
    for name in ("pretrained", "rollout"):
        weights = companions.state_dict()[name]
        for key, tensor in read.state_dict()[name].items():
            torch.testing.assert_close(tensor, weights[key], rtol=0, atol=0)
    with pytest.raises(ValueError, match="must have shape"):
        read.load_state_dict(companions.state_dict(), lstm(SPEC, 1, hidden_dim=5))


@pytest.mark.theory
def test_the_weight_of_the_divergence_is_steered_to_its_target() -> None:
    """Arxiv 1909.08593, section 2.2: by the divergence of the episodes, a step of at most 2 %."""
    for target, factor in ((0.5, 1.02), (2.0, 0.98), (1 / 1.1, 1.01), (None, 1.0)):
        companions = Companions(EstimatorConfig(kl_penalty=0.3, kl_target=target))
        companions.steer(1.0)
        assert companions.kl_weight == pytest.approx(0.3 * factor)


@pytest.mark.theory
@pytest.mark.parametrize("given", [{}, {"allowed_tokens": [0, 2]}, {"exploration_temperature": 2.0}], ids=str)
def test_the_divergence_is_that_of_the_policies_that_play(given: dict[str, Any]) -> None:
    """Its mean over the episodes is by enumeration that of the generator, both within the constraints; at first 0."""
    task = {name: value for name, value in given.items() if name == "allowed_tokens"}
    options = {name: value for name, value in given.items() if name not in task}
    env = make_seqgan_vec_env("SeqGANTiny-v0", 4, vocab_size=3, max_length=3, **task)
    model = agent(env, n_completions=0, baseline="step", kl_penalty=0.1, **options)
    rows_KT = torch.from_numpy(reference.all_sequences(model.policy.spec))
    if task:
        rows_KT = rows_KT[(rows_KT != 1).all(dim=1)]

    def divergence_of(row: torch.Tensor) -> torch.Tensor | None:
        row_1T = row[None]
        return model.estimate(Episodes(row_1T, torch.ones_like(row_1T, dtype=torch.bool), torch.ones(1))).divergence

    def mean() -> float:
        log_p_K = model.policy.acting.log_prob(rows_KT, model.estimator.exploration_temperature).sum(dim=1)
        each_K = torch.stack([each for row in rows_KT if (each := divergence_of(row)) is not None])
        return float((log_p_K.detach().exp() * each_K).sum())

    assert divergence_of(rows_KT[0]) is None
    model._companions.begin(model.generator)
    assert mean() == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        for i, parameter in enumerate(model.policy.parameters()):
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    began = model._companions.pretrained
    assert began is not None
    log_g_K, log_pre_K = (
        m.log_prob(rows_KT).sum(dim=1).detach() for m in (model.policy.acting, model.policy.constrained(began))
    )
    exact = float((log_g_K.exp() * (log_g_K - log_pre_K)).sum())
    assert exact > 0.1
    assert mean() == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("began_with", [0.0, 0.1])
def test_a_weight_that_is_given_at_loading_holds(began_with: float, tmp_path: Path) -> None:
    model = agent(kl_penalty=began_with).learn_updates(1)
    model.save(tmp_path / "agent")
    loaded = SeqGAN.load(tmp_path / "agent", model.env, kl_penalty=0.5, kl_target=1.0)
    assert loaded.learn_updates(2)._companions.kl_weight == pytest.approx(0.5 * 0.98)
    other = agent(kl_penalty=0.5, kl_target=1.0)
    other.load_state_dict(model.state_dict())
    assert other._companions.kl_weight == (began_with or 0.5)


def test_a_divergence_that_is_held_at_its_target_stays_near_it() -> None:
    """A generator that is paid for leaving: with a strong target it goes less far than without."""
    far = []
    for given in ({"kl_penalty": 1e-9}, {"kl_penalty": 1.0, "kl_target": 0.05}):
        model, envs = tiny_agent(0, 4, 3, learning_rate=0.02, **given)  # type: ignore[arg-type]
        envs.set_discriminator(TableDiscriminator(envs.sequence_spec, reference.random_reward(envs.sequence_spec)))
        model.learn(40 * 32 * 3, log_interval=None)
        rows_KT = torch.from_numpy(reference.all_sequences(envs.sequence_spec))
        began = model._companions.pretrained
        assert began is not None
        log_g_K, log_pre_K = (m.log_prob(rows_KT).sum(dim=1).detach() for m in (model.generator, began))
        far.append(float((log_g_K.exp() * (log_g_K - log_pre_K)).sum()))
    assert far[1] < 0.5 * far[0]
    assert model._companions.kl_weight != 1.0


@pytest.mark.theory
def test_the_lag_takes_effect() -> None:
    """Eq. 13.40 of the policy that lags: not of the generator, once that has changed."""
    model, envs = tiny_agent(0, 3, 3, n_completions=1, rollout_lag=0.9, policy_kwargs={"hidden_dim": 16, **SGD})
    spec = envs.sequence_spec
    table = reference.random_reward(spec)
    envs.set_discriminator(TableDiscriminator(spec, table))
    model.policy.double()
    rows = [(0, 1, 2)]
    tokens_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(2000, 1)
    reward_B = torch.full((2000,), table[rows[0]], dtype=torch.float64)
    episodes = Episodes(tokens_BT, torch.ones_like(tokens_BT, dtype=torch.bool), reward_B)
    model._companions.begin(model.generator)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.mul_(-4.0)
    model._companions.follow(model.generator)
    rollout = model._companions.rollout
    assert rollout is not None
    q_BT = model.estimate(episodes, torch_rng(0, "test")).q_BT.numpy()
    of_each = [
        reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)[0].numpy()
        for policy in (rollout, model.generator)
    ]
    assert_mean(q_BT, of_each[0])
    assert_not_mean(q_BT, of_each[1])
    assert not np.allclose(*of_each)
