"""An environment that the tests of the agents share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from tests.support.builders import ORACLE


@pytest.fixture(scope="module")
def subprocesses() -> Iterator[VecEnv]:
    """Two environments in processes of their own, shared by the tests of a module: starting them takes seconds."""
    env = make_vec_env("seqgan_env:SeqGAN-v0", 2, env_kwargs=ORACLE, vec_env_cls=SubprocVecEnv)
    yield env
    env.close()
