"""Adapters between the tasks and Stable-Baselines3: the native vector environment, and the reading of observations.

Dimensions: B episodes, T time, S tokens of the longest prefix and one, V vocabulary, E embedding, H features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import Tensor, nn

from seqgan_env.vector_env import SeqGANVectorEnv

_FINAL = ("final_obs", "final_info")
_PER_EPISODE = ("action_masks",)  # methods of the vector environment that answer with one row for each episode


def tokens_of(observation: Any) -> Any:
    """The tokens of an observation in either form: the array itself, or that of a dictionary."""
    return observation["tokens"] if isinstance(observation, Mapping) else observation


def tokens_space(space: spaces.Space[Any]) -> spaces.Box:
    """The space of the tokens of an observation in either form, ``Box(0, V, (T,))``.

    Raises:
        ValueError: the space is not that of a sequence task.
    """
    tokens = space.spaces.get("tokens") if isinstance(space, spaces.Dict) else space
    if not isinstance(tokens, spaces.Box) or len(tokens.shape) != 1:
        raise ValueError(f"the observations must be Box(0, V, (T,)), or a Dict with that as 'tokens'; got {space}")
    return tokens


def prefix_inputs(tokens_BT: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    """What a causal network reads to know each prefix, and where it has read it.

    Args:
        tokens_BT: prefixes, padded with V; of any dtype, since Stable-Baselines3 turns observations into floats (which
            hold whole numbers exactly up to 2^24).
        pad_id: V.

    Returns:
        ``inputs_BS``, the start symbol V and the tokens as far as the longest prefix goes, and ``length_B``: entry
        ``length_B[b]`` of the network's output has read all of prefix b and nothing after it.
    """
    tokens_BT = tokens_BT.long()
    length_B = (tokens_BT != pad_id).sum(dim=1)
    longest = int(length_B.max()) if len(length_B) else 0
    return F.pad(tokens_BT[:, :longest], (1, 0), value=pad_id), length_B


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
    """Features of a prefix for the policies of Stable-Baselines3: an embedding, and what reads the tokens so far.

    Args:
        observation_space: ``Box(0, V, (T,))``, or a ``Dict`` with that as ``tokens``.
        features_dim: size of the features, H.
        embedding_dim: E.
        encoder: ``"recurrent"``, a GRU, or ``"convolutional"``, causal convolutions over the whole prefix.

    Raises:
        ValueError: the space is not that of a sequence task, or the encoder is unknown.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        features_dim: int = 64,
        embedding_dim: int = 32,
        encoder: str = "recurrent",
    ) -> None:
        if encoder not in ("recurrent", "convolutional"):
            raise ValueError(f"encoder must be 'recurrent' or 'convolutional', got {encoder!r}")
        space = tokens_space(observation_space)
        super().__init__(observation_space, features_dim)
        self.pad_id = int(space.high.max())
        self.embedding = nn.Embedding(self.pad_id + 1, embedding_dim)
        self.encoder: _Recurrent | _Convolutional
        if encoder == "recurrent":
            self.encoder = _Recurrent(embedding_dim, features_dim)
        else:
            self.encoder = _Convolutional(embedding_dim, features_dim, n_inputs=space.shape[0] + 1)

    def forward(self, observations: PyTorchObs) -> Tensor:
        """``(B, T)`` token ids of any dtype, or a dictionary of observations, to ``(B, H)``."""
        inputs_BS, length_B = prefix_inputs(tokens_of(observations), self.pad_id)
        features_BSH = self.encoder(self.embedding(inputs_BS))
        features_BH: Tensor = features_BSH[torch.arange(len(length_B), device=length_B.device), length_B]
        return features_BH


class _Recurrent(nn.GRU):
    """``(B, S, E)`` to ``(B, S, H)``."""

    def __init__(self, embedding_dim: int, features_dim: int) -> None:
        super().__init__(embedding_dim, features_dim, batch_first=True)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The outputs alone."""
        features_BSH: Tensor = super().forward(input, hx)[0]
        return features_BSH


class _Convolutional(nn.Module):
    """``(B, S, E)`` to ``(B, S, H)``: causal convolutions of width 3, each with twice the dilation of the one before.

    There are as many as it takes for the last output to see the first of ``n_inputs`` inputs (a temporal convolutional
    network, arXiv 1803.01271).
    """

    def __init__(self, embedding_dim: int, features_dim: int, n_inputs: int) -> None:
        super().__init__()
        layers = [nn.Conv1d(embedding_dim, features_dim, 3)]
        while 2 * sum(layer.dilation[0] for layer in layers) < n_inputs - 1:
            layers.append(nn.Conv1d(features_dim, features_dim, 3, dilation=2 * layers[-1].dilation[0]))
        self.layers = nn.ModuleList(layers)

    def forward(self, embedded_BSE: Tensor) -> Tensor:
        """Each layer after the first is added to what it reads."""
        features_BHS = embedded_BSE.transpose(1, 2)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv1d)
            new_BHS = F.relu(layer(F.pad(features_BHS, (2 * layer.dilation[0], 0))))
            features_BHS = features_BHS + new_BHS if i else new_BHS
        return features_BHS.transpose(1, 2)
