"""Every registered task against the checkers of Gymnasium and Stable-Baselines3, and through pickle and JSON."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from seqgan_env import SeqGANVectorEnv
from tests.support.tasks import bare

pytestmark = pytest.mark.consumers

IDS = [env_id for env_id, spec in gym.registry.items() if str(spec.entry_point).startswith("seqgan_env.")]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("a cat sat on a mat\na dog ran\nthe cat ran to the dog\n" * 20, encoding="utf-8")
    return path


@pytest.fixture(params=IDS)
def task(request: pytest.FixtureRequest, text_file: Path) -> tuple[str, dict[str, Any]]:
    """An id, and what it cannot be made without."""
    needs = {"source": str(text_file), "n_real": 40, "n_held_out": 20} if "Text" in request.param else {}
    return str(request.param), needs


Task = tuple[str, dict[str, Any]]


def test_there_are_ids() -> None:
    assert {"SeqGAN-v0", "SeqGANGrammar-v0", "SeqGANTiny-v0"} <= set(IDS)


@pytest.mark.parametrize("observation", ["tokens", "dict"])
def test_both_checkers_have_nothing_to_say(task: Task, observation: str) -> None:
    env_id, kwargs = task
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(gym.make(env_id, observation=observation, **kwargs).unwrapped)
        sb3_check_env(gym.make(env_id, observation=observation, **kwargs), warn=True)


def test_an_environment_pickles_in_the_middle_of_an_episode(task: Task) -> None:
    env_id, kwargs = task
    env = bare(gym.make(env_id, **kwargs))
    env.reset(seed=0)
    token = int(np.flatnonzero(env.action_masks())[-1])
    env.step(np.int64(token))
    again = pickle.loads(pickle.dumps(env))
    for observation, twin in zip(env.step(np.int64(token)), again.step(np.int64(token)), strict=True):
        np.testing.assert_equal(observation, twin)


def test_the_spec_goes_through_json_and_makes_the_same_environment(task: Task) -> None:
    env_id, kwargs = task
    kwargs = {"discriminator": "cnn", "discriminator_kwargs": {"filters": [[1, 4]]}, "reward": "d", **kwargs}
    env = gym.make(env_id, **kwargs)
    assert env.spec is not None
    text = env.spec.to_json()
    assert json.loads(text)["id"] == env_id
    read = EnvSpec.from_json(text)
    assert read == env.spec
    again = gym.make(read)
    assert again.spec == env.spec
    assert bare(again).task_config == bare(env).task_config
    check_environments_match(env, again, num_steps=30, seed=0)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_the_vector_environment_is_what_gymnasium_makes_of_single_ones(task: Task, mode: AutoresetMode) -> None:
    """Gymnasium has no checker for vector environments, so its own `SyncVectorEnv` is the judge."""
    env_id, kwargs = task
    ours = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **kwargs)
    theirs: VectorEnv[Any, Any, Any] = SyncVectorEnv(
        [lambda: gym.make(env_id, **kwargs)] * 3, autoreset_mode=mode, copy=True
    )
    assert isinstance(ours, SeqGANVectorEnv)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.single_action_space == theirs.single_action_space
    assert ours.observation_space == theirs.observation_space == batch_space(ours.single_observation_space, 3)
    assert ours.action_space == theirs.action_space == batch_space(ours.single_action_space, 3)
    assert ours.metadata["autoreset_mode"] is mode is theirs.metadata["autoreset_mode"]
    rng = np.random.default_rng(0)
    spec = ours.sequence_spec
    np.testing.assert_equal(ours.reset(seed=0)[0], theirs.reset(seed=0)[0])
    n_ended = 0
    for _ in range(2 * spec.max_length + 3):
        actions = rng.integers(spec.vocab_size, size=3)
        steps = ours.step(actions), theirs.step(actions)
        for mine, other in zip(*(step[:4] for step in steps), strict=True):
            np.testing.assert_array_equal(mine, other)
            assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        ended = steps[0][2]
        n_ended += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            options = {"reset_mask": ended}
            np.testing.assert_equal(ours.reset(options=dict(options))[0], theirs.reset(options=dict(options))[0])
    assert n_ended >= 3


def test_the_spec_of_the_vector_environment_goes_through_json(task: Task) -> None:
    env_id, kwargs = task
    spec = gym.make_vec(env_id, num_envs=2, autoreset_mode="SameStep", **kwargs).spec
    assert spec is not None
    again = gym.make_vec(EnvSpec.from_json(spec.to_json()), num_envs=2)
    assert isinstance(again, SeqGANVectorEnv)
    assert again.autoreset_mode is AutoresetMode.SAME_STEP


def test_gymnasium_s_masked_sampling_takes_the_mask_of_the_information(task: Task) -> None:
    env_id, kwargs = task
    env = gym.make(env_id, allowed_tokens=[1, 2], **kwargs)
    allowed = {1, 2, bare(env).sequence_spec.eos_id}
    env.action_space.seed(0)
    for _ in range(5):
        _, info = env.reset()
        terminated = False
        while not terminated:
            np.testing.assert_array_equal(info["action_mask"].astype(bool), bare(env).action_masks())
            action = env.action_space.sample(mask=info["action_mask"])
            assert action in allowed
            _, reward, terminated, _, info = env.step(action)
        assert info["action_mask"].all()
        assert np.isfinite(reward)
