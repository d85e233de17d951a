"""The native vector environment as a ``VecEnv`` of Stable-Baselines3.

Dimensions: B episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from seqgan_env.checks import PositiveInt, check_arguments
from seqgan_env.vector_env import SeqGANVectorEnv

_FINAL = ("final_obs", "final_info")
_PER_EPISODE = ("action_masks",)  # methods of the vector environment that answer with one row for each episode


class SeqGANVecEnv(VecEnv):
    """The native vector environment as a Stable-Baselines3 ``VecEnv``, with a reset in the step that ends an episode.

    Args:
        envs: a vector environment in the mode ``SAME_STEP``.

    Raises:
        ValueError: it is in another mode.
    """

    @check_arguments
    def __init__(self, envs: SeqGANVectorEnv) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the vector environment must be in mode SAME_STEP, got {envs.autoreset_mode}")
        self.envs = envs
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start all episodes, each with its seed of ``seed`` and its prefix of ``set_options``.

        Raises:
            ValueError: the options hold something else than a prefix, or a bad one.
        """
        if unknown := sorted({repr(name) for options in self._options for name in options} - {"'prefix'"}):
            raise ValueError(f"options may hold 'prefix', got {', '.join(unknown)}")
        options = {"prefix": [options.get("prefix", ()) for options in self._options]} if any(self._options) else None
        observations: VecEnvObs
        observations, info = self.envs.reset(seed=self._seeds, options=options)
        self.reset_infos = self._infos(info)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all episodes."""
        observations, reward_B, terminal_B, _, info = self.envs.step(self._actions)
        fresh = self._infos(info)
        infos = [{**each, "TimeLimit.truncated": False} for each in fresh]
        final = self._infos(info["final_info"]) if terminal_B.any() else []
        for b in np.flatnonzero(terminal_B).tolist():
            self.reset_infos[b] = fresh[b]
            infos[b] = {**final[b], "TimeLimit.truncated": False, "terminal_observation": info["final_obs"][b]}
        return observations, reward_B.astype(np.float32), terminal_B, infos

    def close(self) -> None:
        """Close the vector environment."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the shared environment, once for each index."""
        value = getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the shared environment."""
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the shared environment, once whatever the indices.

        They all get its answer, or its row for each where it has one, as ``action_masks`` has.
        """
        answer = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        return [answer[b] if method_name in _PER_EPISODE else answer for b in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Nothing inside is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each episode, where the environment was made with ``render_mode="rgb_array"``."""
        return list(self.envs.render() or [None] * self.num_envs)

    @staticmethod
    def _infos(info: dict[str, Any]) -> list[dict[str, Any]]:
        """One dictionary for each episode, from one array for each name; single values as Python's numbers."""
        names = [name for name in info if f"_{name}" in info and name not in _FINAL]
        columns = (info[name].tolist() if info[name].ndim == 1 else info[name] for name in names)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@check_arguments
def make_seqgan_vec_env(env_id: str = "SeqGAN-v0", n_envs: PositiveInt = 64, **kwargs: Any) -> VecMonitor:
    """The fast way to give a task to an algorithm of Stable-Baselines3.

    Args:
        env_id: a registered id, with or without the prefix ``seqgan_env:``.
        n_envs: episodes side by side.
        **kwargs: the environment's keyword arguments.

    Raises:
        ValueError: the id is not of this package, or an argument is out of range.
    """
    spec = gym.registry.get(env_id.removeprefix("seqgan_env:"))
    if spec is None or spec.vector_entry_point != f"{SeqGANVectorEnv.__module__}:{SeqGANVectorEnv.__name__}":
        raise ValueError(f"env_id must be the id of a task of seqgan_env, got {env_id!r}")
    envs = gym.make_vec(env_id, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
    assert isinstance(envs, SeqGANVectorEnv)
    return VecMonitor(SeqGANVecEnv(envs))
