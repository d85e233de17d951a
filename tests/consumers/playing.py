"""Whole episodes played with somebody's agent, checked at each step against what the environment promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from agents import DiscriminatorCallback
from tests.support.tasks import bare


@dataclass(frozen=True)
class Episode:
    """What one episode was."""

    tokens: list[int]
    total: float
    discriminator_version: int


def play(env: gym.Env[Any, Any], act: Callable[[Any], Any], n_episodes: int) -> list[Episode]:
    """Play with ``act``, which takes an observation and gives an action.

    Each observation lies in its space and is the last one with the action written into it; the reward comes at the end
    alone and is finite; an episode ends with end-of-sequence or after T tokens, and nowhere else.
    """
    spec = bare(env).sequence_spec
    episodes = []
    for _ in range(n_episodes):
        observation, info = env.reset()
        tokens: list[int] = []
        terminated, rewards = False, []
        while not terminated:
            action = act(observation)
            observation, reward, terminated, truncated, info = env.step(action)
            tokens.append(int(action))
            assert env.observation_space.contains(observation)
            assert observation.tolist() == tokens + [spec.pad_id] * (spec.max_length - len(tokens))
            assert terminated == (len(tokens) == spec.max_length or tokens[-1] == spec.eos_id)
            assert info["length"] == len(tokens)
            assert not truncated
            rewards.append(float(reward))
        assert rewards[:-1] == [0.0] * (len(tokens) - 1)
        assert math.isfinite(rewards[-1])
        assert np.isclose(rewards[-1], bare(env).score([tokens])[0])
        episodes.append(Episode(tokens, rewards[-1], info["discriminator_version"]))
    return episodes


def callback() -> DiscriminatorCallback:
    """A discriminator that is retrained often, on little."""
    return DiscriminatorCallback(8, n_generated=32, batch_size=16, n_held_out=16)
