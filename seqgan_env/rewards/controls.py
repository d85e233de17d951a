"""Rewards that are controls: they say nothing, or everything, whatever the discriminator has learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqgan_env.checks import NonNegativeInt, PositiveFloat, check_fields
from seqgan_env.rewards.base import Reward, RewardContext, register_reward
from seqgan_env.rewards.of_logit import OfLogit
from seqgan_env.seeding import hash_rows


def constant(logit_real_B: Tensor) -> Tensor:
    """1 for every sequence: the reward that says nothing."""
    return torch.ones_like(logit_real_B)


@dataclass(frozen=True)
class RandomConfig:
    """The settings of ``random``.

    Raises:
        ValueError: the seed is negative.
    """

    seed: NonNegativeInt = 0
    """Another one gives every sequence another number."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Random:
    """A number in [0, 1) for each sequence, always the same one: noise that an agent can learn by heart."""

    config: RandomConfig

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``; the number is a hash of the tokens."""
        return hash_rows(tokens_BT, self.config.seed).to(logit_real_B.dtype) / 2**52


@dataclass(frozen=True)
class OracleConfig:
    """The settings of ``oracle``.

    Raises:
        ValueError: the limit is out of range.
    """

    limit: PositiveFloat = 1000.0
    """A likelihood below minus this, nats, is raised to it: some sequences are impossible."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Oracle:
    """``log p(Y)`` under the true distribution: it rewards quality alone, and one best sequence most of all."""

    log_prob: Callable[..., np.ndarray]
    config: OracleConfig

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``."""
        log_prob_B = np.maximum(self.log_prob(tokens_BT.cpu().numpy()), -self.config.limit)
        return torch.from_numpy(log_prob_B).to(logit_real_B)


def _build_random(context: RewardContext) -> Reward:
    return Random(context.config)


def _build_oracle(context: RewardContext) -> Reward:
    if context.log_prob is None:
        raise ValueError("reward 'oracle' needs a source of known likelihood")
    return Oracle(context.log_prob, context.config)


register_reward(
    "constant",
    OfLogit(constant).build,
    label="constant",
    summary="1 for every sequence: a control, which says nothing.",
    source="a control",
    low=1.0,
    high=1.0,
    unit="one",
    discriminator="none",
)
register_reward(
    "random",
    _build_random,
    label="random",
    summary="A number of its own for each sequence, drawn once and for all: a control, noise that can be learnt.",
    source="a control",
    low=0.0,
    high=1.0,
    unit="one",
    discriminator="none",
    config=RandomConfig,
)
register_reward(
    "oracle",
    _build_oracle,
    label="log p",
    summary="The true log-likelihood, where it is known: quality alone, and so a control of what it does to diversity.",
    source="eq. 13.31",
    high=0.0,
    discriminator="none",
    config=OracleConfig,
    needs_likelihood=True,
)
