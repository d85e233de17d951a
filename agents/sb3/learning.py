"""The callbacks of one learning of Stable-Baselines3, and the environments in which some of them evaluate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from agents.sb3.handle import TaskHandle


def each_callback(callback: Any) -> Iterator[BaseCallback]:
    """A callback and those within it, in the order in which they are called."""
    if isinstance(callback, BaseCallback):
        yield callback
        for child in (*getattr(callback, "callbacks", ()), getattr(callback, "callback", None)):
            yield from each_callback(child)


def evaluation_tasks(callbacks: Iterable[BaseCallback], learnt: TaskHandle) -> Iterator[TaskHandle]:
    """The tasks in which callbacks evaluate, as ``EvalCallback`` does, as far as they pay with the same discriminator.

    One that pays with another discriminator, which is untrained, is warned of.

    Args:
        callbacks: those of a learning.
        learnt: the task that is learnt.
    """
    for env in (getattr(each, "eval_env", None) for each in callbacks):
        if not isinstance(env, VecEnv):
            continue
        handle = TaskHandle(env)
        if handle.has_discriminator_of(learnt):
            yield handle
        elif handle.is_untrained:
            theirs, ours = (
                f"{config.reward} of {config.discriminator} {config.discriminator_kwargs}"
                for config in (handle.config, learnt.config)
            )
            warnings.warn(f"an evaluation pays {theirs}, which nothing trains, the learning {ours}", stacklevel=3)
