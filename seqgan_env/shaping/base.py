"""The interface of a shaping, and what a shaping declares of itself.

A shaping keeps no state: the numbers that it carries from one step of an episode to the next are the environment's, so
that one shaping serves any number of episodes, and states can be cloned and restored. Suffixes: B episodes, T time, K
carried numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NoConfig, NonNegativeInt, check_choice, check_type
from seqgan_env.registry import Registry
from seqgan_env.scoring import Scoring
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary

Floats = npt.NDArray[np.float64]

LengthEffect = Literal["longer", "shorter", "neither", "depends"]
"""The episodes that payments favour where nothing else tells one sequence from another."""
LENGTH_EFFECTS: tuple[LengthEffect, ...] = ("longer", "shorter", "neither", "depends")


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

    def total(self, beginning_BT: Tokens, start_B: Tokens, tokens_BT: Tokens, length_B: Tokens) -> Floats | None:
        """The sum of the payments of each episode; None where that isn't known.

        Args:
            beginning_BT: the prefixes that the episodes begin with, padded with V.
            start_B: their lengths.
            tokens_BT: the complete sequences.
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

    def total(self, beginning_BT: Tokens, start_B: Tokens, tokens_BT: Tokens, length_B: Tokens) -> Floats | None:
        """See ``TelescopingShaping``.

        Raises:
            ValueError: the answer is not one finite number for each episode.
        """
        if not isinstance(self._shaping, TelescopingShaping):
            return None
        arguments = (beginning_BT, start_B, tokens_BT, length_B)
        total_B = self._shaping.total(*(array.copy() for array in arguments))
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
    config: Any = None
    """The settings, an instance of the entry's ``config``; None where it has none."""


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
    length_effect: LengthEffect
    """The episodes that it favours by its sign alone, where the discriminator and the reward tell no sequence from
    another: an agent may learn the length in place of the task. With ``"depends"`` the reason says on what."""
    length_reason: str = ""
    """A sentence on why, without the stop."""
    formula: str = ""
    """The payment of step t in one line."""
    unit: str = "of the reward"
    """The unit of the payment."""
    config: type[Any] = NoConfig
    """The settings of the shaping: a frozen dataclass, with defaults and checks. A property ``asks_discriminator`` says
    whether the payments depend on the discriminator whatever the reward; without it they don't."""


SHAPINGS: Registry[ShapingEntry] = Registry("shaping")
"""The shapings by name."""


def register_shaping(
    name: str,
    build: Callable[[ShapingContext], Shaping],
    *,
    summary: str,
    source: str,
    keeps_optimal_policy: bool,
    length_effect: LengthEffect,
    length_reason: str = "",
    formula: str = "",
    unit: str = "of the reward",
    config: type[Any] = NoConfig,
) -> None:
    """Make a shaping available by name: to ``gymnasium.make(..., shaping=name)``.

    Args:
        name: an identifier.
        build: makes the shaping of one task.
        summary: see ``ShapingEntry``.
        source: see ``ShapingEntry``.
        keeps_optimal_policy: see ``ShapingEntry``.
        length_effect: see ``ShapingEntry``.
        length_reason: see ``ShapingEntry``.
        formula: see ``ShapingEntry``.
        unit: see ``ShapingEntry``.
        config: see ``ShapingEntry``.

    Raises:
        ValueError: the name is taken or no identifier, a text is empty, or the effect on the length is none or depends
            on what is not said.
    """
    if name == "none":
        raise ValueError("a shaping can't be called 'none', which stands for no shaping")
    if not callable(build):
        raise ValueError(f"build must make the shaping of a task, got {build!r}")
    check_choice("length_effect", length_effect, LENGTH_EFFECTS)
    if not summary.strip() or not source.strip():
        raise ValueError(f"shaping {name!r} must declare summary and source")
    if length_effect == "depends" and not length_reason.strip():
        raise ValueError(f"shaping {name!r} must say in length_reason on what its effect depends")
    entry = ShapingEntry(
        build, summary, source, keeps_optimal_policy, length_effect, length_reason, formula, unit, config
    )
    SHAPINGS.register(name, entry)
