"""When the discriminator is trained: schedules of the game, as small objects that look at its status and decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from seqgan_env.checks import PositiveInt, check_fields

Decision = Literal["wait", "train", "stop"]
"""Wait for more episodes, train the discriminator now, or end the learning."""


@dataclass(frozen=True)
class GameStatus:
    """The status of the game between two collections."""

    n_episodes: int
    """Episodes that have ended since the last round."""
    n_steps: int
    """Steps of the environments in all."""
    n_rounds: int
    """Rounds of the game so far, those of a pretraining not counted."""
    scores: Mapping[str, float]
    """The measurement after the last round; empty before the first."""


@runtime_checkable
class Schedule(Protocol):
    """A rule for when the discriminator is trained."""

    def decide(self, game: GameStatus) -> Decision:
        """Decide before a collection begins."""


@dataclass(frozen=True)
class EveryEpisodes:
    """Train after every ``n`` episodes.

    Raises:
        ValueError: ``n`` is below 1.
    """

    n: PositiveInt

    def __post_init__(self) -> None:
        check_fields(self)

    def decide(self, game: GameStatus) -> Decision:
        """See ``Schedule``."""
        return "train" if game.n_episodes >= self.n else "wait"
