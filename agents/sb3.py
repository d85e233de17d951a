"""Adapters between the native vector environment and Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import Tensor, nn

from seqgan_env.vector_env import SeqGANVectorEnv

_INFO = ("length", "discriminator_version")


class SeqGANVecEnv(VecEnv):
    """The native vector environment as a Stable-Baselines3 ``VecEnv``, with a reset in the step that ends an episode.

    Args:
        envs: a vector environment in the mode ``SAME_STEP``.

    Raises:
        ValueError: it is in another mode.
    """

    def __init__(self, envs: SeqGANVectorEnv) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the vector environment must be in mode SAME_STEP, got {envs.autoreset_mode}")
        self.envs = envs
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start all episodes, with the options of ``set_options`` (the same for all)."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("the native vector environment takes the same reset options for all episodes")
        observations, info = self.envs.reset(seed=self._seeds[0], options=options)
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
        infos = self._infos(info)
        for each in infos:
            each["TimeLimit.truncated"] = False
        for b in np.flatnonzero(terminal_B).tolist():
            self.reset_infos[b] = {name: infos[b][name] for name in _INFO}
            infos[b] |= {name: int(info["final_info"][name][b]) for name in _INFO}
            infos[b]["terminal_observation"] = info["final_obs"][b]
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
        """Call a method of the shared environment, once whatever the indices; they all get its answer."""
        answer = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        return [answer for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Nothing inside is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The vector environment has no pictures."""
        return [None for _ in range(self.num_envs)]

    @staticmethod
    def _infos(info: dict[str, Any]) -> list[dict[str, Any]]:
        """One dictionary for each episode, from one array for each name."""
        columns = (info[name].tolist() for name in _INFO)
        return [dict(zip(_INFO, row, strict=True)) for row in zip(*columns, strict=True)]


def make_seqgan_vec_env(env_id: str = "SeqGAN-v0", n_envs: int = 64, **kwargs: Any) -> VecMonitor:
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


class PrefixExtractor(BaseFeaturesExtractor):
    """Features of a prefix for the policies of Stable-Baselines3: an embedding and a GRU over the tokens so far.

    Args:
        observation_space: ``Box(0, V, (T,))``.
        features_dim: size of the features, H.
        embedding_dim: E.
    """

    def __init__(self, observation_space: gym.spaces.Box, features_dim: int = 64, embedding_dim: int = 32) -> None:
        super().__init__(observation_space, features_dim)
        self.pad_id = int(observation_space.high.max())
        self.embedding = nn.Embedding(self.pad_id + 1, embedding_dim)
        self.rnn = nn.GRU(embedding_dim, features_dim, batch_first=True)

    def forward(self, observations: Tensor) -> Tensor:
        """``(B, T)`` token ids, of any dtype, to ``(B, H)``."""
        tokens_BT = observations.long()
        length_B = (tokens_BT != self.pad_id).sum(dim=1)
        inputs_BT = torch.nn.functional.pad(tokens_BT, (1, 0), value=self.pad_id)
        features_BTH = self.rnn(self.embedding(inputs_BT))[0]
        features_BH: Tensor = features_BTH[torch.arange(len(tokens_BT), device=tokens_BT.device), length_B]
        return features_BH
