"""The interface of a terminal reward, and what a reward declares of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqgan_env.checks import NoConfig, check_arguments, check_choice
from seqgan_env.functions import load_function
from seqgan_env.registry import Registry
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary

DiscriminatorNeed = Literal["trained", "exact", "none"]
"""The discriminator that a reward is a function of: one that learns, ``OptimalDiscriminator``, or none at all."""
NEEDS: tuple[DiscriminatorNeed, ...] = ("trained", "exact", "none")


class Reward(Protocol):
    """The terminal reward of complete sequences, each a function of its own sequence alone."""

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """Compute the rewards.

        Args:
            logit_real_B: the discriminator's logit of each sequence, float64; 0 where the reward needs none.
            tokens_BT: the sequences, padded with V.

        Returns:
            ``reward_B``, finite, of the shape of ``logit_real_B``.
        """


@runtime_checkable
class DenseReward(Protocol):
    """A reward that gives each token a value of its own where the logit is a sum over tokens.

    Every function of the logit alone is one (``OfLogit``).
    """

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        """Unbiased estimates of ``Q(Y_{1:t-1}, y_t)`` (eq. 13.40), up to what does not depend on ``y_t``.

        Args:
            logit_real_BT: the terms of the logit, each the log-ratio of a token given those before it under two
                distributions, of which the second drew the sequences; float64, 0 at padding.

        Returns:
            ``q_BT``.
        """

    def known_values(self, before_BT1: Tensor, logit_real_BTV: Tensor) -> Tensor:
        """The part of the action values that is known when the token is: what comes after it is left out.

        Args:
            before_BT1: the sum of the terms before each token.
            logit_real_BTV: the terms that every token might have in each place.

        Returns:
            ``known_BTV``.
        """


@runtime_checkable
class ComparingReward(Protocol):
    """A reward that depends on the logits of certain real sequences too, which move with the discriminator."""

    @property
    def compared(self) -> Tokens:
        """The real sequences, shape ``(R, T)``."""

    def beside(self, logit_compared_R: Tensor) -> Reward:
        """The reward under one discriminator.

        Args:
            logit_compared_R: its logits of ``compared``, float64.
        """


@runtime_checkable
class CompositeReward(Protocol):
    """A reward that is made of others."""

    def parts(self, logit_real_B: Tensor, tokens_BT: Tensor) -> dict[str, Tensor]:
        """The pay of each of them, by name, before its weight; the arguments are those of ``Reward``."""


@dataclass(frozen=True)
class RewardContext:
    """The task that a reward is built for; statistics of its real sequences are bound then."""

    spec: SequenceSpec
    """The form of the sequences."""
    vocabulary: Vocabulary | None
    """The map between text and ids, or None where tokens have no text."""
    real_sequences: Callable[[], Tokens]
    """Gives the training set of real sequences, shape ``(n_real, T)``, which is drawn when it is first asked for."""
    config: Any = None
    """The settings, an instance of the entry's ``config``; None where it has none."""
    log_prob: Callable[[Tokens], npt.NDArray[np.float64]] | None = None
    """The exact log-likelihood of complete sequences where the source's is known, nats."""


@dataclass(frozen=True)
class RewardEntry:
    """A reward as the registry knows it."""

    build: Callable[[RewardContext], Reward | ComparingReward]
    """Makes the reward of one task."""
    label: str
    """The name in pictures and tables, such as ``log D``."""
    low: float
    """No reward is below this; may be infinite."""
    high: float
    """No reward is above this; may be infinite."""
    unit: str
    """The unit, such as ``nats``."""
    source: str
    """The equation or the paper."""
    discriminator: DiscriminatorNeed
    """The discriminator that it is a function of."""
    summary: str
    """A sentence on what it is."""
    config: type[Any] = NoConfig
    """The settings of the reward: a frozen dataclass, with defaults and checks."""
    needs_likelihood: bool = False
    """Whether the likelihood of the source must be known."""


REWARDS: Registry[RewardEntry] = Registry("reward")
"""The rewards by name."""


RewardFunction = Callable[[Tensor, Tensor], Tensor]
"""A function of a user as a reward; see ``Reward``."""


@check_arguments
def reward_entry(reward: str | RewardFunction) -> RewardEntry:
    """The declaration of a reward: of a key of ``REWARDS``, of a function, or of its name, ``"module:function"``.

    A name's module is imported where the reward is built, and not here: settings that a stranger wrote can be read.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(reward, str) and ":" not in reward:
        return REWARDS.lookup(reward)
    label = reward if isinstance(reward, str) else getattr(reward, "__name__", type(reward).__name__)
    what = "A function of the logit and the tokens."
    return RewardEntry(
        lambda context: load_function("reward", reward), label, -math.inf, math.inf, "its own", label, "trained", what
    )


def register_reward(
    name: str,
    build: Callable[[RewardContext], Reward | ComparingReward],
    *,
    label: str,
    summary: str,
    source: str,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "nats",
    discriminator: DiscriminatorNeed = "trained",
    config: type[Any] = NoConfig,
    needs_likelihood: bool = False,
) -> None:
    """Make a reward available by name: to ``gymnasium.make(..., reward=name)`` and to the command line.

    Args:
        name: an identifier.
        build: makes the reward of one task.
        label: see ``RewardEntry``.
        summary: see ``RewardEntry``.
        source: see ``RewardEntry``.
        low: see ``RewardEntry``.
        high: see ``RewardEntry``.
        unit: see ``RewardEntry``.
        discriminator: see ``RewardEntry``.
        config: see ``RewardEntry``.
        needs_likelihood: see ``RewardEntry``; rewards of the optimal discriminator need it in any case.

    Raises:
        ValueError: the name is taken or no identifier, a text is empty, or ``low`` is above ``high``.
    """
    check_choice("discriminator", discriminator, NEEDS)
    if not callable(build):
        raise ValueError(f"build must make the reward of a task, got {build!r}")
    if not all((label.strip(), summary.strip(), source.strip(), unit.strip())):
        raise ValueError(f"reward {name!r} must declare label, summary, source and unit")
    if not low <= high:
        raise ValueError(f"low must be at most high, got {low} and {high}")
    needs_likelihood = needs_likelihood or discriminator == "exact"
    entry = RewardEntry(build, label, low, high, unit, source, discriminator, summary, config, needs_likelihood)
    REWARDS.register(name, entry)
