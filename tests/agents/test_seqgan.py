"""The algorithm: what it refuses, that it learns, and that nothing is lost between save and load."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    LogEveryNTimesteps,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecMonitor, VecNormalize

from agents import AutoregressivePolicy, SeqGAN, SeqGANVecEnv, make_seqgan_vec_env
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.collection import Episodes
from agents.runs.experiment import Experiment
from seqgan_env.discriminators import OptimalDiscriminator, build_discriminator, save_discriminator
from seqgan_env.tokens import Tokens
from tests.support import reference
from tests.support.agents import (
    ENVS,
    N_STEPS,
    Env,
    Stop,
    TableDiscriminator,
    agent,
    assert_same_policy,
    collect,
    differ,
    env_of,
    every_env,
    tiny_agent,
)
from tests.support.builders import GRAMMAR, ORACLE, POLICY
from tests.support.reference_env import no_repetition
from tests.support.runs import TINY as TINY_RUN


class TestConstructor:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"policy": "MlpPolicy"}, "policy must be one of LstmPolicy, GruPolicy, .*; got 'MlpPolicy'"),
            ({"policy": ActorCriticPolicy}, "policy must be a subclass of AutoregressivePolicy, got ActorCriticPolicy"),
            ({"env": None}, "env must be given"),
            ({"env": "CartPole-v1"}, "env_id must be the id of a task of seqgan_env, got 'CartPole-v1'"),
            ({"baseline": "mean"}, "baseline must be one of none, batch, step, prefix, learned; got 'mean'"),
            ({"n_episodes": 0}, "n_episodes must be a whole number of at least 1, got 0"),
            ({"n_completions": -1}, r"n_completions must be a whole number in \[0, 100000\], got -1"),
            (
                {"learning_rate": 0.0},
                "learning_rate must be a finite number above 0 and at most 1000000 or a function, got 0.0",
            ),
            (
                {"learning_rate": float("nan")},
                "learning_rate must be a finite number above 0 and at most 1000000 or a function, got nan",
            ),
            ({"max_grad_norm": -1.0}, "max_grad_norm must be a finite number above 0, got -1.0"),
            ({"stats_window_size": 0}, "stats_window_size must be a whole number of at least 1, got 0"),
            ({"verbose": True}, "verbose must be a whole number of at least 0, got True"),
            (
                {"policy_kwargs": {"optimizer_kwargs": {"decoupled": print}}},
                "policy_kwargs must be plain data, since a checkpoint holds plain data and tensors",
            ),
            ({"policy_kwargs": {"hidden_dim": 0}}, "hidden_dim must be a whole number of at least 1, got 0"),
        ],
    )
    def test_an_unknown_policy_and_arguments_out_of_range_are_refused(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        defaults = {"policy": "LstmPolicy", "env": gym.make("SeqGAN-v0", **ORACLE)}
        with pytest.raises(ValueError, match=message):
            SeqGAN(**{**defaults, **arguments})

    def test_refuses_an_environment_of_something_else(self) -> None:
        with pytest.raises(ValueError, match="env must be a task of seqgan_env, got"):
            SeqGAN("LstmPolicy", gym.make("CartPole-v1"))

    @pytest.mark.parametrize("kwargs", [{"norm_obs": False}, {"norm_reward": False}])
    def test_refuses_normalised_tokens_or_rewards(self, kwargs: dict[str, Any]) -> None:
        env = VecNormalize(make_seqgan_vec_env("SeqGAN-v0", n_envs=2, **ORACLE), **kwargs)
        with pytest.raises(ValueError, match="SeqGAN needs tokens and rewards as they are"):
            SeqGAN("LstmPolicy", env)

    def test_an_id_is_played_by_the_native_environment(self) -> None:
        model = SeqGAN("LstmPolicy", "SeqGANGrammar-v0", n_episodes=3)
        assert isinstance(model.env, VecMonitor)
        assert isinstance(model.env.venv, SeqGANVecEnv)
        assert model.env.num_envs == 3
        assert model.policy.spec == model.env.get_attr("sequence_spec")[0]
        assert model.policy.spec.eos_id is not None

    def test_a_class_is_as_good_as_its_name(self) -> None:
        assert_same_policy(
            SeqGAN(AutoregressivePolicy, ENVS["native"](), seed=1), SeqGAN("LstmPolicy", ENVS["native"](), seed=1)
        )

    def test_without_a_seed_each_run_has_its_own(self) -> None:
        assert differ(agent(seed=None), agent(seed=None))


class TestLearning:
    @pytest.mark.theory
    def test_raises_the_expected_reward(self) -> None:
        """Eq. 13.39 by enumeration rises with a fixed reward of every sequence, for each of ten seeds.

        A learner that went up or down by chance would pass with probability 2^-10. The rise must also be at least half
        of what there is to gain, which is known: the best sequence's reward.
        """
        for seed in range(10):
            model, envs = tiny_agent(seed, 3, 3, learning_rate=0.03)
            spec = envs.sequence_spec
            table = reference.random_reward(spec, seed)
            envs.set_discriminator(TableDiscriminator(spec, table))
            outcomes_BT, reward_B = reference.padded(spec, table), np.array(list(table.values()))

            def value(model: SeqGAN = model, outcomes_BT: Tokens = outcomes_BT, reward_B: Any = reward_B) -> float:
                return float(np.exp(model.generator.sequence_log_prob(outcomes_BT)) @ reward_B)

            before = value()
            model.learn(30 * 32 * 3)
            assert value() > before + 0.5 * (reward_B.max() - before)

    @pytest.mark.theory
    def test_with_the_optimal_reward_comes_nearer_to_the_data(self) -> None:
        """The reward log p(Y) - log G(Y) of the optimal discriminator (eq. 13.32): its expectation -KL(G || p) rises.

        Eight seeds, each of which would fall as likely as rise if nothing were learnt: an error rate of 2^-8.
        """
        for seed in range(8):
            model, envs = tiny_agent(seed, 4, 3, learning_rate=0.01)
            spec, source = envs.sequence_spec, envs.task.source
            outcomes_BT = reference.padded(spec, reference.sequences(spec))
            real_B = source.log_prob(outcomes_BT)  # type: ignore[attr-defined]

            def divergence(model: SeqGAN = model, outcomes_BT: Tokens = outcomes_BT, real_B: Any = real_B) -> float:
                generated_B = model.generator.sequence_log_prob(outcomes_BT)
                return float(np.exp(generated_B) @ (generated_B - real_B))

            optimum = OptimalDiscriminator(spec, source.log_prob, model.generator.sequence_log_prob)  # type: ignore[attr-defined]
            envs.set_discriminator(optimum)
            before = divergence()
            model.learn(25 * 32 * 3)
            assert divergence() < before

    def test_the_native_environment_gives_the_run_of_single_environments(self) -> None:
        models = [agent(ENVS[name]()).learn(3 * N_STEPS) for name in ("four", "native")]
        for ours, theirs in zip(*(model.policy.parameters() for model in models), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)

    def test_counts_steps_and_updates_and_records_them(self) -> None:
        model = agent()
        seen: list[dict[str, float]] = []
        model.learn(1)
        assert (model.num_timesteps, model._n_updates) == (N_STEPS, 1)

        class Watch(BaseCallback):
            def _on_rollout_start(self) -> None:
                seen.append(dict(self.logger.name_to_value))

            def _on_step(self) -> bool:
                return True

        model.learn(2 * N_STEPS, Watch(), log_interval=None, reset_num_timesteps=False)
        assert (model.num_timesteps, model._n_updates) == (3 * N_STEPS, 3)
        record = seen[1]
        assert record["train/n_updates"] == 2
        assert record["rollout/reward_mean"] < 0
        assert 0 < record["train/entropy"] < np.log(20) + 0.5
        assert {"train/policy_gradient_loss", "train/grad_norm", "train/q_mean"} <= set(record)
        assert record["train/q_mean"] == pytest.approx(record["rollout/reward_mean"], abs=0.3)

    def test_prints_its_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        agent(verbose=1).learn(2 * N_STEPS, log_interval=1)
        printed = capsys.readouterr().out
        assert "ep_rew_mean" in printed
        assert "total_timesteps" in printed
        assert "policy_gradient_loss" in printed

    def test_its_table_is_printed_every_few_steps(self, capsys: pytest.CaptureFixture[str]) -> None:
        agent(verbose=1).learn(3 * N_STEPS, LogEveryNTimesteps(N_STEPS), log_interval=None)
        assert capsys.readouterr().out.count("total_timesteps") == 3

    @pytest.mark.parametrize("log_interval", [0, -1, 1.5])
    def test_refuses_an_interval_before_it_plays(self, log_interval: Any) -> None:
        model = agent()
        with pytest.raises(ValueError, match="log_interval must be a whole number of at least 1"):
            model.learn(N_STEPS, log_interval=log_interval)
        assert model.num_timesteps == 0

    def test_shows_a_progress_bar(self) -> None:
        model = agent().learn(2 * N_STEPS, progress_bar=True)
        assert model.num_timesteps == 2 * N_STEPS

    @every_env
    def test_the_seed_decides_the_run(self, make_env: Callable[[], Env]) -> None:
        first = agent(make_env()).learn(2 * N_STEPS)
        torch.manual_seed(12345)
        np.random.seed(12345)  # noqa: NPY002 - the legacy state is what must not matter
        assert_same_policy(agent(make_env()).learn(2 * N_STEPS), first)
        assert differ(agent(make_env(), seed=6).learn(2 * N_STEPS), first)

    def test_what_an_evaluation_draws_does_not_change_the_run(self) -> None:
        class Draws(BaseCallback):
            def _on_step(self) -> bool:
                torch.rand(3)
                assert isinstance(self.model, SeqGAN)
                self.model.sample(5)
                self.model.predict(np.full(6, 20))
                return True

        assert_same_policy(agent().learn(3 * N_STEPS, Draws()), agent().learn(3 * N_STEPS))

    def test_steps_may_be_given_as_a_float(self) -> None:
        """As people do with Stable-Baselines3: ``learn(1e5)``."""
        assert_same_policy(agent().learn(3e0 * N_STEPS - 0.5), agent().learn(3 * N_STEPS))

    def test_follows_a_schedule_of_the_learning_rate(self) -> None:
        model = agent(learning_rate=lambda remaining: 0.1 * remaining + 1e-6)
        rates: list[float] = []
        train = model.train

        def watch(episodes: Episodes) -> None:
            train(episodes)
            rates.append(model.policy.optimizer.param_groups[0]["lr"])

        model.train = watch  # type: ignore[method-assign]
        model.learn(4 * N_STEPS)
        np.testing.assert_allclose(rates, [0.075 + 1e-6, 0.05 + 1e-6, 0.025 + 1e-6, 1e-6])

    def test_the_progress_of_a_schedule_is_never_negative(self, tmp_path: Path) -> None:
        """The last collection plays more steps than were asked for; what was saved can be loaded."""
        seen: list[float] = []

        def schedule(remaining: float) -> float:
            seen.append(remaining)
            return 0.01 * remaining

        model = agent(learning_rate=schedule).learn(2 * N_STEPS + 1)
        assert model.num_timesteps == 3 * N_STEPS
        assert min(seen) == 0
        assert model.policy.optimizer.param_groups[0]["lr"] == 0
        model.save(tmp_path / "agent")
        assert SeqGAN.load(tmp_path / "agent").learning_rate == 0.01


class TestLearnUpdates:
    def test_stops_after_exactly_so_many(self) -> None:
        model = agent().learn_updates(3)
        assert (model.n_updates, model.num_timesteps) == (3, 3 * N_STEPS)
        assert_same_policy(model, agent().learn(3 * N_STEPS))

    def test_counts_those_before_it(self) -> None:
        model = agent().learn_updates(2)
        assert model.learn_updates(2).n_updates == 2
        assert model.learn_updates(5).n_updates == 5
        assert model.num_timesteps == 5 * N_STEPS
        assert_same_policy(model, agent().learn_updates(5))

    def test_ends_where_a_callback_asks(self) -> None:
        model = agent().learn_updates(10, Stop(at=N_STEPS // 4 + 1))
        assert model.n_updates == 1

    def test_a_schedule_sees_the_share_of_the_updates(self) -> None:
        model = agent(learning_rate=lambda remaining: 0.1 * remaining)
        rates: list[float] = []

        class Watch(BaseCallback):
            def _on_rollout_end(self) -> None:
                rates.append(model.policy.optimizer.param_groups[0]["lr"])

            def _on_step(self) -> bool:
                return True

        model.learn_updates(4, Watch())
        np.testing.assert_allclose(
            [*rates[1:], model.policy.optimizer.param_groups[0]["lr"]], [0.1, 0.075, 0.05, 0.025]
        )


class TestSetEnv:
    @pytest.mark.parametrize(
        ("make_env", "message"),
        [
            (lambda: VecNormalize(ENVS["native"](), norm_obs=False), "SeqGAN needs tokens and rewards as they are"),
            (lambda: gym.make("SeqGAN-v0", **{**ORACLE, "vocab_size": 21}), "the agent was made for .*vocab_size=20"),
            (lambda: gym.make("CartPole-v1"), "env must be a task of seqgan_env"),
        ],
        ids=["VecNormalize", "other sequences", "CartPole"],
    )
    def test_refuses_what_the_constructor_refuses_and_keeps_its_own(
        self, make_env: Callable[[], Env], message: str
    ) -> None:
        model = agent()
        env = model.env
        with pytest.raises(ValueError, match=message):
            model.set_env(make_env())
        assert model.env is env
        assert_same_policy(model.learn(N_STEPS), agent().learn(N_STEPS))

    @every_env
    def test_an_agent_that_was_loaded_without_one_learns_in_it(
        self, make_env: Callable[[], Env], tmp_path: Path
    ) -> None:
        agent().save(tmp_path / "agent")
        model = SeqGAN.load(tmp_path / "agent")
        model.set_env(make_env())
        assert_same_policy(model.learn(N_STEPS), agent(make_env()).learn(N_STEPS))

    def test_the_rewards_are_those_of_the_new_one(self) -> None:
        model, other = agent(), make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE, reward="log_ratio")
        model.set_env(other)
        episodes = collect(model)
        scores = other.env_method("score", episodes.tokens_BT.numpy())[0]
        np.testing.assert_allclose(episodes.reward_B, scores, rtol=1e-5)
        np.testing.assert_array_equal(model._score(episodes.tokens_BT), scores)


class Pays(VecEnvWrapper):
    """A wrapper of many environments that pays twice as much."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, reward_B, done_B, infos = self.venv.step_wait()
        return observations, 2 * reward_B, done_B, infos


class PaysAStep(gym.RewardWrapper[Any, Any]):
    """A wrapper that also pays a step which ends nothing."""

    def reward(self, reward: Any) -> Any:
        return reward or -0.01


class TestRewards:
    """The completions of the estimate are paid the task's own score, so the episodes must be too."""

    @pytest.mark.parametrize(
        ("wrap", "message"),
        [
            (
                lambda env: gym.wrappers.TransformReward(env, lambda reward: 100 * reward),
                "rewards must be the task's own",
            ),
            (
                lambda env: gym.wrappers.TransformReward(env, lambda reward: 1.001 * reward),
                "rewards must be the task's",
            ),
            (lambda env: gym.wrappers.ClipReward(env, -0.1, 0.1), "rewards must be the task's own, got -0.1 for .*"),
            (gym.wrappers.NormalizeReward, "rewards must be the task's own"),
            (PaysAStep, "a step that ends no sequence must be paid 0, got .*-0.01"),
        ],
        ids=["Transform", "a little", "Clip", "Normalize", "a step"],
    )
    @pytest.mark.parametrize("n_envs", [1, 2])
    def test_a_wrapper_that_changes_them_is_refused(self, wrap: Any, message: str, n_envs: int) -> None:
        """Also where it is one environment of two."""
        plain = [lambda: gym.make("SeqGAN-v0", **ORACLE)] * (n_envs - 1)
        model = agent(DummyVecEnv([*plain, lambda: wrap(gym.make("SeqGAN-v0", **ORACLE))]))
        before = agent(ENVS["single"]())
        with pytest.raises(ValueError, match=message):
            model.learn(N_STEPS)
        assert_same_policy(model, before)

    @every_env
    @pytest.mark.parametrize("set_later", [False, True])
    def test_a_wrapper_of_many_environments_that_changes_them_is_refused(
        self, make_env: Callable[[], Env], set_later: bool
    ) -> None:
        env = agent(make_env()).env
        assert env is not None
        model = agent() if set_later else agent(Pays(env))
        if set_later:
            model.set_env(Pays(env))
        with pytest.raises(ValueError, match="rewards must be the task's own"):
            model.learn(N_STEPS)
        assert model.n_updates == 0

    def test_of_many_episodes_others_are_compared_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("agents.seqgan._N_CHECKED", 3)
        model = agent()
        checked: list[Tokens] = []
        monkeypatch.setattr(model._handle, "check_returns", lambda tokens_BT, *more: checked.append(tokens_BT))
        monkeypatch.setattr(model, "train", lambda episodes: setattr(model, "_n_updates", model._n_updates + 1))
        model.learn(3 * N_STEPS)
        assert [len(rows_BT) for rows_BT in checked] == [3, 3, 2]

    def test_environments_with_other_discriminators_are_refused(self) -> None:
        env = ENVS["four"]()
        assert isinstance(env, VecEnv)
        weights = {name: 3 * array for name, array in env.env_method("discriminator_weights")[0].items()}
        env.env_method("load_discriminator", weights, indices=[2])
        with pytest.raises(ValueError, match="or one environment have another discriminator"):
            agent(env).learn(N_STEPS)

    def test_a_wrapper_that_leaves_them_alone_is_taken(self) -> None:
        env = gym.wrappers.RecordEpisodeStatistics(gym.make("SeqGAN-v0", **ORACLE, reward_clip=[-0.5, None]))
        assert agent(env).learn(N_STEPS).n_updates == 1


class TestDictionary:
    """Observations as dictionaries hold the same tokens, so nothing that is learned changes."""

    @pytest.mark.parametrize("native", [True, False])
    def test_learning_is_the_same(self, native: bool) -> None:
        def learned(observation: str) -> SeqGAN:
            arguments = {**ORACLE, "observation": observation}
            single = [lambda: gym.make("SeqGAN-v0", **arguments)] * 4
            model = agent(make_seqgan_vec_env("SeqGAN-v0", 4, **arguments) if native else DummyVecEnv(single))
            return model.learn_updates(2)

        assert_same_policy(learned("dict"), learned("tokens"))

    def test_it_predicts_saves_and_loads(self, tmp_path: Path) -> None:
        env = gym.make("SeqGAN-v0", **ORACLE, observation="dict")
        model = agent(env)
        observation, _ = env.reset()
        action, _ = model.predict(observation, deterministic=True)
        plain = agent(ENVS["single"]())
        plain.policy.load_state_dict(model.policy.state_dict())
        assert action == plain.predict(observation["tokens"], deterministic=True)[0]
        model.save(tmp_path / "agent")
        loaded = SeqGAN.load(tmp_path / "agent", env)
        assert loaded.predict(observation, deterministic=True)[0] == action
        assert loaded.learn_updates(1).n_updates == 1
        for form in ("dict", "tokens"):
            other = SeqGAN.load(tmp_path / "agent")
            for seen in (observation, observation["tokens"]):
                assert other.predict(seen, deterministic=True)[0] == action
            other.set_env(gym.make("SeqGAN-v0", **ORACLE, observation=form))
            assert other.learn_updates(1).n_updates == 1


CONSTRAINTS: dict[str, dict[str, Any]] = {
    "min_length": {"min_length": 6},
    "lexicon": {"allowed_tokens": list(range(1, 60))},
    "function": {"allowed_next": functools.partial(no_repetition, vocab_size=152)},
}


class TestConstraints:
    """It draws from what is allowed, and learns the policy that does."""

    @staticmethod
    def keeps(option: str, rows: Tokens, pad_id: int, eos_id: int) -> bool:
        is_token = rows != pad_id
        if option == "min_length":
            return bool((is_token.sum(axis=1) >= 6).all())
        if option == "lexicon":
            return bool(((rows < 60) | ~is_token).all())
        return not bool(((rows[:, 1:] == rows[:, :-1]) & is_token[:, 1:]).any())

    @pytest.mark.parametrize("option", CONSTRAINTS)
    @pytest.mark.parametrize("kind", ["single", "four", "native"])
    def test_episodes_samples_and_predictions_keep_to_them(self, option: str, kind: str) -> None:
        arguments = {**GRAMMAR, **CONSTRAINTS[option]}
        envs: dict[str, Callable[[], Env]] = {
            "single": lambda: gym.make("SeqGANGrammar-v0", **arguments),
            "four": lambda: DummyVecEnv([lambda: gym.make("SeqGANGrammar-v0", **arguments)] * 4),
            "native": lambda: make_seqgan_vec_env("SeqGANGrammar-v0", 4, **arguments),
        }
        model = agent(envs[kind]())
        spec = model.policy.spec
        assert spec.eos_id is not None
        episodes = collect(model)
        assert self.keeps(option, episodes.tokens_BT.numpy(), spec.pad_id, spec.eos_id)
        assert self.keeps(option, model.sample(200), spec.pad_id, spec.eos_id)
        assert not self.keeps(option, model.generator.draw(200), spec.pad_id, spec.eos_id)
        model.learn_updates(2)
        env = env_of(model)
        observation = env.reset()
        for deterministic in (True, False):
            for _ in range(8):
                action_B, _ = model.predict(observation, deterministic=deterministic)
                assert np.stack(env.env_method("action_masks"))[np.arange(env.num_envs), action_B].all()
                observation, *_ = env.step(action_B)

    @pytest.mark.parametrize("native", [True, False])
    def test_an_environment_that_has_met_its_quota_keeps_to_them_too(self, native: bool) -> None:
        """Whichever token follows end-of-sequence in the vocabulary, and however often sequences end at once."""
        task: dict[str, Any] = {**GRAMMAR, "allowed_tokens": [5, 6]}
        single = [lambda: gym.make("SeqGANGrammar-v0", **task)] * 4
        model = agent(make_seqgan_vec_env("SeqGANGrammar-v0", 4, **task) if native else DummyVecEnv(single))
        assert collect(model).tokens_BT.shape[0] == 8

    @pytest.mark.theory
    def test_values_and_gradients_are_those_of_the_policy_that_keeps_to_them(self) -> None:
        """By enumeration, eq. 13.40 and 13.44: all completions of every prefix under the cut softmax."""
        allowed_next = functools.partial(no_repetition, vocab_size=4)
        arguments: dict[str, Any] = {"discriminator": "tabular", "discriminator_kwargs": {"scale": 2.0}}
        env = make_seqgan_vec_env("SeqGANTiny-v0", 1, allowed_next=allowed_next, **arguments)
        model = agent(env, n_episodes=4, n_completions=3000, policy_kwargs=POLICY)
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.mul_(3)
        acting, spec = model.policy.acting, model.policy.spec
        rows = reference.all_sequences(spec)
        rows_BT = torch.from_numpy(rows[(rows[:, 1:] != rows[:, :-1]).all(axis=1)])
        g_B = acting.log_prob(rows_BT).sum(dim=1).exp()
        assert float(g_B.detach().sum()) == pytest.approx(1, abs=1e-5)
        score_B = torch.from_numpy(env.env_method("score", rows_BT.numpy())[0])
        some = rows_BT[:6]
        episodes = Episodes(some, torch.ones_like(some, dtype=torch.bool), score_B[:6])
        q_BT = model.estimate(episodes, torch.Generator().manual_seed(0)).q_BT
        for row, q_T in zip(some, q_BT, strict=True):
            for t in range(1, spec.max_length + 1):
                begins_B = (rows_BT[:, :t] == row[:t]).all(dim=1)
                p_B = (g_B.detach().double() * begins_B) / (g_B.detach().double() * begins_B).sum()
                exact, spread = float((p_B * score_B).sum()), float((p_B * score_B**2).sum())
                error = max(spread - exact**2, 0) ** 0.5 / 3000**0.5
                assert float(q_T[t - 1]) == pytest.approx(exact, abs=5 * error + 1e-5)
        # with exact values, the gradient over all sequences as often as they are drawn is that of J
        exact_BT = torch.zeros(rows_BT.shape, dtype=torch.float64)
        for b, row in enumerate(rows_BT):
            for t in range(spec.max_length):
                begins_B = (rows_BT[:, : t + 1] == row[: t + 1]).all(dim=1)
                p_B = (g_B.detach().double() * begins_B) / (g_B.detach().double() * begins_B).sum()
                exact_BT[b, t] = (p_B * score_B).sum()
        log_prob_BT = acting.log_prob(rows_BT)
        surrogate = (g_B.detach()[:, None] * log_prob_BT * exact_BT.float()).sum()
        weights = list(model.generator.parameters())
        ours = torch.autograd.grad(surrogate, weights, retain_graph=True)
        theirs = torch.autograd.grad((g_B * score_B.float()).sum(), weights)
        for mine, true in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, true, rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize(
        ("estimator", "task", "message"),
        [
            (
                {"n_completions": 0, "dense": True, "baseline": "step"},
                {},
                "a task without constraints for sums over",
            ),
            ({"exact_last_step": True}, {}, "a task without constraints for sums over tokens"),
            ({}, {"discriminator": "generative", "discriminator_kwargs": {}}, "for a likelihood of its own in D"),
        ],
    )
    def test_estimates_that_know_the_whole_softmax_are_refused(
        self, estimator: dict[str, Any], task: dict[str, Any], message: str
    ) -> None:
        env = gym.make("SeqGANGrammar-v0", **{**GRAMMAR, **task, "min_length": 2})
        with pytest.raises(ValueError, match=f"SeqGAN .*{message}.*, got {{'min_length': 2}}"):
            agent(env, **estimator)

    def test_a_file_of_such_a_discriminator_is_refused_too(self, tmp_path: Path) -> None:
        spec = gym.make("SeqGANGrammar-v0", **GRAMMAR).get_wrapper_attr("task").spec
        models = {"embedding_dim": 2, "hidden_dim": 2, "n_members": 1}
        save_discriminator(build_discriminator("generative", spec, kwargs=models), tmp_path / "models")
        task = {**GRAMMAR, "discriminator": str(tmp_path / "models"), "discriminator_kwargs": {}}
        with pytest.raises(ValueError, match="for a likelihood of its own in D"):
            agent(gym.make("SeqGANGrammar-v0", **task, min_length=2))

    def test_a_run_which_measures_the_whole_softmax_is_refused(self, tmp_path: Path) -> None:
        config = dataclasses.replace(TINY_RUN, task=dataclasses.replace(TINY_RUN.task, allowed_tokens=[1, 2]))
        with pytest.raises(ValueError, match=r"a run measures the whole softmax.*, got {'allowed_tokens': \[1, 2\]}"):
            Experiment(config, tmp_path / "run", progress=False)


class TestShaping:
    """Values are those of what all steps pay, so that SeqGAN plays shaped tasks too."""

    def test_a_potential_that_is_not_discounted_changes_no_update(self) -> None:
        """Its payments telescope to a constant, which the baseline takes away."""
        plain, shaped = (
            agent(make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE, **more)) for more in ({}, {"shaping": "discriminator"})
        )
        for model in (plain, shaped):
            model.learn_updates(3)
        for ours, theirs in zip(plain.policy.parameters(), shaped.policy.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("native", [True, False])
    def test_the_return_of_an_episode_is_what_all_its_steps_paid(self, native: bool) -> None:
        arguments = {**ORACLE, "shaping": first_token, "shaping_gamma": 0.5}
        single = [lambda: gym.make("SeqGAN-v0", **arguments)] * 4
        model = agent(make_seqgan_vec_env("SeqGAN-v0", 4, **arguments) if native else DummyVecEnv(single))
        env = env_of(model)
        tokens_BT, _, return_B = collect(model)
        expected_B = env.env_method("episode_return", tokens_BT.numpy(), indices=[0])[0]
        np.testing.assert_allclose(return_B, expected_B, rtol=1e-5)
        score_B = env.env_method("score", tokens_BT.numpy(), indices=[0])[0]
        assert np.abs(return_B.numpy() - score_B).max() > 0.1
        np.testing.assert_allclose(model._score(tokens_BT), expected_B, rtol=1e-6)

    def test_a_discounted_potential_is_learned_from(self) -> None:
        """It pays for prefixes that begin with a high token, every step anew."""
        arguments = {**ORACLE, "vocab_size": 5, "reward": "constant", "shaping": first_token, "shaping_gamma": 0.0}
        model = agent(make_seqgan_vec_env("SeqGAN-v0", 32, **arguments), n_episodes=32, learning_rate=0.05)
        before = model.sample(500)[:, 0].mean()
        model.learn_updates(25)
        assert model.sample(500)[:, 0].mean() < before - 1  # minus the potential of the old prefix, with no discount

    @pytest.mark.parametrize("set_later", [False, True])
    def test_dense_values_hold_nothing_of_it(self, set_later: bool) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE, shaping="discriminator")
        dense: dict[str, Any] = {"n_completions": 0, "dense": True, "baseline": "step"}
        make: Callable[[], Any] = (lambda: agent(**dense).set_env(env)) if set_later else (lambda: agent(env, **dense))
        with pytest.raises(ValueError, match="SeqGAN needs a task without shaping for dense values"):
            make()


def first_token(tokens_BT: Tokens, length_B: Tokens) -> np.ndarray:
    """A potential: the first token, 0 for an empty prefix."""
    return np.where(length_B > 0, tokens_BT[:, 0], 0).astype(float)


class TestPretraining:
    def test_makes_real_sequences_likelier(self) -> None:
        model = agent(policy_kwargs={**POLICY, "dropout": 0.0})
        real = make_seqgan_vec_env("SeqGAN-v0", 1, **ORACLE).get_attr("task")[0].real_sequences
        before = model.generator.sequence_log_prob(real).mean()
        losses: list[float] = []
        trainer = model.pretrain(real, 5, batch_size=32, on_epoch=losses.append)
        assert len(losses) == trainer.n_epochs == 5
        assert losses == sorted(losses, reverse=True)
        assert model.generator.sequence_log_prob(real).mean() > before
        assert losses[0] == pytest.approx(-before / 6, abs=0.3)

    def test_refuses_sequences_of_another_task(self) -> None:
        for rows, message in (([[0] * 7], "at most T = 6 columns"), ([[20]], "complete"), ([[21] * 6], r"\[0, 20\)")):
            with pytest.raises(ValueError, match=f"real must .*{message}"):
                agent().pretrain(np.array(rows))


class TestSample:
    def test_is_decided_by_its_seed(self) -> None:
        model = agent()
        rows_BT = model.sample(40, seed=3)
        assert rows_BT.dtype == np.int64
        model.policy.spec.validate(rows_BT, complete=True)
        np.testing.assert_array_equal(model.sample(40, seed=3), rows_BT)
        assert (model.sample(40, seed=4) != rows_BT).any()

    def test_any_number_can_be_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("seqgan_env.autoregressive.model._SAMPLE_ROWS", 16)
        rows_BT = agent().sample(40)
        assert rows_BT.shape == (40, 6)
        assert len(np.unique(rows_BT, axis=0)) > 30

    def test_begins_with_its_prefix_and_cools(self) -> None:
        model = agent()
        assert (model.sample(10, prefix=[4, 2])[:, :2] == [4, 2]).all()
        greedy, _ = model.predict(np.array([4, 2, 20, 20, 20, 20]), deterministic=True)
        assert (model.sample(10, prefix=np.array([4, 2]), temperature=1e-4)[:, 2] == greedy).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n": 0}, "n must be a whole number of at least 1, got 0"),
            ({"temperature": 0.0}, "temperature must be a finite number of at least 1e-30"),
            ({"temperature": float("nan")}, "temperature must be a finite number of at least 1e-30"),
            ({"prefix": [0] * 6}, "prefix must be shorter than T = 6 tokens, got 6"),
            ({"prefix": [21]}, r"prefix must hold ids in \[0, 20\)"),
            ({"prefix": [0.5]}, "prefix must be whole numbers"),
        ],
    )
    def test_a_number_a_temperature_and_a_prefix_out_of_range_are_refused(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            agent().sample(**{"n": 2, **arguments})


class TestStableBaselines:
    """Its callbacks and its evaluation work with the algorithm."""

    @every_env
    def test_evaluate_policy(self, make_env: Callable[[], Env]) -> None:
        model = agent(make_env())
        rewards, lengths = evaluate_policy(model, env_of(model), n_eval_episodes=6, return_episode_rewards=True)
        assert lengths == [6] * 6
        observation, row = np.full(6, 20), []
        for t in range(6):
            row.append(int(model.predict(observation, deterministic=True)[0]))
            observation[t] = row[-1]
        expected = env_of(model).env_method("score", np.array([row]), indices=[0])[0][0]
        np.testing.assert_allclose(rewards, expected, rtol=1e-4)

    @every_env
    def test_eval_and_checkpoint_callbacks(self, make_env: Callable[[], Env], tmp_path: Path) -> None:
        env = make_env()
        model = agent(env)
        evaluation = EvalCallback(
            env_of(agent(make_env())),
            n_eval_episodes=4,
            eval_freq=6,
            best_model_save_path=str(tmp_path / "best"),
            log_path=str(tmp_path / "log"),
            verbose=0,
        )
        checkpoints = CheckpointCallback(6, str(tmp_path), name_prefix="seqgan")
        model.learn(2 * N_STEPS, [evaluation, checkpoints])
        assert np.isfinite(evaluation.best_mean_reward)
        assert evaluation.best_mean_reward < 0
        files = sorted(tmp_path.glob("seqgan_*_steps.zip"))
        assert len(files) == 2 * N_STEPS // model.n_envs // 6
        SeqGAN.load(tmp_path / "best" / "best_model").sample(3)
        at_the_end = SeqGAN.load(tmp_path / f"seqgan_{2 * N_STEPS}_steps")
        assert at_the_end.num_timesteps == 2 * N_STEPS

    def test_a_run_without_an_evaluation_is_the_same(self) -> None:
        evaluation = EvalCallback(env_of(agent()), n_eval_episodes=4, eval_freq=6, verbose=0, deterministic=False)
        assert_same_policy(agent().learn(2 * N_STEPS, CallbackList([evaluation])), agent().learn(2 * N_STEPS))


class TestSaveAndLoad:
    def test_gives_the_same_predictions_and_samples(self, tmp_path: Path) -> None:
        model = agent().learn(N_STEPS)
        model.save(tmp_path / "agent")
        assert (tmp_path / "agent.zip").is_file()
        for read in (SeqGAN.load(tmp_path / "agent"), SeqGAN.load(str(tmp_path / "agent.zip"), env=ENVS["single"]())):
            assert_same_policy(read, model)
            np.testing.assert_array_equal(read.sample(50, seed=1), model.sample(50, seed=1))
            observations = np.array([[1, 2, 20, 20, 20, 20], [20] * 6])
            for deterministic in (True, False):
                torch.manual_seed(0)
                expected = model.predict(observations, deterministic=deterministic)[0]
                torch.manual_seed(0)
                np.testing.assert_array_equal(read.predict(observations, deterministic=deterministic)[0], expected)
            assert (read.num_timesteps, read._n_updates, read.seed) == (N_STEPS, 1, 5)
            for name in ("n_episodes", "max_grad_norm", "estimator"):
                assert getattr(read, name) == getattr(model, name)

    @every_env
    def test_learning_goes_on_as_if_nothing_had_happened(self, make_env: Callable[[], Env], tmp_path: Path) -> None:
        """Bit for bit, against a run in one piece and one in two pieces."""
        through = agent(make_env()).learn(4 * N_STEPS)
        pieces = agent(make_env()).learn(2 * N_STEPS)
        pieces.save(tmp_path / "agent")
        pieces.learn(2 * N_STEPS, reset_num_timesteps=False)
        torch.manual_seed(12345)
        resumed = SeqGAN.load(tmp_path / "agent", env=make_env())
        assert differ(resumed, through)
        resumed.learn(2 * N_STEPS, reset_num_timesteps=False)
        assert_same_policy(pieces, through)
        assert_same_policy(resumed, through)
        assert resumed.num_timesteps == through.num_timesteps == 4 * N_STEPS
        np.testing.assert_array_equal(resumed.sample(50), through.sample(50))

    def test_the_generator_when_learning_began_is_kept_where_it_is_asked_for(self, tmp_path: Path) -> None:
        """Also by an agent that goes on from a file; without a penalty there is none."""
        plain, through, pieces = agent(), agent(kl_penalty=0.5), agent(kl_penalty=0.5)
        first = {name: tensor.clone() for name, tensor in through.generator.state_dict().items()}
        plain.learn(4 * N_STEPS)
        through.learn(4 * N_STEPS)
        assert plain.state_dict()["pretrained"] == {}
        kept = through.state_dict()["pretrained"]
        assert all(torch.equal(kept[name], tensor) for name, tensor in first.items())
        assert differ(through, plain)
        pieces.learn(2 * N_STEPS).save(tmp_path / "agent")
        resumed = SeqGAN.load(tmp_path / "agent", env=ENVS["native"]())
        resumed.learn(2 * N_STEPS, reset_num_timesteps=False)
        assert_same_policy(resumed, through)
        assert SeqGAN.load(tmp_path / "agent", kl_penalty=0.0).state_dict()["pretrained"] == {}
        state = through.state_dict()
        for damaged in ({"output.bias": torch.zeros(3)}, {**kept, "output.bias": torch.zeros(3)}):
            with pytest.raises(ValueError, match=r"the weights must have the names|output\.bias must have shape"):
                agent(kl_penalty=0.5).load_state_dict({**state, "pretrained": damaged})

    def test_arguments_can_be_replaced(self, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        read = SeqGAN.load(tmp_path / "agent", env=ENVS["native"](), n_completions=7, learning_rate=0.5, verbose=1)
        assert (read.estimator.n_completions, read.learning_rate, read.verbose, read.n_episodes) == (7, 0.5, 1, 8)
        collect(read)

    def test_a_policy_of_ones_own_is_given_again(self, tmp_path: Path) -> None:
        class Mine(AutoregressivePolicy):
            pass

        model = SeqGAN(Mine, ENVS["native"](), policy_kwargs=POLICY)
        model.save(tmp_path / "agent")
        with pytest.raises(
            ValueError, match=r"has the policy_class '.*Mine'; pass it in custom_objects\['policy_class'\]"
        ):
            SeqGAN.load(tmp_path / "agent")
        read = SeqGAN.load(tmp_path / "agent", custom_objects={"policy_class": Mine})
        assert isinstance(read.policy, Mine)
        assert_same_policy(read, model)

    def test_a_schedule_leaves_a_step_size_and_can_be_given_again(self, tmp_path: Path) -> None:
        """The step size of the moment; the first one where the schedule has come down to 0, as here at the end."""
        model = agent(learning_rate=lambda remaining: 0.1 * remaining)
        for stops, expected in ((None, 0.1), (Stop(at=N_STEPS // 4 + 1), 0.05)):
            model.learn(N_STEPS if stops is None else 2 * N_STEPS, stops)
            model.save(tmp_path / "agent")
            assert SeqGAN.load(tmp_path / "agent").learning_rate == expected
        assert SeqGAN.load(tmp_path / "agent", learning_rate=lambda remaining: 0.2).lr_schedule(1) == 0.2

    def test_does_not_fit_another_task(self, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        with pytest.raises(ValueError, match=r"was trained on SequenceSpec\(vocab_size=20.*the environment has"):
            SeqGAN.load(tmp_path / "agent", env=gym.make("SeqGAN-v0", **{**ORACLE, "vocab_size": 21}))

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("kind", "PPO", "is not a readable SeqGAN agent: it holds 'PPO'"),
            ("spec", {"vocab_size": 20}, "spec has unknown or missing fields.*: eos_id, max_length"),
            ("spec", {"vocab_size": 0, "max_length": 6, "eos_id": None, "vocabulary": None}, "vocab_size must be"),
            ("arguments", {}, "arguments has unknown or missing fields.*: baseline, .*seed"),
            ("arguments", None, "arguments must be AgentArguments, got None"),
            ("agent", {}, "the weights must be tensors by name, got None"),
            ("agent", None, "state must be a mapping from names, got None"),
            ("policy_class", ["LstmPolicy"], "policy_class must be a string"),
            ("policy_class", "MyPolicy", "has the policy_class 'MyPolicy'; pass it"),
            ("more", 1, "an agent has unknown or missing fields.*: more"),
            ("optimizer_class", "Optimizer", "has the optimizer_class 'Optimizer'; pass it"),
            ("optimizer_class", "Muon", "is not a readable SeqGAN agent: "),
            ("constraints", ["mim_length"], "agent: constraints must be some of min_length, .* got "),
            ("constraints", ["min_length", "min_length"], "agent: constraints must be some of "),
            ("constraints", [1], "agent: constraints"),
            ("constraints", "min_length", "agent: constraints"),
        ],
    )
    def test_refuses_a_checkpoint_of_something_else(self, name: str, value: Any, message: str, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        state = load_checkpoint(tmp_path / "agent.zip")
        save_checkpoint(tmp_path / "agent.zip", {**state, name: value})
        with pytest.raises(ValueError, match=message):
            SeqGAN.load(tmp_path / "agent")
        state.pop(name, None)
        save_checkpoint(tmp_path / "agent.zip", {**state, **({} if name != "more" else {"even": 2})})
        with pytest.raises(ValueError, match="is not a readable SeqGAN agent"):
            SeqGAN.load(tmp_path / "agent")

    @pytest.mark.parametrize(
        "more",
        [
            {"optimizer_kwargs": value}
            for value in (5, "x", {"foo": 1}, {"lr": 1.0}, {"weight_decay": "x"}, {"betas": 3}, {"weight_decay": -1.0},
                          {"foreach": True, "fused": True})
        ]
        + [{"eos_id": 1}, {"vocabulary": "x"}, {"optimizer_x": 1}, {"optimizer_class": "Adam"}],
        ids=str,
    )  # fmt: skip
    def test_refuses_arguments_of_a_policy_that_make_none(self, more: dict[str, Any], tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        state = load_checkpoint(tmp_path / "agent.zip")
        state["arguments"]["policy_kwargs"] |= more
        save_checkpoint(tmp_path / "agent.zip", state)
        for env in (None, gym.make("SeqGAN-v0", **ORACLE)):
            with pytest.raises(ValueError, match=r"agent\.zip is not a readable SeqGAN agent: "):
                SeqGAN.load(tmp_path / "agent.zip", env=env)

    def test_the_arguments_of_an_optimiser_that_is_replaced_do_not_count(self, tmp_path: Path) -> None:
        own = {**POLICY, "optimizer_class": torch.optim.AdamW, "optimizer_kwargs": {"betas": [0.5, 0.5]}}
        agent(policy_kwargs=own).save(tmp_path / "agent")
        other = {"optimizer_class": torch.optim.SGD, "policy_kwargs": {**POLICY, "optimizer_kwargs": {}}}
        read = SeqGAN.load(tmp_path / "agent", custom_objects=other)
        assert type(read.policy.optimizer) is torch.optim.SGD

    @pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adamax])
    def test_an_optimiser_of_torch_is_kept_by_its_name(self, kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
        kwargs = {**POLICY, "optimizer_class": kind, "optimizer_kwargs": {"weight_decay": 0.25}}
        through, model = (agent(policy_kwargs=kwargs) for _ in range(2))
        through.learn(4 * N_STEPS)
        model.learn(2 * N_STEPS, CheckpointCallback(6, str(tmp_path)))
        model.save(tmp_path / "agent")
        resumed = SeqGAN.load(tmp_path / "agent", env=ENVS["native"]())
        assert type(resumed.policy.optimizer) is kind
        assert resumed.policy.optimizer.param_groups[0]["weight_decay"] == 0.25
        resumed.save(tmp_path / "again")
        resumed.learn(2 * N_STEPS, reset_num_timesteps=False)
        assert_same_policy(resumed, through)

    def test_an_optimiser_of_ones_own_is_given_again(self, tmp_path: Path) -> None:
        class Adam(torch.optim.SGD):
            pass

        model = agent(policy_kwargs={**POLICY, "optimizer_class": Adam})
        model.save(tmp_path / "agent")
        with pytest.raises(
            ValueError, match=r"optimizer_class '.*Adam'; pass it in custom_objects\['optimizer_class'\]"
        ):
            SeqGAN.load(tmp_path / "agent")
        read = SeqGAN.load(tmp_path / "agent", custom_objects={"optimizer_class": Adam})
        assert type(read.policy.optimizer) is Adam

    def test_every_argument_comes_back_or_is_replaced(self, tmp_path: Path) -> None:
        given: dict[str, Any] = {
            "learning_rate": 0.25,
            "n_episodes": 4,
            "max_grad_norm": 2.0,
            "stats_window_size": 7,
            "tensorboard_log": str(tmp_path / "logs"),
            "verbose": 1,
            "seed": 11,
            "baseline": "step",
        }
        signature = set(inspect.signature(SeqGAN).parameters)
        assert signature - set(given) == {"policy", "env", "policy_kwargs", "device", "_init_setup_model", "estimator"}
        model = agent(**given)
        model.save(tmp_path / "agent")

        def arguments(model: SeqGAN) -> dict[str, Any]:
            found = {**vars(model), "baseline": model.estimator.baseline, "stats_window_size": model._stats_window_size}
            return {name: found[name] for name in given}

        assert arguments(SeqGAN.load(tmp_path / "agent")) == given
        other: dict[str, Any] = {
            "learning_rate": 0.5,
            "n_episodes": 8,
            "max_grad_norm": 3.0,
            "stats_window_size": 8,
            "tensorboard_log": str(tmp_path / "others"),
            "verbose": 0,
            "seed": 12,
            "baseline": "none",
        }
        assert other.keys() == given.keys()
        for read in (
            SeqGAN.load(tmp_path / "agent", **other),
            SeqGAN.load(tmp_path / "agent", custom_objects=other),
        ):
            assert arguments(read) == other
        with pytest.raises(ValueError, match=r"SeqGAN takes .*; got vf_coef"):
            SeqGAN.load(tmp_path / "agent", custom_objects={"vf_coef": 0.2})

    def test_a_seed_set_later_is_the_agents_own(self, tmp_path: Path) -> None:
        """At construction, at loading and afterwards one seed gives one run, and another seed another one."""
        agent(seed=1).save(tmp_path / "agent")
        weights = []
        for seed in (2, 2, 3):
            for model in (SeqGAN.load(tmp_path / "agent", env=agent().env, seed=seed), agent(seed=1)):
                model.set_random_seed(seed)
                model.set_random_seed(None)
                assert model.seed == seed
                weights.append(torch.cat([each.flatten() for each in model.learn(1).policy.parameters()]))
        assert torch.equal(weights[0], weights[2])
        assert torch.equal(weights[1], weights[3])
        assert (weights[0] != weights[4]).any()
        assert (weights[1] != weights[5]).any()

    def test_a_file_is_named_as_stable_baselines_names_it(self, tmp_path: Path) -> None:
        """A suffix is added where there is none, missing folders are made, and both names are found."""
        for given, written in (("a", "a.zip"), ("b.zip", "b.zip"), ("c.bin", "c.bin"), ("new/er/d", "new/er/d.zip")):
            model = agent()
            model.save(str(tmp_path / given))
            assert (tmp_path / written).is_file()
            ppo = PPO("MlpPolicy", "CartPole-v1", device="cpu")
            (tmp_path / "ppo" / written).parent.mkdir(parents=True, exist_ok=True)
            ppo.save(tmp_path / "ppo" / given)
            assert (tmp_path / "ppo" / written).is_file()
            for name in (given, written):
                assert_same_policy(SeqGAN.load(tmp_path / name), model)

    def test_a_folder_of_the_same_name_does_not_hide_it(self, tmp_path: Path) -> None:
        (tmp_path / "agent").mkdir()
        model = agent()
        for name in ("agent", "agent/"):
            model.save(f"{tmp_path}/{name}")
            assert_same_policy(SeqGAN.load(f"{tmp_path}/{name}"), model)
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["agent", "agent.zip"]

    @pytest.mark.parametrize("path", ["", ".", "/"])
    def test_a_path_without_a_name_is_refused(self, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match=f"^path must name a file, got '{re.escape(path)}'$"):
            agent().save(path)
        assert not list(tmp_path.iterdir())

    def test_a_device_that_is_none_is_refused(self, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        for make in (lambda: agent(device="gpu0"), lambda: SeqGAN.load(tmp_path / "agent", device="gpu0")):
            with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or another device of torch, got 'gpu0'"):
                make()

    def test_a_stream_is_written_and_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        model, stream = agent(), io.BytesIO()
        model.save(stream)
        assert not list(tmp_path.iterdir())
        stream.seek(0)
        assert_same_policy(SeqGAN.load(stream), model)
        with open("file", "wb") as file:
            model.save(file)
        with open("file", "rb") as file:
            assert_same_policy(SeqGAN.load(file), model)
        with pytest.raises(ValueError, match="the stream is not a readable checkpoint"):
            SeqGAN.load(io.BytesIO(b"no zip"))

    @pytest.mark.parametrize("path", [io.StringIO(), None, 3])
    def test_what_is_neither_a_path_nor_a_stream_is_refused(self, path: Any) -> None:
        with pytest.raises(ValueError, match="path must be a path or a stream of bytes, got"):
            agent().save(path)
        with pytest.raises(ValueError, match="path must be a path or a stream of bytes, got"):
            SeqGAN.load(path)

    def test_without_an_environment_it_samples_and_says_what_learning_needs(self, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        model = SeqGAN.load(tmp_path / "agent")
        model.sample(3)
        for learn in (model.learn, model.learn_updates):
            with pytest.raises(ValueError, match="learning needs an environment: pass env to load, or call set_env"):
                learn(N_STEPS)

    def test_it_says_which_constraints_it_has_lost(self, tmp_path: Path) -> None:
        """Also after another save; with an environment, given at once or later, they hold again."""
        env = gym.make("SeqGANGrammar-v0", **GRAMMAR, min_length=6, allowed_tokens=range(9))

        def keeps_to_them(model: SeqGAN) -> bool:
            tokens, spec = torch.from_numpy(model.sample(200)), model.policy.spec
            return set(tokens[spec.is_token(tokens)].tolist()) <= {*range(9), spec.eos_id}

        agent(env).save(tmp_path / "agent")
        for _ in range(2):
            with pytest.warns(UserWarning, match="kept to the constraints min_length, allowed_tokens, which"):
                model = SeqGAN.load(tmp_path / "agent")
            model.save(tmp_path / "agent")
        assert not keeps_to_them(model)
        looser = gym.make("SeqGANGrammar-v0", **GRAMMAR, min_length=6)
        with pytest.warns(UserWarning, match="kept to the constraints allowed_tokens, which it does not now"):
            SeqGAN.load(tmp_path / "agent", env=looser)
        model.set_env(env)
        assert keeps_to_them(model)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert keeps_to_them(SeqGAN.load(tmp_path / "agent", env=env))

    def test_refuses_a_missing_file_and_one_of_another_algorithm(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"none\.zip is not a readable checkpoint"):
            SeqGAN.load(tmp_path / "none")
        PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "ppo")
        with pytest.raises(ValueError, match=r"ppo\.zip is not a readable checkpoint"):
            SeqGAN.load(tmp_path / "ppo")

    def test_refuses_weights_of_another_size(self, tmp_path: Path) -> None:
        agent().save(tmp_path / "agent")
        with pytest.raises(ValueError, match=r"is not a readable SeqGAN agent: .* must have shape"):
            SeqGAN.load(tmp_path / "agent", policy_kwargs={"hidden_dim": 7})
        with pytest.raises(ValueError, match="the agent's state has unknown or missing fields"):
            agent().load_state_dict({"policy": {}})
