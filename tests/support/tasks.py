"""Tasks that are small, and the registered ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from seqgan_env import SeqGANEnv
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from tests.support.package import ROOT
from tests.support.reference_env import TINY

GRAMMAR: dict[str, Any] = {
    "source": "grammar",
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 3], [3, 3]]},
}
"""Keyword arguments of a task whose sequences end by end-of-sequence."""

TABULAR: dict[str, Any] = {
    "vocab_size": 3,
    "max_length": 4,
    "discriminator": "tabular",
    "discriminator_kwargs": {"scale": 2.0},
}
"""Keyword arguments of a task with a logit of its own for every sequence."""

NEEDS: dict[str, dict[str, Any]] = {"SeqGANText-v0": {"source": str(ROOT / "LICENSE")}}
"""What a registered id can't be made without."""


def bare(env: gym.Env[Any, Any]) -> SeqGANEnv:
    """The environment inside the wrappers of `gymnasium.make`."""
    assert isinstance(env.unwrapped, SeqGANEnv)
    return env.unwrapped


def make(env_id: str, **kwargs: Any) -> SeqGANEnv:
    return bare(gym.make(env_id, **{**NEEDS.get(env_id, {}), **kwargs}))


def tiny_task(**kwargs: Any) -> Task:
    return Task(TaskConfig(**{**TINY, **kwargs}))
