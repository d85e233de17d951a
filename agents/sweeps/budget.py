"""The budget of a run, and the watch that counts it, measures on the way and ends the run.

A step is a token that the learner chose in the environment; what it may learn from, wherever it comes from, is counted
so. A scored sequence is a complete or, with some shapings, an unfinished one that was paid by the task's reward: at the
end of an episode, as a Monte Carlo completion, or again under a newer discriminator.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from agents.collection import last_rows
from agents.runs.evaluation import Evaluator
from agents.runs.folder import Record
from agents.runs.game import Game
from agents.runs.trackers import values_of
from agents.seqgan import SeqGAN
from agents.sweeps.tracking import named
from seqgan_env.checks import NonNegativeInt, PositiveInt, check_fields, check_type


@dataclass(frozen=True)
class Budget:
    """The limits of a run, which ends with the collection in which it reaches one of them.

    Raises:
        ValueError: there is no limit, or a value is out of range.
    """

    steps: PositiveInt | None = None
    """Tokens chosen in the environment, or learned from where there is none; None is no limit."""
    scored: PositiveInt | None = None
    """Sequences that the reward was asked for; None is no limit."""
    evaluations: PositiveInt = 10
    """Measurements after the first one, evenly over the budget."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps is None and self.scored is None:
            raise ValueError("the budget must have steps, or scored, or both; got neither")

    def most_steps(self, max_length: int) -> int:
        """The number of steps that no run exceeds by more than a collection.

        Args:
            max_length: T; an episode is scored when it ends, after T steps at most.
        """
        return self.steps if self.steps is not None else (self.scored or 0) * max_length


_MOST_IDLE = 100


class Watch:
    """Counts a run's budgets, measures its generator at even shares of them, and says when they are spent.

    Args:
        budget: the limits.
        game: of the run.
        evaluator: measures the learner's sequences.
        outputs: of the logger.
    """

    def __init__(self, budget: Budget, game: Game, evaluator: Evaluator, outputs: Sequence[KVWriter] = ()) -> None:
        self.budget = budget
        self.logger = Logger(folder=None, output_formats=list(outputs))
        """Tells trackers what a learner records, at the next call of ``goes_on``; the step is that of the budget."""
        self.steps = 0
        """Tokens so far."""
        self.records: list[Record] = []
        """The measurements so far."""
        self._game, self._evaluator = game, evaluator
        self._scored_elsewhere = -game.task.scoring.n_scored
        self._started, self._seconds_measuring = time.monotonic(), 0.0
        self._due = 0  # the number of the next measurement
        self._is_over = False
        self._spent, self._n_idle = (-1, -1), 0  # at the last call of ``goes_on``; calls since it changed

    @property
    def scored(self) -> int:
        """Scored sequences so far."""
        return self._game.task.scoring.n_scored + self._scored_elsewhere

    @property
    def wall_time_s(self) -> float:
        """Seconds of learning so far, without those of measuring."""
        return time.monotonic() - self._started - self._seconds_measuring

    @property
    def progress(self) -> float:
        """The spent share of the budget that is spent the most."""
        limits = ((self.steps, self.budget.steps), (self.scored, self.budget.scored))
        return max(spent / limit for spent, limit in limits if limit is not None)

    def spend(self, steps: int, scored: int = 0) -> None:
        """Count what is spent outside the environment.

        Args:
            steps: tokens that were learned from.
            scored: sequences that were scored other than by the task's own scoring.

        Raises:
            ValueError: a value is no whole number of at least 0.
        """
        self.steps += check_type("steps", steps, NonNegativeInt)
        self._scored_elsewhere += check_type("scored", scored, NonNegativeInt)

    def goes_on(self) -> bool:
        """Measure if it is time, between two collections; False if the budget is spent.

        Raises:
            ValueError: nothing is ever spent, so that it would go on without end.
        """
        spent = self.steps, self.scored
        self._n_idle, self._spent = (self._n_idle + 1 if spent == self._spent else 0), spent
        if self._n_idle >= _MOST_IDLE:
            raise ValueError(
                f"a learner must count what it spends, by Watch.spend; it asked {_MOST_IDLE} times for more"
            )
        if not self._is_over and self.progress * self.budget.evaluations >= self._due:
            self._measure()
        self._tell()
        self._is_over = self._is_over or self.progress >= 1
        return not self._is_over

    def finish(self) -> None:
        """Measure the end, unless that has been done."""
        if not self._is_over:
            self._measure()
        self._tell()
        self._is_over = True

    def _measure(self) -> None:
        record: Record = {"steps": self.steps, "scored": self.scored, "wall_time_s": round(self.wall_time_s, 3)}
        began = time.monotonic()
        record |= self._evaluator.measure("record")
        if self._game.config.is_adversarial:
            record["discriminator_version"] = self._game.callback.version
        self.records.append(record)
        for name, value in values_of(named(record)).items():
            self.logger.record(name, value)
        self._seconds_measuring += time.monotonic() - began
        self._due = int(self.progress * self.budget.evaluations) + 1  # a long collection may have passed several

    def _tell(self) -> None:
        began = time.monotonic()
        self.logger.dump(self.steps)
        self._seconds_measuring += time.monotonic() - began


class WatchCallback(BaseCallback):
    """A watch beside an algorithm of Stable-Baselines3.

    Args:
        watch: the watch.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch, self._goes_on = watch, True

    def _on_rollout_start(self) -> None:
        self._goes_on = self._watch.goes_on()

    def _on_step(self) -> bool:
        self._watch.spend(self._n_chosen(self.locals) if self._goes_on else 0)
        return self._goes_on

    def _n_chosen(self, step: dict[str, Any]) -> int:
        """The tokens of a step; SeqGAN's environments that have met their quota are stepped along for nothing."""
        if not isinstance(self.model, SeqGAN):
            return self.training_env.num_envs
        return sum(int(self.model.policy.spec.lengths(row)) for row in last_rows(self.model, step))
