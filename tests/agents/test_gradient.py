"""What one update follows: the estimate of the gradient, by the policy as it is now."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import SubprocVecEnv

from agents import make_seqgan_vec_env
from agents.baselines import BASELINES
from agents.collection import Episodes
from agents.estimator import EstimatorConfig
from agents.gradient import estimate_gradient, further_loss
from agents.runs.game import Game
from seqgan_env.seeding import numpy_rng, torch_rng
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.agents import SGD, TableDiscriminator, agent, collect, env_of, tiny_agent
from tests.support.builders import ORACLE, POLICY, lstm
from tests.support.runs import TINY, changed
from tests.support.significance import assert_mean, assert_not_mean


class TestUpdate:
    @pytest.mark.theory
    def test_tokens_that_were_not_chosen_have_no_say(self) -> None:
        """With everything given but the last token, the update is that of the last token alone (eq. 13.44)."""
        model = agent(baseline="none", normalize_advantage=False, max_grad_norm=1e9, policy_kwargs={**POLICY, **SGD})
        model.set_logger(configure(None, []))
        tokens_BT = torch.from_numpy(model.sample(8))
        chosen_BT = torch.zeros(8, 6, dtype=torch.bool)
        chosen_BT[:, -1] = True
        reward_B = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        parameters = list(model.policy.parameters())
        objective = (model.generator.log_prob(tokens_BT)[:, -1] * reward_B).sum() / 8
        before, gradient = torch.nn.utils.parameters_to_vector(parameters), reference.gradient_of(objective, parameters)
        model.train(Episodes(tokens_BT, chosen_BT, reward_B))
        after = torch.nn.utils.parameters_to_vector(parameters)
        torch.testing.assert_close(after - before, 0.01 * gradient, rtol=1e-3, atol=1e-7)


class TestEstimate:
    @pytest.mark.theory
    def test_one_step_of_one_token_follows_the_immediate_reward(self) -> None:
        """Eq. 13.44 at T = 1 (IRGAN's case): the step of SGD is its rate times the mean of r grad log G(y)."""
        plain: dict[str, Any] = {"baseline": "none", "normalize_advantage": False, "max_grad_norm": 1e9}
        model, envs = tiny_agent(0, 4, 1, **plain, learning_rate=0.01, policy_kwargs=SGD)
        table = reference.random_reward(envs.sequence_spec)
        envs.set_discriminator(TableDiscriminator(envs.sequence_spec, table))
        episodes = collect(model)
        rewards = [table[row] for row in reference.unpadded(envs.sequence_spec, episodes.tokens_BT)]
        np.testing.assert_allclose(episodes.reward_B, rewards, rtol=1e-6)
        parameters = list(model.policy.parameters())
        objective = (model.generator.log_prob(episodes.tokens_BT)[:, 0] * torch.tensor(rewards)).mean()
        before, gradient = torch.nn.utils.parameters_to_vector(parameters), reference.gradient_of(objective, parameters)
        model.train(episodes)
        after = torch.nn.utils.parameters_to_vector(parameters)
        torch.testing.assert_close(after - before, 0.01 * gradient, rtol=1e-3, atol=1e-7)
        assert gradient.abs().max() > 1e-2

    def test_completions_are_drawn_anew_at_each_update(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = agent(learning_rate=1e-30)
        episodes = collect(model)
        scored: list[torch.Tensor] = []
        score = model._score

        def watched(tokens_MT: torch.Tensor) -> torch.Tensor:
            scored.append(tokens_MT)
            return score(tokens_MT)

        monkeypatch.setattr(model, "_score", watched)
        for _ in range(2):
            model.train(episodes)
        assert len(scored) == 2
        assert scored[0].shape == scored[1].shape == (8 * 5 * 2, 6)
        assert not torch.equal(*scored)


@pytest.mark.theory
def test_values_are_those_of_the_policy_as_it_is_now() -> None:
    """Eq. 13.42: once the policy has changed, the completions are by the new one, not by that of the first update."""
    model, envs = tiny_agent(0, 3, 3, n_completions=1)
    spec = envs.sequence_spec
    table = reference.random_reward(spec)
    envs.set_discriminator(TableDiscriminator(spec, table))
    model.policy.double()
    rows = [(0, 1, 2)]
    tokens_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(2000, 1)
    reward_B = torch.full((2000,), table[rows[0]], dtype=torch.float64)
    episodes = Episodes(tokens_BT, torch.ones_like(tokens_BT, dtype=torch.bool), reward_B)
    exact = []
    for factor in (4.0, -1.0):
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.mul_(factor)
        q_BT = model.estimate(episodes, torch_rng(0, "test")).q_BT.numpy()
        next_token = reference.next_token_of(model.generator)
        exact.append(reference.action_values(spec, next_token, reference.reward_of(table), rows)[0].numpy())
        assert_mean(q_BT, exact[-1])
    assert_not_mean(q_BT, exact[0])


class TestEpochs:
    """Steps on the same episodes."""

    PLAIN: ClassVar[dict[str, Any]] = {"max_grad_norm": 1e9, "policy_kwargs": {**POLICY, **SGD}, "learning_rate": 0.05}

    @pytest.mark.theory
    @pytest.mark.parametrize("clip_range", [None, 0.02])
    def test_the_second_is_that_of_ppo(self, clip_range: float | None) -> None:
        """The step of SGD is its rate times the gradient of ``min(r A, clip(r) A)`` where the first step has led."""
        found = []
        for n_epochs in (1, 2):
            model = agent(n_epochs=n_epochs, **({"clip_range": clip_range} if n_epochs > 1 else {}), **self.PLAIN)
            model.set_logger(configure(None, []))
            episodes = collect(model)
            estimate = model.estimate(episodes, torch_rng(5, "completions", model.n_updates))
            model.train(episodes)
            assert model.n_updates == 2
            found.append((model, torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()))
        model = found[0][0]
        ratio_BT = (model.generator.log_prob(episodes.tokens_BT) - estimate.log_prob_BT).exp()
        low, high = (0.0, torch.inf) if clip_range is None else (1 - clip_range, 1 + clip_range)
        factor_BT = estimate.factor_BT
        objective = torch.minimum(ratio_BT * factor_BT, ratio_BT.clamp(low, high) * factor_BT).sum()
        gradient = reference.gradient_of(objective, list(model.policy.parameters()))
        torch.testing.assert_close(found[1][1] - found[0][1], 0.05 * gradient.float(), rtol=1e-3, atol=1e-7)
        share = float(((ratio_BT > high) & (factor_BT > 0)).float().mean())
        assert (share > 0) == (clip_range is not None)

    def bias(self, spec: SequenceSpec, far: float, clip_range: float | None) -> float:
        """Of a step, its share of the gradient where the generator is by then, in mean over every sequence."""
        before, after, others = lstm(spec, 1), lstm(spec, 1), lstm(spec, 2)
        with torch.no_grad():
            for parameter, other in zip(after.parameters(), others.parameters(), strict=True):
                parameter.lerp_(other, far)
        table, rows = reference.random_reward(spec), reference.sequences(spec)
        weights = list(after.parameters())
        value = reference.expected_reward(spec, reference.next_token_of(after), reference.reward_of(table))
        exact, mean = reference.gradient_of(value, weights), torch.zeros(())
        for row in rows:
            tokens_1T = torch.from_numpy(reference.padded(spec, [row]))
            episodes = Episodes(tokens_1T, spec.is_token(tokens_1T), torch.tensor([table[row]], dtype=torch.float64))
            estimate = estimate_gradient(before, episodes, lambda _: torch.zeros(0), EstimatorConfig(0, "none", False))
            loss = further_loss(after, tokens_1T, estimate, clip_range)
            mean = mean - estimate.log_prob_BT.sum().exp().detach() * reference.gradient_of(loss, weights)
        return float((mean - exact).norm() / exact.norm())

    @pytest.mark.theory
    def test_the_bias_of_a_step_is_of_the_tokens_around_its_own(self) -> None:
        """None at T = 1; else about as far as the generator has gone, since what lies around is that of before."""
        assert self.bias(SequenceSpec(4, 1), 0.5, None) < 1e-9
        shares = [self.bias(SequenceSpec(3, 2, 0), far, None) for far in (0.0, 0.001, 0.002, 0.004)]
        assert shares[0] < 1e-9
        for near, twice in itertools.pairwise(shares[1:]):
            assert 1.9 < twice / near < 2.1

    @pytest.mark.theory
    def test_the_bias_of_a_clip_falls_to_nothing_as_it_widens(self) -> None:
        shares = [self.bias(SequenceSpec(12, 1), 0.2, clip_range) for clip_range in (0.01, 0.2, 0.5, 10.0)]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.2
        assert shares[-1] < 1e-9

    def test_teacher_forcing_has_other_sequences_in_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = agent(n_epochs=2, teacher_forcing=0.5, teacher_forcing_steps=2, **self.PLAIN)
        seen: list[torch.Tensor] = []
        some_real = model._some_real

        def watched(*of: Any) -> torch.Tensor:
            seen.append(some_real(*of))
            return seen[-1]

        monkeypatch.setattr(model, "_some_real", watched)
        model.learn(1)
        assert len(seen) == 4
        assert all(not torch.equal(a, b) for a, b in itertools.combinations(seen, 2))


class TestDense:
    """Values from the terms of a reward, in place of completions."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "n_completions": 0,
        "dense": True,
        "baseline": "none",
        "normalize_advantage": False,
    }

    def test_are_what_the_environment_says_whatever_its_kind(self) -> None:
        """Also where the environments live in other processes, and nothing is drawn or scored."""
        task = {
            **ORACLE,
            "reward": "log_ratio",
            "discriminator": "log_ratio",
            "discriminator_kwargs": {"embedding_dim": 3, "hidden_dim": 4},
        }
        found = []
        for make in (
            lambda: make_seqgan_vec_env("SeqGAN-v0", 4, **task),
            lambda: make_vec_env("seqgan_env:SeqGAN-v0", 2, env_kwargs=task, vec_env_cls=SubprocVecEnv),
        ):
            model = agent(make(), **self.ARGUMENTS, inner_sums=True)
            tokens_BT = torch.from_numpy(model.sample(8, seed=1))
            episodes = Episodes(tokens_BT, torch.ones_like(tokens_BT, dtype=torch.bool), torch.zeros(8).double())
            found.append(model.estimate(episodes))
            (q_BT,) = env_of(model).env_method("action_values", tokens_BT.numpy(), indices=[0])
            np.testing.assert_array_equal(found[-1].q_BT, q_BT)
            env_of(model).close()
        assert found[0].loss.item() == pytest.approx(found[1].loss.item(), abs=1e-9)

    def test_need_no_completions_and_a_reward_that_has_them(self) -> None:
        with pytest.raises(ValueError, match="dense values need no completions, got n_completions 2"):
            agent(dense=True, n_completions=2)
        with pytest.raises(ValueError, match="inner_sums needs dense values, got dense False"):
            agent(inner_sums=True)
        model = agent(**self.ARGUMENTS)
        with pytest.raises(ValueError, match="the logit of a CNNDiscriminator is no sum over tokens"):
            model.learn(1)
        with pytest.raises(ValueError, match="the logit of a CNNDiscriminator is no sum over tokens"):
            Game(changed(TINY, agent={"n_completions": 0, "dense": True, "baseline": "step"}))


class TestTerms:
    """The further terms of the objective."""

    SPEC = SequenceSpec(3, 2, 0)

    @pytest.mark.theory
    @pytest.mark.parametrize("exact_last_step", [False, True])
    @pytest.mark.parametrize("baseline", BASELINES)
    def test_their_gradient_is_that_of_the_enumerated_ones(self, baseline: str, exact_last_step: bool) -> None:
        """Over every pair of sequences, where all sequences are paid the same: no baseline takes it away."""
        generator, pretrained = lstm(self.SPEC, 1), lstm(self.SPEC, 2)
        rows_KT = torch.from_numpy(reference.all_sequences(self.SPEC))
        log_g_K = generator.log_prob(rows_KT).sum(dim=1)
        divergence = (log_g_K.exp() * (log_g_K - pretrained.log_prob(rows_KT).sum(dim=1))).sum()
        objective = -0.3 * (log_g_K.exp() * log_g_K).sum() - 0.2 * divergence
        exact = reference.gradient_of(objective, list(generator.parameters()))
        weights = {"entropy_bonus": 0.3, "kl_penalty": 0.2}
        settings = EstimatorConfig(1, baseline, False, exact_last_step=exact_last_step, **weights)

        def score(tokens_BT: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(tokens_BT), dtype=torch.float64)

        def loss(tokens_BT: torch.Tensor) -> torch.Tensor:
            episodes = Episodes(tokens_BT, self.SPEC.is_token(tokens_BT), score(tokens_BT))
            return estimate_gradient(generator, episodes, score, settings, pretrained=pretrained).loss

        mean, _ = reference.over_all_batches(generator, 2, loss)
        torch.testing.assert_close(mean, -exact, rtol=1e-8, atol=1e-10)
        assert exact.abs().max() > 1e-3

    @pytest.mark.theory
    @pytest.mark.parametrize("log_ratio", [29.0, 31.0, 800.0])
    def test_the_forward_divergence_is_finite_for_any_log_ratio(self, log_ratio: float) -> None:
        """That of token 0 in each place, cut off at 30 where it becomes a ratio, and nowhere else."""
        generator = lstm(self.SPEC, 1)
        tokens_BT = torch.tensor([[1, 2], [1, 1]])

        def known(tokens_KT: torch.Tensor) -> torch.Tensor:
            return torch.tensor([log_ratio, 0, 0], dtype=torch.float64).expand(len(tokens_KT), 2, 3)

        settings = EstimatorConfig(0, "none", False, dense=True, inner_sums=True, forward_kl=0.5)
        episodes = Episodes(tokens_BT, torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, dtype=torch.float64))
        values = (lambda rows: torch.zeros(2, 2).double()), known
        loss = estimate_gradient(generator, episodes, lambda rows: torch.zeros(2), settings, None, *values).loss
        p_0_BT = generator.all_log_prob(tokens_BT)[:, :, 0].exp()
        p_others_BT = generator.all_log_prob(tokens_BT)[:, :, 1:].exp().sum(dim=2)
        expected = -(p_0_BT * (log_ratio + 0.5 * np.exp(min(log_ratio, 30.0))) + 0.5 * p_others_BT).sum() / 2
        weights = list(generator.parameters())
        torch.testing.assert_close(
            reference.gradient_of(loss, weights), reference.gradient_of(expected, weights), rtol=1e-8, atol=1e-10
        )

    @pytest.mark.parametrize("baseline", ["prefix", "learned"])
    def test_values_that_know_the_next_token_are_no_baseline(self, baseline: str) -> None:
        for dense in (False, True):
            with pytest.raises(ValueError, match=f"the baseline '{baseline}' needs completions, got n_completions 0"):
                EstimatorConfig(n_completions=0, dense=dense, baseline=baseline)

    def test_teacher_forcing_adds_the_likelihood_of_real_sequences(self) -> None:
        """The step of SGD differs by its rate times the gradient of eq. 13.34, a sum over tokens, on real sequences."""
        plain: dict[str, Any] = {"max_grad_norm": 1e9, "policy_kwargs": {**POLICY, **SGD}, "learning_rate": 0.01}
        weight, found = 0.5, {}
        for forcing in (0.0, weight):
            model = agent(**plain, teacher_forcing=forcing)
            model.set_logger(configure(None, []))
            episodes, real = collect(model), env_of(model).get_attr("real_sequences")[0]
            rows_B = numpy_rng(5, "teacher forcing", model.n_updates).integers(len(real), size=model.n_episodes)
            parameters = list(model.policy.parameters())
            likelihood = model.generator.log_prob(torch.from_numpy(real[rows_B])).sum() / model.n_episodes
            gradient = reference.gradient_of(likelihood, parameters)
            model.train(episodes)
            found[forcing] = torch.nn.utils.parameters_to_vector(parameters).detach()
        torch.testing.assert_close(found[weight] - found[0.0], 0.01 * weight * gradient, rtol=1e-3, atol=1e-7)

    @pytest.mark.parametrize("name", ["entropy_bonus", "kl_penalty", "real_prefixes", "teacher_forcing"])
    @pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
    def test_a_weight_out_of_range_is_refused(self, name: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0"):
            EstimatorConfig(**{name: value})
