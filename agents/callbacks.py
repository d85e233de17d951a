"""The callback that retrains the discriminator, for any algorithm of Stable-Baselines3."""

from __future__ import annotations

from collections import deque
from typing import Any, get_args

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EventCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.adversary import Adversary, RoundConfig, Sampler, sampler_of, trainer_of
from agents.collection import ended_sequences, last_rows
from agents.history import NegativeHistory
from agents.sb3.handle import TaskHandle
from agents.sb3.learning import each_callback, evaluation_tasks
from agents.sb3.pretraining import PretrainingCallback
from agents.sb3.replay import Relabelling
from agents.schedules import Decision, EveryEpisodes, GameStatus, Schedule
from seqgan_env.checks import (
    NonNegativeInt,
    PositiveInt,
    build_config,
    check_arguments,
    check_choice,
    check_names,
    check_type,
)
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.progress import progress
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import SequenceSpec, Tokens

_N_OF_PARTS = 256  # sequences by which the parts of a reward are measured


class DiscriminatorCallback(BaseCallback):
    """Retrain the discriminator every few episodes and give its weights to every environment.

    The discriminator changes only between a policy update and the next collection, so that no return is computed from
    two versions. Where another callback of the same learning evaluates in an environment of its own, as
    ``EvalCallback`` does, with a discriminator of the same settings, that environment is given the weights too; one
    that pays with another discriminator, untrained, is warned of. The negatives are fresh sequences where the model is
    a ``Sampler`` or its policy has a ``generator`` (``with_generator``), else the episodes that the environments
    finished last.

    Args:
        every_n_episodes: episodes between two trainings, or a ``Schedule``, such as ``EverySteps``, ``AccuracyBand``
            and ``Never`` of ``agents.schedules``.
        n_rounds_before: trainings before the first episode, without which a new discriminator pays at random. A
            callback that has trained, or was restored, makes none; a new one makes them even where the environment's
            discriminator has learnt before.
        trainer: one to go on with; None begins with the weights that the first environment has.
        seed: of shuffling, dropout and negatives.
        verbose: 1 prints a line at each training.
        config: the settings of a round as one object, in place of ``round_settings``.
        **round_settings: fields of ``agents.adversary.RoundConfig``: ``n_generated``, ``n_epochs``, ``batch_size``,
            ``learning_rate``, ``n_held_out``, …

    Raises:
        ValueError: a value is out of range; or, in learning, the algorithm does not tell its callbacks which episodes
            have ended (``ARS`` of sb3-contrib doesn't), an episode was cut short before its sequence was complete,
            ``VecNormalize`` scales the observations, there is nothing to draw from for ``n_rounds_before``, these would
            come before a ``PretrainingCallback`` of the same learning, or it stands inside an ``EventCallback``.
    """

    @check_arguments
    def __init__(
        self,
        every_n_episodes: PositiveInt | Schedule = 64,
        *,
        n_rounds_before: NonNegativeInt = 0,
        trainer: DiscriminatorTrainer | None = None,
        seed: NonNegativeInt = 0,
        verbose: NonNegativeInt = 0,
        config: RoundConfig | None = None,
        **round_settings: Any,
    ) -> None:
        super().__init__(verbose)
        self.schedule: Schedule = (
            every_n_episodes if isinstance(every_n_episodes, Schedule) else EveryEpisodes(every_n_episodes)
        )
        if config is not None and round_settings:
            raise ValueError(f"the settings must be in config or by name, got both: {', '.join(round_settings)}")
        self.config = config or build_config(RoundConfig, round_settings, "DiscriminatorCallback")
        self.n_rounds_before = n_rounds_before
        self.trainer = trainer
        self.seed = seed
        self.version = 0
        """The version that the environments carry."""
        self.last_scores: dict[str, float] = {}
        """The measurement after the last training, as ``Adversary.round`` gives it."""
        self._n_episodes = 0
        self._n_steps_before = 0  # steps at the last round, made or skipped
        self._history: NegativeHistory | None = None
        self._old: dict[str, Any] = {}  # the state of a history that is still to be made
        self._finished: deque[Tokens] = deque(maxlen=self.config.n_generated)
        self._n_rounds = 0
        self._n_rounds_now = 0  # those of a series, which an interruption may cut short
        self._played_with: BaseAlgorithm | None = None
        self._goes_on = True  # what a schedule has decided
        self._handles: list[TaskHandle] = []  # the environments of the learning, and those of its evaluations
        self._served: VecEnv | None = None  # the environments that have the trainer's weights

    def _init_callback(self) -> None:
        if self._played_with not in (None, self.model):  # another model: its episodes are counted from the beginning
            self._n_episodes = self._n_rounds_now = 0
            self._finished.clear()
            self._history, self._old = None, {}
        self._n_steps_before = min(self._n_steps_before, self.model.num_timesteps)  # which may begin at 0 again
        self._played_with = self.model
        self._goes_on = True
        self._handle = handle = TaskHandle(self.training_env)
        self._sampler = sampler_of(self.model, constrained=bool(handle.config.constraints))
        handle.check_not_normalized()
        if self._sampler is None:
            handle.check_observations()  # of which the negatives are the last ones
            if self._finished:  # maybe those of a state
                handle.spec.validate(np.array(self._finished), complete=True, name="finished")
            if self.n_rounds_before:
                under = f" under the constraints {handle.config.constraints}" if handle.config.constraints else ""
                raise ValueError(
                    "n_rounds_before needs a policy with a generator to draw from, without constraints, got "
                    f"{type(self.model.policy).__name__}{under}"
                )
        if self._history is None and self.config.history:
            self._history = self._restored_history(handle.spec, self._old)
        has_others = self._served is not self.training_env or handle.newest_version > self.version
        self.version = max(self.version, handle.newest_version)
        if self.trainer is None:
            self.trainer = trainer_of(handle.copy_discriminator(), self.config, self.seed)
        elif has_others and not handle.has(self.trainer.discriminator):
            self.version += 1
        self._handles = [handle]
        self._give(handle)  # all of these environments are to pay with its weights from the first episode on
        self._served = self.training_env
        self._adversary = Adversary(
            self.trainer,
            handle.real_sequences,
            handle.held_out_sequences,
            self.config,
            seed=self.seed,
            push=lambda discriminator: self.push(),
            history=self._history,
            # where constraints cut the generator's softmax off, its likelihood is not that of what is drawn
            log_prob_real=None if handle.config.constraints else handle.log_prob_real,
        )
        buffer = getattr(self.model, "replay_buffer", None)
        if isinstance(buffer, Relabelling):
            buffer.set_env(self.training_env)

    def _on_training_start(self) -> None:
        others = list(each_callback(self.locals.get("callback")))
        for each in others:
            if isinstance(each, EventCallback) and self in each_callback(each):
                raise ValueError(
                    "DiscriminatorCallback must be given to learn itself, with EverySteps for a number of steps, got "
                    f"it inside {type(each).__name__}, which does not say when a collection begins"
                )
        after = others[others.index(self) :] if self in others else []
        # those that are left: it may have learnt before, or been restored or interrupted in the middle of them
        n_rounds = max(0, self.n_rounds_before - self._n_rounds)
        if n_rounds and any(isinstance(each, PretrainingCallback) and each.is_due for each in after):
            raise ValueError(
                f"PretrainingCallback must stand before DiscriminatorCallback(n_rounds_before={n_rounds}), which "
                "trains against its result, got it after that"
            )
        for handle in evaluation_tasks(others, self._handle):
            self._handles.append(handle)
            self._give(handle)
        with progress(n_rounds, "discriminator", "round") as bar:
            for _ in range(n_rounds):
                self.retrain()
                bar.update()

    def _on_step(self) -> bool:
        rows = last_rows(self.model, self.locals)
        self._n_episodes += len(rows)
        if rows:
            ended_BT = ended_sequences(self._handle.spec, rows)
            if self._sampler is None:
                self._finished.extend(ended_BT)
        return self._goes_on

    def _on_rollout_start(self) -> None:
        self.retrain_if_due()

    def retrain_if_due(self) -> None:
        """Train if the schedule says so, and as often as it does."""
        decision: Decision = "more"
        while decision == "more":
            game = GameStatus(
                self._n_episodes,
                self.num_timesteps,
                self._n_rounds,
                self.last_scores,
                self.num_timesteps - self._n_steps_before,
                self._n_rounds_now,
                lambda: self._adversary.measure(self._negatives()),
            )
            decision = self.schedule.decide(game)
            check_choice("a schedule's decision", decision, get_args(Decision))
            if decision in ("train", "more"):
                self.retrain()
                self._n_rounds_now += 1
            if decision in ("skip", "train", "more"):
                self._n_episodes, self._n_steps_before = 0, self.num_timesteps
        self._n_rounds_now = 0
        self._goes_on = decision != "stop"

    def retrain(self) -> None:
        """Train now, and give the new weights to every environment.

        Raises:
            ValueError: there is nothing to draw from, and no episode has finished.
        """
        self.last_scores = self._adversary.round(self._negatives())
        self._n_rounds += 1
        self._log_parts()
        for name, value in self.last_scores.items():
            self.logger.record(f"discriminator/{name}", value)
        self.logger.record("discriminator/version", self.version)
        if self.verbose >= 1:
            print(f"discriminator version {self.version}: {self.last_scores}")  # noqa: T201 - verbose asks for it

    def _negatives(self) -> Sampler | Tokens:
        if self._sampler is not None:
            return self._sampler
        return np.array(self._finished) if self._finished else np.zeros((0, self._handle.spec.max_length), np.int64)

    def _log_parts(self) -> None:
        """Log what each part of a composite reward pays, on the last episodes or on fresh sequences."""
        if self._handle.config.reward != "composite":
            return
        rows = self._negatives()
        if not isinstance(rows, np.ndarray):
            rows = rows.sample(_N_OF_PARTS, seed=derived_seed(self.seed, "parts", self._n_rounds))
        for name, part_B in self._handle.reward_parts(rows[-_N_OF_PARTS:]).items():
            self.logger.record(f"reward/{name}", float(part_B.mean()))

    def push(self) -> None:
        """Give the current weights to every environment under the next version."""
        self.version += 1
        for handle in self._handles:
            self._give(handle)

    def _give(self, handle: TaskHandle) -> None:
        assert self.trainer is not None
        handle.push(self.trainer.discriminator, self.version)

    def state_dict(self) -> dict[str, Any]:
        """The state of the callback; the trainer keeps one of its own."""
        return {
            "version": self.version,
            "n_episodes": self._n_episodes,
            "n_steps_before": self._n_steps_before,
            "history": dict(self._old) if self._history is None else self._history.state_dict(),
            "finished": torch.tensor(np.array(self._finished, dtype=np.int64)),
            "n_rounds": self._n_rounds,
            "n_rounds_now": self._n_rounds_now,
            "last_scores": self.last_scores,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: it is none, or its old negatives are not those of this callback. Whether the episodes that ended
                are those of the task is seen in the next learning.
        """
        check_names("the state of a callback", state, list(self.state_dict()))
        counts = ("version", "n_episodes", "n_steps_before", "n_rounds", "n_rounds_now")
        count = {name: check_type(name, state[name], NonNegativeInt) for name in counts}
        scores = check_type("last_scores", state["last_scores"], dict[str, float])
        finished = check_type("finished", state["finished"], Tensor)
        history, old = None, dict(state["history"])
        if old and self.trainer is not None:
            history = self._restored_history(self.trainer.discriminator.spec, old)
        self.version, self._n_episodes, self._n_steps_before, self._n_rounds, self._n_rounds_now = count.values()
        self.last_scores, self._history, self._old = dict(scores), history, old
        self._finished.clear()
        self._finished.extend(torch.atleast_2d(finished.detach().clone()).numpy() if finished.numel() else ())
        self._played_with = None  # so that the next learning takes it for its own

    def _restored_history(self, spec: SequenceSpec, state: dict[str, Any]) -> NegativeHistory:
        """The sample of earlier negatives, as it was when a state was stored; an empty state is that of none."""
        history = NegativeHistory(spec, 10 * self.config.n_generated, self.seed)
        if state:
            history.load_state_dict(state)
        return history
