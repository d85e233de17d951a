"""Sequence generation as a Gymnasium environment: tokens are actions, prefixes are states, a discriminator pays.

Importing this package registers the tasks, so that ``gymnasium.make("SeqGAN-v0")`` works.
"""

from __future__ import annotations

from seqgan_env.env import SeqGANEnv
from seqgan_env.registration import TASKS, register
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.task_docs import describe
from seqgan_env.tokens import SequenceSpec
from seqgan_env.vector_env import SeqGANVectorEnv

__version__ = "0.1.0"

__all__ = ["TASKS", "SeqGANEnv", "SeqGANVectorEnv", "SequenceSpec", "Task", "TaskConfig", "__version__", "describe"]

register()
