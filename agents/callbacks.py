"""The callback that retrains the discriminator, for any algorithm of Stable-Baselines3."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, runtime_checkable

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.replay import Relabelling
from agents.sb3 import tokens_of
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.seeding import derived_seed
from seqgan_env.task import Task
from seqgan_env.tokens import Tokens


@runtime_checkable
class Sampler(Protocol):
    """A model that can draw whole sequences in batch, as ``SeqGAN`` can."""

    def sample(self, n: int, *, seed: int = 0) -> Tokens:
        """Draw ``n`` complete sequences, shape ``(n, T)``."""


class DiscriminatorCallback(BaseCallback):
    """Retrain the discriminator every few episodes and give its weights to every environment.

    The discriminator changes only between a policy update and the next collection, so that no return is computed from
    two versions. The negatives are fresh sequences from the policy where the model is a ``Sampler``, else the episodes
    that the environments finished last.

    Args:
        every_n_episodes: episodes between two trainings.
        n_generated: negatives of a training.
        n_epochs: passes over the negatives.
        batch_size: sequences of each kind in an update.
        learning_rate: step size of Adam.
        n_held_out: real sequences of the held-out set, and fresh negatives where the model is a ``Sampler``, on which
            the discriminator is measured after each training; 0 measures nothing.
        trainer: one to go on with; None begins with the weights that the first environment has.
        seed: of shuffling, dropout and negatives.
        verbose: 1 prints a line at each training.

    Raises:
        ValueError: a value is out of range; or, when learning begins, the algorithm does not tell its callbacks which
            episodes have ended (``ARS`` of sb3-contrib doesn't).
    """

    def __init__(
        self,
        every_n_episodes: int = 64,
        *,
        n_generated: int = 1024,
        n_epochs: int = 1,
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        n_held_out: int = 512,
        trainer: DiscriminatorTrainer | None = None,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        sizes = {
            "every_n_episodes": every_n_episodes,
            "n_generated": n_generated,
            "n_epochs": n_epochs,
            "batch_size": batch_size,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not learning_rate > 0 or n_held_out < 0:
            raise ValueError(
                f"learning_rate must be above 0 and n_held_out at least 0, got {learning_rate} and {n_held_out}"
            )
        self.every_n_episodes = every_n_episodes
        self.n_generated = n_generated
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_held_out = n_held_out
        self.trainer = trainer
        self.seed = seed
        self.version = 0
        """The version that the environments carry."""
        self.last_scores: dict[str, float] = {}
        """The measurement after the last training: ``loss``, ``accuracy``, ``log_loss``."""
        self._n_episodes = 0
        self._finished: deque[Tokens] = deque(maxlen=n_generated)

    def _init_callback(self) -> None:
        env = self.training_env
        config = env.get_attr("task_config", indices=[0])[0]
        self.version = max(self.version, *env.get_attr("discriminator_version"))
        self._task = Task(config)
        if self.trainer is None:
            weights = env.env_method("discriminator_weights", indices=[0])[0]
            self._task.load_discriminator(weights)
            self.trainer = DiscriminatorTrainer(self._task.discriminator, self.learning_rate, seed=self.seed)
        buffer = getattr(self.model, "replay_buffer", None)
        if isinstance(buffer, Relabelling):
            buffer.set_env(env)

    def _on_step(self) -> bool:
        if "dones" not in self.locals or "infos" not in self.locals:
            raise ValueError(f"{type(self.model).__name__} does not tell its callbacks which episodes have ended")
        dones, infos = self.locals["dones"], self.locals["infos"]
        self._n_episodes += int(np.sum(dones))
        if not isinstance(self.model, Sampler):
            self._finished.extend(tokens_of(infos[i]["terminal_observation"]) for i in np.flatnonzero(dones))
        return True

    def _on_rollout_start(self) -> None:
        if self._n_episodes >= self.every_n_episodes:
            self.retrain()
            self._n_episodes = 0

    def retrain(self) -> None:
        """Train now, and give the new weights to every environment.

        Raises:
            ValueError: the model is no ``Sampler``, and no episode has finished.
        """
        assert self.trainer is not None
        n_held_out = self.n_held_out
        if isinstance(self.model, Sampler):
            seed = derived_seed(self.seed, "negatives", self.trainer.n_updates)
            generated = self.model.sample(self.n_generated + n_held_out, seed=seed)
        elif not self._finished:
            raise ValueError("a training needs negatives, and no episode has finished yet")
        else:
            generated = np.stack(self._finished)
            n_held_out = min(n_held_out, len(generated) // 5)
        # the newest are the ones that no training has seen: the newest are left out each time, and there are newer ones
        generated, fresh = np.split(generated, [len(generated) - n_held_out])
        loss = self.trainer.fit(
            self._task.real_sequences, generated, n_epochs=self.n_epochs, batch_size=self.batch_size
        )
        self.last_scores = {"loss": loss}
        if n_held_out:
            held_out = self._task.held_out_sequences[:n_held_out]
            self.last_scores |= self.trainer.evaluate(held_out, fresh)
        self.push()
        for name, value in self.last_scores.items():
            self.logger.record(f"discriminator/{name}", value)
        self.logger.record("discriminator/version", self.version)
        if self.verbose >= 1:
            print(f"discriminator version {self.version}: {self.last_scores}")  # noqa: T201 - verbose asks for it

    def push(self) -> None:
        """Give the current weights to every environment under the next version."""
        assert self.trainer is not None
        self.version += 1
        state = self.trainer.discriminator.state_dict()
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        self.training_env.env_method("load_discriminator", weights, self.version)

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs; the trainer keeps a state of its own."""
        return {"version": self.version, "n_episodes": self._n_episodes, "last_scores": self.last_scores}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.version = int(state["version"])
        self._n_episodes = int(state["n_episodes"])
        self.last_scores = dict(state["last_scores"])
