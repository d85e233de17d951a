"""When the discriminator is trained: schedules of the game, as small objects that look at its status and decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from seqgan_env.checks import PositiveInt, Share, check_fields

Decision = Literal["wait", "skip", "train", "more", "stop"]
"""Wait for more episodes, skip a round, train the discriminator now, train it now and decide again, or end the
learning."""


@dataclass(frozen=True)
class GameStatus:
    """The status of the game between two collections."""

    n_episodes: int
    """Episodes that have ended since the last round, made or skipped."""
    n_steps: int
    """Steps of the environments in all."""
    n_rounds: int
    """Rounds of the game so far, those of a pretraining not counted."""
    scores: Mapping[str, float]
    """The measurement after the last round; empty before the first."""
    n_new_steps: int = 0
    """Steps of the environments since the last round, made or skipped."""
    n_rounds_now: int = 0
    """Rounds since the last collection: those of this decision's own series."""
    measure: Callable[[], Mapping[str, float]] = dict
    """Measures the discriminator as it is, on held-out sequences and new negatives; empty where it can't."""


@runtime_checkable
class Schedule(Protocol):
    """A rule for when the discriminator is trained."""

    def decide(self, game: GameStatus) -> Decision:
        """Decide before a collection begins."""


@dataclass(frozen=True)
class EveryEpisodes:
    """Train after every ``n`` episodes; between two collections at most once, however many episodes one holds.

    Raises:
        ValueError: a number is below 1.
    """

    n: PositiveInt
    n_rounds: PositiveInt = 1
    """Rounds made then, one after the other, each on fresh negatives where the model can be drawn from."""

    def __post_init__(self) -> None:
        check_fields(self)

    def decide(self, game: GameStatus) -> Decision:
        """See ``Schedule``."""
        is_due = game.n_episodes >= self.n if game.n_rounds_now == 0 else game.n_rounds_now < self.n_rounds
        if not is_due:
            return "wait"
        return "more" if game.n_rounds_now + 1 < self.n_rounds else "train"


@dataclass(frozen=True)
class EverySteps:
    """Train after every ``n`` steps of the environments.

    Raises:
        ValueError: ``n`` is below 1.
    """

    n: PositiveInt

    def __post_init__(self) -> None:
        check_fields(self)

    def decide(self, game: GameStatus) -> Decision:
        """See ``Schedule``."""
        return "train" if game.n_new_steps >= self.n else "wait"


@dataclass(frozen=True)
class Never:
    """Leave the discriminator as it is: a reward that does not move."""

    def decide(self, game: GameStatus) -> Decision:
        """See ``Schedule``."""
        return "wait"


@dataclass(frozen=True)
class AccuracyBand:
    """Keep the held-out accuracy in a band: one round within it, several below, none above.

    A discriminator that is always right has nothing to teach, and one that guesses neither.

    Raises:
        ValueError: a value is out of range, or ``low`` is above ``high``.
    """

    low: Share = 0.6
    """Below this the discriminator is trained until it is in the band or ``max_rounds`` have been made."""
    high: Share = 0.8
    """Above this it is left alone."""
    n_episodes: PositiveInt = 64
    """Episodes after which it is looked at again."""
    max_rounds: PositiveInt = 8
    """The most rounds between two collections."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.low > self.high:
            raise ValueError(f"low must be at most high, got {self.low} and {self.high}")

    def decide(self, game: GameStatus) -> Decision:
        """See ``Schedule``.

        Raises:
            ValueError: there is nothing to measure on.
        """
        if game.n_rounds_now == 0 and game.n_episodes < self.n_episodes:
            return "wait"
        scores = game.scores if game.n_rounds_now else game.measure()
        if "accuracy" not in scores:
            raise ValueError("AccuracyBand needs n_held_out above 0, and episodes to measure on")
        if scores["accuracy"] < self.low:
            return "more" if game.n_rounds_now < self.max_rounds else "wait"
        if game.n_rounds_now:
            return "wait"
        return "skip" if scores["accuracy"] > self.high else "train"
