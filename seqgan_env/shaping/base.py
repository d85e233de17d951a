"""The interface of a shaping, and what a shaping declares of itself.

A shaping keeps no state: the numbers that it carries from one step of an episode to the next are the environment's, so
that one shaping serves any number of episodes, and states can be cloned and restored. Suffixes: B episodes, T time, K
carried numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, check_type
from seqgan_env.registry import Registry
from seqgan_env.scoring import Scoring
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary

Floats = npt.NDArray[np.float64]


class Shaping(Protocol):
    """Payments of each step beside the terminal reward."""

    @property
    def n_carried(self) -> int:
        """K: how many numbers of an episode are carried from one step to the next."""

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """The numbers carried from the beginning of episodes at these prefixes, ``carry_BK``."""

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """Pay a step.

        Args:
            tokens_BT: the prefixes, or complete sequences, after the step, padded with V.
            length_B: their lengths.
            ended_B: which of them are complete.
            carry_BK: the numbers carried from the step before.

        Returns:
            The payment, ``bonus_B``, and the new ``carry_BK``.
        """


@runtime_checkable
class TelescopingShaping(Protocol):
    """A shaping that may know the sum of its payments without a replay of the steps."""

    def total(self, tokens_BT: Tokens, length_B: Tokens) -> Floats | None:
        """The sum of the payments of an episode, whatever is written in it; None where that isn't known.

        Args:
            tokens_BT: the prefixes that the episodes begin with, padded with V.
            length_B: their lengths.
        """


class CheckedShaping:
    """A shaping whose answers are checked, and which can't write to the environment's arrays.

    Args:
        shaping: the shaping.
        name: its name, for an error.

    Raises:
        ValueError: ``n_carried`` is no whole number of at least 0.
    """

    def __init__(self, shaping: Shaping, name: str) -> None:
        self._shaping = shaping
        self._name = name
        self.n_carried = check_type(f"n_carried of shaping {name!r}", shaping.n_carried, NonNegativeInt)

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``.

        Raises:
            ValueError: the answer is not K finite numbers for each episode.
        """
        carry_BK = self._shaping.start(tokens_BT.copy(), length_B.copy())
        return self._checked("start", carry_BK, (len(length_B), self.n_carried))

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``.

        Raises:
            ValueError: the answer is not one finite number, and K, for each episode.
        """
        bonus_B, carry_BK = self._shaping.step(tokens_BT.copy(), length_B.copy(), ended_B.copy(), carry_BK.copy())
        return (
            self._checked("step", bonus_B, (len(length_B),)),
            self._checked("step", carry_BK, (len(length_B), self.n_carried)),
        )

    def total(self, tokens_BT: Tokens, length_B: Tokens) -> Floats | None:
        """See ``TelescopingShaping``.

        Raises:
            ValueError: the answer is not one finite number for each episode.
        """
        if not isinstance(self._shaping, TelescopingShaping):
            return None
        total_B = self._shaping.total(tokens_BT.copy(), length_B.copy())
        return None if total_B is None else self._checked("total", total_B, (len(length_B),))

    def _checked(self, method: str, answer: Any, shape: tuple[int, ...]) -> Floats:
        numbers: Floats = np.array(answer, dtype=np.float64)  # a copy, which the shaping can't change later
        if numbers.shape != shape or not np.isfinite(numbers).all():
            got = f"shape {numbers.shape}" if numbers.shape != shape else f"{numbers[~np.isfinite(numbers)][0]}"
            raise ValueError(f"{method} of shaping {self._name!r} must give finite numbers of shape {shape}, got {got}")
        return numbers


@dataclass(frozen=True)
class ShapingContext:
    """The task that a shaping is built for."""

    spec: SequenceSpec
    """The form of the sequences."""
    vocabulary: Vocabulary | None
    """The map between text and ids, or None where tokens have no text."""
    scoring: Scoring
    """The rewards, under the discriminator of the moment."""
    gamma: float
    """The discount of the agent that learns."""


@dataclass(frozen=True)
class ShapingEntry:
    """A shaping as the registry knows it."""

    build: Callable[[ShapingContext], Shaping]
    """Makes the shaping of one task."""
    summary: str
    """A sentence on what it is."""
    source: str
    """The equation or the paper."""
    keeps_optimal_policy: bool
    """Whether the best policy is the same with and without it, for an agent with the discount ``gamma``."""


SHAPINGS: Registry[ShapingEntry] = Registry("shaping")
"""The shapings by name."""


def register_shaping(
    name: str,
    build: Callable[[ShapingContext], Shaping],
    *,
    summary: str,
    source: str,
    keeps_optimal_policy: bool,
) -> None:
    """Make a shaping available by name: to ``gymnasium.make(..., shaping=name)``.

    Args:
        name: an identifier.
        build: makes the shaping of one task.
        summary: see ``ShapingEntry``.
        source: see ``ShapingEntry``.
        keeps_optimal_policy: see ``ShapingEntry``.

    Raises:
        ValueError: the name is taken or no identifier, or a text is empty.
    """
    if name == "none":
        raise ValueError("a shaping can't be called 'none', which stands for no shaping")
    if not callable(build):
        raise ValueError(f"build must make the shaping of a task, got {build!r}")
    if not summary.strip() or not source.strip():
        raise ValueError(f"shaping {name!r} must declare summary and source")
    SHAPINGS.register(name, ShapingEntry(build, summary, source, keeps_optimal_policy))
