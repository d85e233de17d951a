"""To Stable-Baselines3 the native vector environment is what single ones are."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from agents import SeqGANVecEnv, make_seqgan_vec_env
from seqgan_env import SeqGANVectorEnv
from tests.support.builders import GRAMMAR, ORACLE
from tests.support.cases import assert_same

TASKS: dict[str, dict[str, Any]] = {"SeqGAN-v0": ORACLE, "SeqGANGrammar-v0": GRAMMAR}


def native(env_id: str, n_envs: int, **more: Any) -> SeqGANVecEnv:
    arguments = {**gym.spec(env_id).kwargs, **TASKS[env_id], **more}
    return SeqGANVecEnv(SeqGANVectorEnv(n_envs, autoreset_mode="SameStep", **arguments))


def dummy(env_id: str, n_envs: int, **more: Any) -> DummyVecEnv:
    return DummyVecEnv([partial(gym.make, env_id, **TASKS[env_id], **more) for _ in range(n_envs)])


def assert_same_infos(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


class TestVecEnv:
    @pytest.mark.parametrize("env_id", TASKS)
    @given(n_envs=st.integers(1, 4), seed=st.integers(0, 1000), prefix_length=st.integers(0, 3))
    @settings(max_examples=8)
    def test_is_step_for_step_single_environments(
        self, env_id: str, n_envs: int, seed: int, prefix_length: int
    ) -> None:
        ours, theirs = native(env_id, n_envs), dummy(env_id, n_envs)
        assert ours.observation_space == theirs.observation_space
        assert ours.action_space == theirs.action_space
        rng = np.random.default_rng(seed)
        spec = ours.envs.sequence_spec
        prefix = rng.integers(1, spec.vocab_size, size=prefix_length)
        for env in (ours, theirs):
            env.seed(seed)
            env.set_options({"prefix": prefix})
            observations = env.reset()
            assert isinstance(observations, np.ndarray)
            assert (observations[:, :prefix_length] == prefix).all()
        n_ended = 0
        for _ in range(2 * spec.max_length):
            actions = rng.integers(spec.vocab_size, size=n_envs)
            if spec.eos_id is not None:
                actions[rng.random(n_envs) < 0.3] = spec.eos_id
            observations, rewards, dones, infos = ours.step(actions)
            their_observations, their_rewards, their_dones, their_infos = theirs.step(actions)
            assert_same(observations, their_observations)
            assert_same(dones, their_dones)
            assert_same(rewards, their_rewards)
            assert (rewards[~dones] == 0).all()
            assert (rewards[dones] < 0).all()
            assert_same_infos(infos, their_infos)
            assert_same_infos(ours.reset_infos, theirs.reset_infos)
            n_ended += int(dones.sum())
        assert n_ended >= n_envs

    @pytest.mark.parametrize("observation", ["tokens", "dict"])
    @given(n_envs=st.integers(1, 4), seed=st.integers(0, 1000))
    @settings(max_examples=5)
    def test_constraints_and_dictionaries_too(self, observation: str, n_envs: int, seed: int) -> None:
        more: dict[str, Any] = {"min_length": 3, "observation": observation}
        ours, theirs = native("SeqGANGrammar-v0", n_envs, **more), dummy("SeqGANGrammar-v0", n_envs, **more)
        assert ours.observation_space == theirs.observation_space
        assert ours.has_attr("action_masks")
        rng = np.random.default_rng(seed)
        assert_same(ours.reset(), theirs.reset())
        eos_id = ours.envs.sequence_spec.eos_id
        for _ in range(20):
            masks = ours.env_method("action_masks")
            assert_same_infos(
                [{"mask": mask} for mask in masks], [{"mask": m} for m in theirs.env_method("action_masks")]
            )
            for b in range(n_envs):
                (mask,) = ours.env_method("action_masks", indices=b)
                np.testing.assert_array_equal(mask, masks[b])
            ends = rng.random(n_envs) < 0.5
            actions = np.array(
                [
                    eos_id if end and mask[eos_id] else rng.choice(np.flatnonzero(mask))
                    for end, mask in zip(ends, masks, strict=True)
                ]
            )
            for our, their in zip(ours.step(actions), theirs.step(actions), strict=True):
                if isinstance(our, list):
                    assert_same_infos(our, their)  # type: ignore[arg-type]
                else:
                    assert_same(our, their)
            assert_same_infos(ours.reset_infos, theirs.reset_infos)

    def test_each_index_has_the_mask_of_its_episode(self) -> None:
        env = native("SeqGANGrammar-v0", 3, min_length=2)
        env.set_options([{"prefix": [5]}, {}, {"prefix": [5, 6]}])
        env.reset()
        eos_id = env.envs.sequence_spec.eos_id
        assert [mask[eos_id] for mask in env.env_method("action_masks")] == [True, False, True]
        assert [mask[eos_id] for mask in env.env_method("action_masks", indices=[1, 2])] == [False, True]
        assert [info["action_mask"][eos_id] for info in env.reset_infos] == [1, 0, 1]

    def test_observations_of_one_step_are_not_changed_by_the_next(self) -> None:
        env = native("SeqGAN-v0", 2)
        first = env.reset()
        kept = np.array(first)
        terminal = None
        for _ in range(6):
            observations, _, _, infos = env.step(np.array([1, 2]))
            assert isinstance(first, np.ndarray)
            np.testing.assert_array_equal(first, kept)
            first, kept = observations, np.array(observations)
            terminal = infos[1].get("terminal_observation")
        env.step(np.array([3, 3]))
        assert terminal is not None
        assert terminal.tolist() == [2] * 6

    def test_attributes_are_those_of_the_shared_environment(self) -> None:
        env = native("SeqGAN-v0", 3)
        assert env.get_attr("discriminator_version") == [0, 0, 0]
        assert env.get_attr("sequence_spec", indices=[0, 2]) == [env.envs.sequence_spec] * 2
        env.set_attr("label", "x", indices=1)
        assert env.get_attr("label", indices=0) == ["x"]
        assert env.env_is_wrapped(Monitor) == [False] * 3
        assert env.env_is_wrapped(Monitor, indices=1) == [False]
        assert list(env.get_images()) == [None] * 3
        assert env.render_mode is None
        with pytest.raises(AttributeError):
            env.get_attr("nothing")
        env.close()

    def test_a_method_is_called_once_and_all_get_its_answer(self) -> None:
        env = native("SeqGAN-v0", 3)
        env.reset()
        sequences = np.arange(12).reshape(2, 6)
        before = env.env_method("score", sequences)
        assert len(before) == 3
        np.testing.assert_array_equal(before[0], before[2])
        weights = {name: -array for name, array in env.env_method("discriminator_weights", indices=[0])[0].items()}
        env.env_method("load_discriminator", weights)
        assert env.get_attr("discriminator_version") == [1, 1, 1]
        env.env_method("load_discriminator", weights, version=7, indices=[1])
        assert env.get_attr("discriminator_version") == [7, 7, 7]
        assert not np.isclose(env.env_method("score", sequences)[0], before[0]).any()
        _, _, _, infos = env.step(np.zeros(3, dtype=np.int64))
        assert [info["discriminator_version"] for info in infos] == [7, 7, 7]

    def test_options_hold_for_one_reset(self) -> None:
        env = native("SeqGAN-v0", 2)
        env.set_options({"prefix": [4, 5]})
        np.testing.assert_array_equal(env.reset(), [[4, 5, 20, 20, 20, 20]] * 2)
        assert [info["length"] for info in env.reset_infos] == [2, 2]
        np.testing.assert_array_equal(env.reset(), np.full((2, 6), 20))

    @given(n_envs=st.integers(1, 4), seed=st.integers(0, 1000))
    @settings(max_examples=8)
    def test_each_episode_has_a_seed_and_a_prefix_of_its_own(self, n_envs: int, seed: int) -> None:
        ours, theirs = native("SeqGANGrammar-v0", n_envs), dummy("SeqGANGrammar-v0", n_envs)
        rng = np.random.default_rng(seed)
        n_words = ours.envs.sequence_spec.vocab_size
        prefixes = [rng.integers(1, n_words, size=rng.integers(0, 4)) for _ in range(n_envs)]
        options: list[dict[str, Any]] = [{"prefix": prefix} if len(prefix) else {} for prefix in prefixes]
        for env in (ours, theirs):
            env.seed(seed)
            env.set_options(options)
        np.testing.assert_array_equal(ours.reset(), theirs.reset())
        assert [info["length"] for info in ours.reset_infos] == [len(prefix) for prefix in prefixes]
        assert_same_infos(ours.reset_infos, theirs.reset_infos)
        assert list(ours.envs.np_random_seed) == [seed + i for i in range(n_envs)]
        np.testing.assert_array_equal(ours.reset(), theirs.reset())

    def test_a_prefix_can_be_text(self) -> None:
        env = native("SeqGANGrammar-v0", 2)
        vocabulary = env.envs.task.source.vocabulary
        assert vocabulary is not None
        env.set_options([{"prefix": "the dog"}, {}])
        observations = env.reset()
        assert isinstance(observations, np.ndarray)
        assert observations[0, :2].tolist() == vocabulary.encode("the dog")
        assert env.envs.sequence_spec.lengths(observations).tolist() == [2, 0]

    def test_refuses_other_options(self) -> None:
        env = native("SeqGAN-v0", 2)
        env.set_options([{}, {"prefix": [5], "reset_mask": np.array([True, False])}])
        with pytest.raises(ValueError, match="options may hold 'prefix', got 'reset_mask'"):
            env.reset()

    @pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
    def test_refuses_another_mode(self, mode: AutoresetMode) -> None:
        with pytest.raises(ValueError, match="must be in mode SAME_STEP, got AutoresetMode"):
            SeqGANVecEnv(SeqGANVectorEnv(2, autoreset_mode=mode, **ORACLE))

    def test_works_with_the_wrappers_of_stable_baselines(self) -> None:
        env = VecNormalize(VecMonitor(native("SeqGAN-v0", 3)), norm_obs=False)
        env.reset()
        for _ in range(6):
            _, _, dones, infos = env.step(np.zeros(3, dtype=np.int64))
        assert dones.all()
        assert [info["episode"]["l"] for info in infos] == [6, 6, 6]
        assert infos[0]["episode"]["r"] < 0

    def test_works_with_them_where_observations_are_dictionaries(self) -> None:
        env = VecNormalize(VecMonitor(native("SeqGAN-v0", 3, observation="dict")), norm_obs=False)
        first = env.reset()
        assert isinstance(first, dict)
        assert first["tokens"].shape == (3, 6)
        for _ in range(6):
            _, _, dones, infos = env.step(np.zeros(3, dtype=np.int64))
        assert dones.all()
        assert infos[1]["terminal_observation"]["tokens"].tolist() == [0] * 6
        assert infos[1]["terminal_observation"]["length"] == 6


class TestMake:
    def test_makes_a_monitored_native_environment(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 3, **ORACLE)
        assert isinstance(env, VecMonitor)
        assert isinstance(env.venv, SeqGANVecEnv)
        assert env.num_envs == 3
        assert env.get_attr("task_config")[0].vocab_size == 20
        assert make_seqgan_vec_env("seqgan_env:SeqGANGrammar-v0", 2).get_attr("task_config")[0].source == "grammar"

    @pytest.mark.parametrize(
        ("env_id", "arguments", "message"),
        [
            ("CartPole-v1", {}, "env_id must be the id of a task of seqgan_env, got 'CartPole-v1'"),
            ("SeqGAN-v99", {}, "env_id must be the id of a task of seqgan_env, got 'SeqGAN-v99'"),
            ("SeqGAN-v0", {"n_envs": 0}, "at least 1, (got|not) 0"),
            ("SeqGAN-v0", {"vocab_size": 0}, "vocab_size must be"),
            ("SeqGAN-v0", {"reward": "gold"}, "reward must be one of"),
        ],
    )
    def test_an_unknown_id_and_arguments_of_no_task_are_refused(
        self, env_id: str, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            make_seqgan_vec_env(env_id, **arguments)
