"""TorchRL's wrappers and their own checker, on single and on vector environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import seqgan_env  # noqa: F401 - registers the ids
from tests.support.builders import GRAMMAR, ORACLE

torchrl_envs = pytest.importorskip("torchrl.envs")
pytestmark = pytest.mark.consumers

MAKE = {
    "GymEnv": lambda env_id, kwargs: torchrl_envs.GymEnv(env_id, categorical_action_encoding=True, **kwargs),
    "GymEnv, one-hot actions": lambda env_id, kwargs: torchrl_envs.GymEnv(env_id, **kwargs),
    "GymWrapper": lambda env_id, kwargs: torchrl_envs.GymWrapper(
        gym.make(env_id, **kwargs), categorical_action_encoding=True
    ),
    "vector, Disabled": lambda env_id, kwargs: torchrl_envs.GymWrapper(
        gym.make_vec(env_id, num_envs=3, autoreset_mode="Disabled", **kwargs), categorical_action_encoding=True
    ),
    "vector, SameStep": lambda env_id, kwargs: torchrl_envs.GymWrapper(
        gym.make_vec(env_id, num_envs=3, autoreset_mode="SameStep", **kwargs), categorical_action_encoding=True
    ),
}


@pytest.mark.parametrize("how", MAKE)
@pytest.mark.parametrize(("env_id", "kwargs"), [("SeqGAN-v0", ORACLE), ("SeqGANGrammar-v0", GRAMMAR)])
def test_its_checker_passes_and_a_rollout_is_made_of_whole_episodes(
    how: str, env_id: str, kwargs: dict[str, Any]
) -> None:
    env = MAKE[how](env_id, kwargs)
    torchrl_envs.check_env_specs(env)
    env.set_seed(0)
    spec = gym.make(env_id, **kwargs).unwrapped.sequence_spec
    n_steps = 3 * spec.max_length
    data = env.rollout(n_steps, break_when_any_done=False)
    batch = (3, n_steps) if how.startswith("vector") else (n_steps,)
    assert data.shape == batch
    assert data["observation"].shape == (*batch, spec.max_length)
    rows = data.reshape(-1, n_steps)
    actions = rows["action"].argmax(-1) if "one-hot" in how else rows["action"]
    n_ended = 0
    for b in range(len(rows)):
        tokens: list[int] = []
        for t in range(n_steps):
            observation, after = rows["observation"][b, t], rows["next", "observation"][b, t]
            assert observation.tolist() == tokens + [spec.pad_id] * (spec.max_length - len(tokens))
            tokens.append(int(actions[b, t]))
            done = bool(rows["next", "done"][b, t])
            assert after.tolist() == tokens + [spec.pad_id] * (spec.max_length - len(tokens))
            assert done == (len(tokens) == spec.max_length or tokens[-1] == spec.eos_id)
            assert bool(rows["next", "terminated"][b, t]) == done
            reward = float(rows["next", "reward"][b, t])
            assert np.isfinite(reward)
            assert (reward < 0) == done
            if done:
                tokens, n_ended = [], n_ended + 1
    assert n_ended >= 3


@pytest.mark.parametrize("how", MAKE)
def test_its_checker_passes_with_observations_that_carry_their_mask(how: str) -> None:
    env = MAKE[how]("SeqGANGrammar-v0", {**GRAMMAR, "observation": "dict"})
    torchrl_envs.check_env_specs(env)
    spec = gym.make("SeqGANGrammar-v0").unwrapped.sequence_spec
    data = env.rollout(2)
    batch = (3, 2) if how.startswith("vector") else (2,)
    assert data["tokens"].shape == (*batch, spec.max_length)
    assert data["action_mask"].shape == (*batch, spec.vocab_size)
    assert data["action_mask"].bool().all()


def test_in_the_mode_that_wastes_a_step_it_refuses() -> None:
    """Gymnasium's default; the page says which to ask for."""
    with pytest.raises(RuntimeError, match="SAME_STEP or DISABLED"):
        torchrl_envs.GymWrapper(gym.make_vec("SeqGAN-v0", num_envs=2, **ORACLE))
