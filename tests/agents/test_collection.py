"""Collecting whole episodes: as many as were asked for, and none favoured."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from agents import make_seqgan_vec_env
from agents.collection import Episodes
from tests.support import reference
from tests.support.agents import N_STEPS, Stop, agent, assert_same_policy, collect, env_of, tiny_agent
from tests.support.builders import GRAMMAR, ORACLE
from tests.support.significance import assert_frequencies, assert_same_distribution, counts_of


class TestCollect:
    @pytest.mark.parametrize(("n_envs", "n_episodes"), [(1, 3), (3, 8), (4, 4), (5, 2)])
    @pytest.mark.parametrize("env_id", ["SeqGAN-v0", "SeqGANGrammar-v0"])
    def test_brings_home_exactly_the_episodes_that_were_asked_for(
        self, env_id: str, n_envs: int, n_episodes: int
    ) -> None:
        arguments = ORACLE if env_id == "SeqGAN-v0" else GRAMMAR
        model = agent(make_vec_env(env_id, n_envs, env_kwargs=arguments), n_episodes=n_episodes)
        tokens_BT, chosen_BT, reward_B = collect(model)
        spec = model.policy.spec
        assert tokens_BT.shape == (n_episodes, spec.max_length)
        spec.validate(tokens_BT.numpy(), complete=True)
        assert torch.equal(chosen_BT, tokens_BT != spec.pad_id)
        scores = env_of(model).env_method("score", tokens_BT.numpy(), indices=[0])[0]
        np.testing.assert_allclose(reward_B, scores, rtol=1e-5)
        assert reward_B.dtype == torch.float64

    @pytest.mark.parametrize("n_envs", [4, 11])
    def test_does_not_favour_short_episodes(self, n_envs: int) -> None:
        """A chi-square test of the lengths of the episodes against those of the policy's samples.

        Taking the first eight episodes to end would fail it: of four environments the slow ones would be missing.
        """
        model = agent(make_seqgan_vec_env("SeqGANGrammar-v0", n_envs, **GRAMMAR))
        spec = model.policy.spec
        with torch.no_grad():
            model.generator.output.bias[spec.eos_id] += 3.5
        lengths = np.concatenate([spec.lengths(collect(model).tokens_BT.numpy()) for _ in range(80)])
        sampled = spec.lengths(model.sample(20_000))
        assert 3 < sampled.mean() < 9
        assert_same_distribution(*(np.bincount(x, minlength=spec.max_length + 1) for x in (lengths, sampled)))

    @pytest.mark.theory
    def test_sequences_occur_as_often_as_they_are_likely(self) -> None:
        """Eq. 13.31: a chi-square test of the collected episodes, each of which begins from s_0 with nothing read."""
        model, envs = tiny_agent(0, 3, 3, n_envs=3, n_episodes=9)
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.mul_(4)
        outcomes_BT = reference.padded(envs.sequence_spec, reference.sequences(envs.sequence_spec))
        collected_BT = torch.cat([collect(model).tokens_BT for _ in range(150)])
        assert_frequencies(
            counts_of(collected_BT.numpy(), outcomes_BT), np.exp(model.generator.sequence_log_prob(outcomes_BT))
        )

    @pytest.mark.theory
    @pytest.mark.parametrize("by", ["options", "wrapper"])
    def test_only_the_tokens_after_a_given_prefix_were_chosen(self, by: str) -> None:
        prefix = [3, 1]

        class Begins(gym.Wrapper[Any, Any, Any, Any]):
            def reset(self, **_: Any) -> Any:
                return self.env.reset(options={"prefix": prefix})

        class SetsOptions(BaseCallback):
            def _on_rollout_start(self) -> None:
                self.training_env.set_options({"prefix": prefix})

            def _on_step(self) -> bool:
                return True

        if by == "wrapper":
            model = agent(make_vec_env("SeqGAN-v0", 2, env_kwargs=ORACLE, wrapper_class=Begins))
            tokens_BT, chosen_BT, _ = collect(model)
            given_B = torch.ones(8, dtype=torch.bool)
        else:
            model = agent()
            tokens_BT, chosen_BT, _ = collect(model, SetsOptions())
            # options hold for one reset; the second episode of each of the four environments begins with nothing given
            given_B = ~chosen_BT[:, 0]
            assert given_B.sum() == 4
        assert (tokens_BT[given_B, :2] == torch.tensor(prefix)).all()
        assert torch.equal(chosen_BT, (torch.arange(6) >= 2) | ~given_B[:, None])
        before = model.generator.output.weight.detach().clone()
        model.train(Episodes(tokens_BT, chosen_BT, torch.randn(8, dtype=torch.float64)))
        assert not torch.equal(model.generator.output.weight, before)

    def test_stops_when_a_callback_asks(self) -> None:
        model = agent()
        before = agent()
        model.learn(10 * N_STEPS, Stop(at=5))
        assert model.num_timesteps == 5 * 4
        assert_same_policy(model, before)

    @pytest.mark.parametrize("env_id", ["SeqGAN-v0", "SeqGANGrammar-v0"])
    @pytest.mark.parametrize("limited", [True, False])
    def test_an_episode_that_is_cut_short_is_refused(self, env_id: str, limited: bool) -> None:
        """A time limit of T steps cuts nothing short."""
        arguments = ORACLE if env_id == "SeqGAN-v0" else GRAMMAR
        model = agent(gym.make(env_id, **arguments))
        horizon = model.policy.spec.max_length
        model = agent(gym.make(env_id, **arguments, max_episode_steps=3 if limited else horizon))
        if not limited:
            assert model.policy.spec.is_complete(collect(model).tokens_BT).all()
            return
        with pytest.raises(
            ValueError, match="sequences of ended episodes, which no wrapper may cut short, must be compl"
        ):
            model.learn(1)
        assert model.n_updates == 0

    @pytest.mark.parametrize("what", ["actions", "some actions", "observations", "ids"])
    def test_a_wrapper_that_changes_actions_or_observations_is_refused(self, what: str) -> None:
        """Its episodes are not the policy's: a gradient from them would be of something else."""
        env = gym.make("SeqGAN-v0", **ORACLE)
        n = env.action_space.n  # type: ignore[attr-defined]
        wrapped: gym.Env[Any, Any] = {
            "actions": lambda: gym.wrappers.TransformAction(env, lambda action: (action + 1) % n, env.action_space),
            "some actions": lambda: gym.wrappers.StickyAction(env, 0.5),
            "observations": lambda: gym.wrappers.TransformObservation(
                env, lambda o: np.where(o < n, (o + 1) % n, o), None
            ),
            "ids": lambda: gym.wrappers.TransformObservation(env, lambda o: 2 * o, None),
        }[what]()
        model = agent(wrapped)
        reason = (
            r"observations must hold ids" if what == "ids" else r"an episode must hold the tokens that were chosen, \["
        )
        with pytest.raises(ValueError, match=f"^{reason}"):
            model.learn(1)
        assert model.n_updates == 0
