"""skrl's wrapper on single and on vector environments; docs/use_it_with.md trains its PPO."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import seqgan_env  # noqa: F401 - registers the ids
from tests.support.builders import ORACLE

wrappers = pytest.importorskip("skrl.envs.wrappers.torch")
pytestmark = [
    pytest.mark.consumers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:skrl"),  # its names for NumPy's types are old
]

MAKE: dict[str, tuple[int, Any]] = {
    "single": (1, lambda: gym.make("SeqGAN-v0", **ORACLE)),
    "vector": (3, lambda: gym.make_vec("SeqGAN-v0", num_envs=3, autoreset_mode="SameStep", **ORACLE)),
}


@pytest.mark.parametrize("how", MAKE)
def test_wrapped_steps_are_those_of_the_environment(how: str) -> None:
    n_envs, make = MAKE[how]
    env, plain = wrappers.wrap_env(make()), make()
    assert env.num_envs == n_envs
    assert env.observation_space == gym.make("SeqGAN-v0", **ORACLE).observation_space
    assert env.action_space.n == 20
    rng = np.random.default_rng(0)
    observations, _ = env.reset()
    expected, _ = plain.reset()
    n_ended = 0
    for _ in range(14):
        np.testing.assert_array_equal(observations.numpy(), np.reshape(expected, (n_envs, 6)))
        actions = rng.integers(20, size=n_envs)
        observations, rewards, terminated, truncated, infos = env.step(torch.from_numpy(actions)[:, None])
        expected, reward, is_end, _, _ = plain.step(actions[0] if how == "single" else actions)
        np.testing.assert_allclose(rewards.numpy().ravel(), np.ravel(reward), rtol=1e-6)
        np.testing.assert_array_equal(terminated.numpy().ravel(), np.ravel(is_end))
        assert rewards.shape == terminated.shape == (n_envs, 1)
        assert not truncated.any()
        assert ((rewards < 0) == terminated).all()
        assert "discriminator_version" in infos
        n_ended += int(terminated.sum())
        if how == "single" and terminated.any():
            observations, _ = env.reset()
            expected, _ = plain.reset()
    assert n_ended == 2 * n_envs
