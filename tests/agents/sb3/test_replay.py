"""Replay buffers pay for a complete sequence what the discriminator thinks of it now, whatever it thought then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize

from agents import (
    DiscriminatorCallback,
    PrefixExtractor,
    RelabellingDictReplayBuffer,
    RelabellingReplayBuffer,
    make_seqgan_vec_env,
)
from agents.observations import tokens_of
from agents.sb3.replay import Relabelling
from seqgan_env.tokens import Tokens
from tests.support.builders import GRAMMAR, ORACLE, RETRAIN

ENVIRONMENTS: dict[str, Callable[..., VecEnv]] = {
    "native": lambda **more: make_seqgan_vec_env("SeqGAN-v0", 3, **ORACLE, **more),
    "dummy": lambda **more: make_vec_env("SeqGAN-v0", 2, env_kwargs={**ORACLE, **more}),
    "monitored dummy": lambda **more: VecMonitor(DummyVecEnv([lambda: gym.make("SeqGAN-v0", **ORACLE, **more)] * 2)),
    "grammar": lambda **more: make_seqgan_vec_env("SeqGANGrammar-v0", 3, **GRAMMAR, **more),
}


def filled(env: VecEnv, kind: type[ReplayBuffer], n: int = 300, **arguments: Any) -> ReplayBuffer:
    """A buffer with transitions of random actions, stored as an algorithm of Stable-Baselines3 stores them."""
    policy = "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
    model = DQN(policy, env, replay_buffer_class=kind, learning_starts=10**6, device="cpu", seed=0, **arguments)
    model.learn(n)
    buffer = model.replay_buffer
    assert buffer is not None
    if isinstance(buffer, Relabelling):
        buffer.set_env(env)
    return buffer


def change(env: VecEnv, rng: np.random.Generator) -> None:
    """Give every environment another discriminator."""
    weights = env.env_method("discriminator_weights", indices=[0])[0]
    other = {name: array + rng.normal(size=array.shape).astype(array.dtype) for name, array in weights.items()}
    env.env_method("load_discriminator", other)


def assert_current(samples: Any, env: VecEnv) -> int:
    """Every terminal reward is the present score of its sequence, alone and bit for bit; every other one is 0.

    Returns:
        How many terminal transitions there are.
    """
    tokens_BT: Tokens = tokens_of(samples.next_observations).numpy()
    rewards_B, ended_B = samples.rewards.numpy()[:, 0], samples.dones.numpy()[:, 0] == 1
    assert rewards_B.dtype == np.float32
    assert (rewards_B[~ended_B] == 0).all()
    for row, reward in zip(tokens_BT[ended_B], rewards_B[ended_B], strict=True):
        assert reward == np.float32(env.env_method("score", row[None], indices=[0])[0][0])
    return int(ended_B.sum())


def check_never_stale(env: VecEnv, buffer: ReplayBuffer) -> None:
    """Sample under one discriminator after the other, sometimes twice and sometimes not at all under one."""
    rng = np.random.default_rng(0)
    n_ended = 0
    for n_batches in (1, 2, 0, 0, 3, 1):
        for size in (1, 64, 7)[:n_batches]:
            n_ended += assert_current(buffer.sample(size), env)
        change(env, rng)
    n_ended += assert_current(buffer.sample(1000), env)
    assert n_ended > 50


class TestNeverStale:
    @pytest.mark.parametrize("name", ENVIRONMENTS)
    def test_terminal_rewards_are_those_of_the_present_discriminator(self, name: str) -> None:
        env = ENVIRONMENTS[name]()
        check_never_stale(env, filled(env, RelabellingReplayBuffer))

    def test_also_in_other_processes(self, subprocesses: VecEnv) -> None:
        check_never_stale(subprocesses, filled(subprocesses, RelabellingReplayBuffer))

    @pytest.mark.parametrize("name", ["native", "dummy"])
    def test_also_where_observations_are_dictionaries(self, name: str) -> None:
        env = ENVIRONMENTS[name](observation="dict")
        check_never_stale(env, filled(env, RelabellingDictReplayBuffer))

    @pytest.mark.parametrize("size", [40, 300])
    def test_also_where_new_transitions_take_the_place_of_old_ones(self, size: int) -> None:
        env = ENVIRONMENTS["grammar"]()
        model = DQN("MlpPolicy", env, replay_buffer_class=RelabellingReplayBuffer, buffer_size=size, device="cpu")
        model.learning_starts = 10**6
        buffer = model.replay_buffer
        assert isinstance(buffer, Relabelling)
        buffer.set_env(env)
        rng, n_ended = np.random.default_rng(0), 0
        for _ in range(12):
            model.learn(int(rng.integers(3, 90)), reset_num_timesteps=False)
            n_ended += assert_current(buffer.sample(64), env)
            if rng.random() < 0.5:
                change(env, rng)
        assert n_ended > 20

    def test_a_plain_buffer_is_stale(self) -> None:
        """The check above is one that can fail."""
        env = ENVIRONMENTS["native"]()
        with pytest.raises(AssertionError):
            check_never_stale(env, filled(env, ReplayBuffer))
        env = ENVIRONMENTS["native"](observation="dict")
        with pytest.raises(AssertionError):
            check_never_stale(env, filled(env, DictReplayBuffer))

    @pytest.mark.parametrize("algorithm", [DQN, QRDQN])
    def test_not_while_an_algorithm_learns(self, algorithm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the callback that retrains the discriminator nothing has to be said to the buffer."""
        env = ENVIRONMENTS["native"]()
        n_ended: list[int] = []
        sample = Relabelling.sample

        def checked(self: Relabelling, *args: Any, **kwargs: Any) -> Any:
            samples = sample(self, *args, **kwargs)
            n_ended.append(assert_current(samples, env))
            return samples

        monkeypatch.setattr(Relabelling, "sample", checked)
        model = algorithm(
            "MlpPolicy",
            env,
            replay_buffer_class=RelabellingReplayBuffer,
            learning_starts=30,
            policy_kwargs={"features_extractor_class": PrefixExtractor},
            device="cpu",
            seed=0,
        )
        callback = DiscriminatorCallback(8, **RETRAIN)
        model.learn(400, callback)
        assert callback.version >= 5
        assert sum(n_ended) > 100


class TestCost:
    def test_a_sequence_is_scored_once_under_each_version_and_a_batch_in_one_call(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env = ENVIRONMENTS["native"]()
        buffer = filled(env, RelabellingReplayBuffer)
        native = env.get_attr("task")[0].scoring
        calls: list[Tokens] = []
        score = native.score

        def counted(sequences: Tokens) -> Any:
            calls.append(sequences)
            return score(sequences)

        monkeypatch.setattr(native, "score", counted)
        for _ in range(2):
            calls.clear()
            for n_batches in range(1, 30):
                buffer.sample(32)
                assert len(calls) <= n_batches
            scored = [row.tobytes() for call in calls for row in call]
            assert len(scored) == len(set(scored)) == 48  # all that 100 steps of three environments ended
            assert len(calls) < 10  # and few calls, since each takes more than what its batch needs
            change(env, np.random.default_rng(0))

    def test_no_version_is_sampled_where_nothing_ended(self) -> None:
        env = ENVIRONMENTS["native"]()
        buffer = filled(env, RelabellingReplayBuffer, n=9)
        buffer.set_env(env)  # type: ignore[attr-defined]
        assert assert_current(buffer.sample(20), env) == 0


class TestKeeping:
    def test_a_buffer_from_a_file_is_given_its_environment_again(self, tmp_path: Path) -> None:
        """The file holds no environment; another run's version of the same number says nothing."""
        env = ENVIRONMENTS["native"]()
        model = DQN(
            "MlpPolicy", env, replay_buffer_class=RelabellingReplayBuffer, learning_starts=10, device="cpu", seed=0
        )
        model.learn(100, DiscriminatorCallback(8, **RETRAIN))
        model.save_replay_buffer(tmp_path / "buffer.pkl")
        model.save(tmp_path / "model.zip")
        assert isinstance(model.replay_buffer, Relabelling)
        assert assert_current(model.replay_buffer.sample(50), env) > 0  # writing it has not changed it

        other = ENVIRONMENTS["native"](discriminator_seed=1)
        version = env.get_attr("discriminator_version")[0]
        weights = other.env_method("discriminator_weights", indices=[0])[0]
        other.env_method("load_discriminator", weights, version=version)
        loaded = DQN.load(tmp_path / "model.zip", env=other)
        loaded.load_replay_buffer(tmp_path / "buffer.pkl")
        buffer = loaded.replay_buffer
        assert isinstance(buffer, RelabellingReplayBuffer)
        assert not buffer._score_of
        with pytest.raises(ValueError, match="the buffer must know the environment"):
            buffer.sample(100)
        buffer.set_env(other)
        assert assert_current(buffer.sample(100), other) > 0
        loaded.load_replay_buffer(tmp_path / "buffer.pkl")
        loaded.learn(50, DiscriminatorCallback(8, **RETRAIN), reset_num_timesteps=False)

    def test_another_environment_of_the_same_version_scores_anew(self) -> None:
        env, other = ENVIRONMENTS["native"](), ENVIRONMENTS["native"](discriminator_seed=1)
        buffer = filled(env, RelabellingReplayBuffer)
        assert isinstance(buffer, Relabelling)
        assert assert_current(buffer.sample(100), env) > 0
        buffer.set_env(other)
        assert other.get_attr("discriminator_version") == env.get_attr("discriminator_version")
        assert assert_current(buffer.sample(100), other) > 0

    def test_a_buffer_over_processes_can_be_pickled(self, subprocesses: VecEnv, tmp_path: Path) -> None:
        model = DQN("MlpPolicy", subprocesses, replay_buffer_class=RelabellingReplayBuffer, device="cpu")
        assert isinstance(model.replay_buffer, Relabelling)
        model.replay_buffer.set_env(subprocesses)
        model.save_replay_buffer(tmp_path / "buffer.pkl")
        assert isinstance(load_from_pkl(tmp_path / "buffer.pkl"), RelabellingReplayBuffer)

    def test_rewards_are_normalised_as_they_are_given_out(self) -> None:
        """What `ReplayBuffer` does with `VecNormalize`: the reward now, over the standard deviation now."""
        env = VecNormalize(ENVIRONMENTS["native"](), norm_obs=False)
        buffer = filled(env, RelabellingReplayBuffer)
        change(env, np.random.default_rng(0))
        samples = buffer.sample(200, env=env)
        ended_B = samples.dones[:, 0] == 1
        score_M = np.concatenate(
            [env.env_method("score", row[None], indices=[0])[0] for row in samples.next_observations[ended_B].numpy()]
        )
        assert len(score_M) > 10
        expected_M = env.normalize_reward(score_M.astype(np.float32)).astype(np.float32)
        np.testing.assert_array_equal(samples.rewards[ended_B, 0].numpy(), expected_M)
        assert (expected_M != score_M.astype(np.float32)).all()
        assert (samples.rewards[~ended_B] == 0).all()


class TestRefuses:
    def test_what_does_not_keep_the_complete_sequences(self) -> None:
        space = gym.spaces.Box(0, 20, (6,), np.int64)
        with pytest.raises(ValueError, match="optimize_memory_usage must be False"):
            RelabellingReplayBuffer(
                10, space, gym.spaces.Discrete(20), optimize_memory_usage=True, handle_timeout_termination=False
            )

    @pytest.mark.parametrize("shaping", ["discriminator", lambda tokens_BT, length_B: length_B / 6])
    def test_an_environment_that_is_shaped(self, shaping: Any) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE, shaping=shaping)
        model = DQN("MlpPolicy", env, replay_buffer_class=RelabellingReplayBuffer, device="cpu")
        assert isinstance(model.replay_buffer, Relabelling)
        with pytest.raises(ValueError, match="relabelling needs shaping 'none', the environment has"):
            model.replay_buffer.set_env(env)
        with pytest.raises(ValueError, match="pays only at the end of a sequence"):
            model.learn(10)
        with pytest.raises(ValueError, match="relabelling needs shaping 'none'"):
            model.learn(10, DiscriminatorCallback(8, **RETRAIN))

    def test_an_environment_of_something_else(self) -> None:
        buffer = filled(ENVIRONMENTS["native"](), RelabellingReplayBuffer, n=3)
        assert isinstance(buffer, Relabelling)
        with pytest.raises(ValueError, match="env must be a task of seqgan_env"):
            buffer.set_env(make_vec_env("CartPole-v1", 1))
        with pytest.raises(ValueError, match=r"the buffer holds sequences of .*vocab_size=20.* the environment has"):
            buffer.set_env(ENVIRONMENTS["grammar"]())

    def test_tokens_that_were_normalised(self) -> None:
        env = VecNormalize(ENVIRONMENTS["native"]())
        buffer = filled(env, RelabellingReplayBuffer)
        with pytest.raises(ValueError, match="VecNormalize must not normalise them"):
            buffer.sample(10, env=env)

    @pytest.mark.parametrize("kind", [RelabellingReplayBuffer, RelabellingDictReplayBuffer])
    def test_a_reward_that_a_wrapper_has_changed(self, kind: type[ReplayBuffer]) -> None:
        """It would never be learned from: the task's own is put in its place."""
        more = {"observation": "dict"} if kind is RelabellingDictReplayBuffer else {}

        def make() -> gym.Env[Any, Any]:
            return gym.wrappers.TransformReward(gym.make("SeqGAN-v0", **ORACLE, **more), lambda reward: 2 * reward)

        policy = "MultiInputPolicy" if more else "MlpPolicy"
        model = DQN(policy, DummyVecEnv([make]), replay_buffer_class=kind, device="cpu", seed=0)
        with pytest.raises(ValueError, match=r"rewards must be the task's own, got .*; does a wrapper change rewards"):
            model.learn(100, callback=DiscriminatorCallback(64, **RETRAIN))

    def test_to_learn_without_the_environment(self) -> None:
        model = DQN(
            "MlpPolicy",
            ENVIRONMENTS["native"](),
            replay_buffer_class=RelabellingReplayBuffer,
            learning_starts=60,
            device="cpu",
        )
        with pytest.raises(ValueError, match=r"call model.replay_buffer.set_env\(model.get_env\(\)\)"):
            model.learn(200)


def test_learns_from_what_the_discriminator_thinks_now() -> None:
    """Two episodes, one reward each; the discriminator changes its mind, and the values follow it.

    T = 1, so a value is the reward; the network is large enough to be right about three actions.
    """
    arguments: dict[str, Any] = {"vocab_size": 3, "max_length": 1, "discriminator": "tabular", "n_real": 10}
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **arguments, n_held_out=10, discriminator_kwargs={"scale": 1.0})
    sequences = np.arange(3)[:, None]

    class Flip(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 100:
                weights = env.env_method("discriminator_weights", indices=[0])[0]
                env.env_method("load_discriminator", {name: -array for name, array in weights.items()})
            return True

    before = env.env_method("score", sequences, indices=[0])[0]
    model = DQN(
        "MlpPolicy",
        env,
        replay_buffer_class=RelabellingReplayBuffer,
        learning_rate=0.01,
        train_freq=1,
        exploration_fraction=0.1,
        exploration_final_eps=0.01,  # what is collected after the change is nearly always one action
        policy_kwargs={"net_arch": [16]},
        device="cpu",
        seed=0,
    )
    assert isinstance(model.replay_buffer, Relabelling)
    model.replay_buffer.set_env(env)
    model.learn(4 * 500, Flip())
    after = env.env_method("score", sequences, indices=[0])[0]
    with torch.no_grad():
        value_V = model.q_net(torch.full((1, 1), 3.0))[0].numpy()
    np.testing.assert_allclose(value_V, after, atol=0.02)
    assert np.abs(after - before).max() > 0.1


@pytest.mark.parametrize("knows_time_limits", [True, False])
def test_an_episode_that_is_cut_short_ends_no_sequence(knows_time_limits: bool) -> None:
    """It pays 0 and goes on; a buffer that takes it for an end says that the sequence is not complete."""
    env = make_vec_env("SeqGAN-v0", 2, env_kwargs={**ORACLE, "max_episode_steps": 3})
    buffer = filled(
        env, RelabellingReplayBuffer, replay_buffer_kwargs={"handle_timeout_termination": knows_time_limits}
    )
    if not knows_time_limits:
        with pytest.raises(ValueError, match="sequences must be complete: 6 tokens long; row 0 has 3"):
            buffer.sample(100)
        return
    samples = buffer.sample(100)
    assert not samples.rewards.any()
    assert not samples.dones.any()
