"""The alarm for a generator that writes the same few sequences again and again."""

from __future__ import annotations

from collections import deque

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.collection import ended_sequences, last_rows
from agents.sb3.handle import TaskHandle
from seqgan_env.checks import NonNegativeFloat, NonNegativeInt, PositiveInt, Share, check_arguments
from seqgan_env.tokens import SequenceSpec, Tokens


class CollapseAlarm(BaseCallback):
    """Watch how diverse the last episodes are, log it, and end the learning where they are alike; for any algorithm.

    A policy that has found a sequence which the discriminator overrates writes it in ever more episodes, and the mean
    reward rises while it does. Logged are ``diversity/distinct``, the share of distinct sequences, and
    ``diversity/entropy``, that of their tokens, in nats.

    Args:
        least_distinct: alarm below this share of distinct sequences.
        least_entropy: alarm below this entropy.
        n_episodes: the last ones that are looked at, as soon as there are so many and again after as many more.
        stop: whether an alarm ends the learning; otherwise it is only told.
        verbose: 1 prints a line at an alarm.

    Raises:
        ValueError: a value is out of range; or, in learning, the environment is none of seqgan_env, or the algorithm
            does not tell its callbacks which episodes have ended (``ARS`` of sb3-contrib doesn't).
    """

    @check_arguments
    def __init__(
        self,
        least_distinct: Share = 0.1,
        least_entropy: NonNegativeFloat = 0.0,
        *,
        n_episodes: PositiveInt = 256,
        stop: bool = True,
        verbose: NonNegativeInt = 1,
    ) -> None:
        super().__init__(verbose)
        self.least_distinct, self.least_entropy = least_distinct, least_entropy
        self.n_episodes, self.stop = n_episodes, stop
        self.alarm: str | None = None
        """The last alarm in words; None as long as there was none."""
        self._finished: deque[Tokens] = deque(maxlen=n_episodes)
        self._n_new = 0

    def _init_callback(self) -> None:
        self._spec = TaskHandle(self.training_env).spec
        self.alarm = None
        self._finished.clear()
        self._n_new = 0

    def _on_step(self) -> bool:
        rows = last_rows(self.model, self.locals)
        if not rows:
            return True
        self._finished.extend(ended_sequences(self._spec, rows))
        self._n_new += len(rows)
        if self._n_new < self.n_episodes:
            return True
        self._n_new = 0
        measured = diversity(self._spec, np.array(self._finished))
        for name, value in measured.items():
            self.logger.record(f"diversity/{name}", value)
        limits = {"distinct": self.least_distinct, "entropy": self.least_entropy}
        low = [
            f"{name} {measured[name]:.3g} below {limit:g}" for name, limit in limits.items() if measured[name] < limit
        ]
        if not low:
            return True
        self.alarm = f"the generator has collapsed after {self.num_timesteps} steps: {', '.join(low)}"
        if self.verbose >= 1:
            print(self.alarm)  # noqa: T201 - verbose asks for it
        return not self.stop


def diversity(spec: SequenceSpec, tokens_BT: Tokens) -> dict[str, float]:
    """The share of distinct sequences, and the entropy of their tokens, nats.

    Args:
        spec: the sequences.
        tokens_BT: at least one, complete.
    """
    n_V = np.bincount(tokens_BT[spec.is_token(tokens_BT)], minlength=spec.vocab_size)
    share_K = n_V[n_V > 0] / n_V.sum()
    return {
        "distinct": len(np.unique(tokens_BT, axis=0)) / len(tokens_BT),
        "entropy": float((share_K * np.log(1 / share_K)).sum()),
    }
