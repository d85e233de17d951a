"""Small agents of the algorithm, over every kind of environment that it plays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from agents import SeqGAN, SeqGANVecEnv, make_seqgan_vec_env
from agents.collection import Episodes
from seqgan_env import SeqGANVectorEnv
from seqgan_env.discriminators import Discriminator
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import ORACLE, POLICY

N_STEPS = 48
"""Steps of eight episodes of six tokens: one iteration of `agent`."""

Env = gym.Env[Any, Any] | VecEnv
ENVS: dict[str, Callable[[], Env]] = {
    "single": lambda: gym.make("SeqGAN-v0", **ORACLE),
    "four": lambda: make_vec_env("SeqGAN-v0", 4, env_kwargs=ORACLE),
    "native": lambda: make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE),
}
every_env = pytest.mark.parametrize("make_env", ENVS.values(), ids=ENVS)


def agent(env: Env | None = None, **arguments: Any) -> SeqGAN:
    defaults = {"n_episodes": 8, "n_completions": 2, "learning_rate": 0.01, "policy_kwargs": POLICY, "seed": 5}
    return SeqGAN("LstmPolicy", env or ENVS["native"](), **{**defaults, **arguments})


def env_of(model: SeqGAN) -> VecEnv:
    assert model.env is not None
    return model.env


def collect(model: SeqGAN, callback: BaseCallback | None = None) -> Episodes:
    """One collection, with randomness of its own each time."""
    model._n_updates += 1
    _, prepared = model._setup_learn(1, callback)
    episodes = model.collect(prepared)
    assert episodes is not None
    return episodes


def assert_same_policy(ours: SeqGAN, theirs: SeqGAN) -> None:
    state = theirs.policy.state_dict()
    for name, tensor in ours.policy.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def differ(ours: SeqGAN, theirs: SeqGAN) -> bool:
    state = theirs.policy.state_dict()
    return any(not torch.equal(tensor, state[name]) for name, tensor in ours.policy.state_dict().items())


class Stop(BaseCallback):
    """Asks to stop at a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        return self.n_calls < self.at


SGD = {"optimizer_class": torch.optim.SGD}


class TableDiscriminator(Discriminator):
    """A fixed logit for each sequence."""

    def __init__(self, spec: SequenceSpec, table: dict[reference.Prefix, float]) -> None:
        super().__init__(spec)
        self.table = table

    def forward(self, tokens_BT: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
        return torch.tensor([self.table[row] for row in reference.unpadded(self.spec, tokens_BT)])


def tiny_agent(
    seed: int, vocab_size: int, max_length: int, n_envs: int = 32, **arguments: Any
) -> tuple[SeqGAN, SeqGANVectorEnv]:
    envs = SeqGANVectorEnv(
        n_envs, autoreset_mode="SameStep", vocab_size=vocab_size, max_length=max_length, reward="log_ratio"
    )
    defaults = {"n_episodes": 32, "n_completions": 4, "seed": seed, "policy_kwargs": {"hidden_dim": 16}}
    return SeqGAN("LstmPolicy", SeqGANVecEnv(envs), **{**defaults, **arguments}), envs
