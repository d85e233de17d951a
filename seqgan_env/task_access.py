"""The task of an environment, as the environment answers for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqgan_env.checks import NonNegativeInt, check_arguments
from seqgan_env.discriminators import Discriminator
from seqgan_env.shaping import total_payments
from seqgan_env.sources import KnownSource
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import Weights


class TaskAccess:
    """Mixin of both environments: questions to the task, and changes of its discriminator."""

    task: Task

    @property
    def process_id(self) -> int:
        """The process in which the environment lives."""
        return os.getpid()

    @property
    def task_config(self) -> TaskConfig:
        """The task in plain values."""
        return self.task.config

    @property
    def sequence_spec(self) -> SequenceSpec:
        """The vocabulary size, the horizon and the end-of-sequence token."""
        return self.task.spec

    @property
    def real_sequences(self) -> Tokens:
        """The training set of real sequences, shape ``(n_real, T)``: copy it before you write to it."""
        return self.task.real_sequences

    @property
    def held_out_sequences(self) -> Tokens:
        """Real sequences that nothing is trained on, shape ``(n_held_out, T)``; see ``real_sequences``."""
        return self.task.held_out_sequences

    def log_prob_real(self, sequences: Any) -> npt.NDArray[np.float64] | None:
        """The log-probability of complete sequences under the distribution of the real ones, nats, shape ``(B,)``.

        Args:
            sequences: token ids, shape ``(B, t)`` with ``t <= T``.

        Returns:
            None where it is not known, as that of a text.

        Raises:
            ValueError: see ``SequenceSpec.validate``.
        """
        tokens_BT = self.task.spec.validate(sequences, complete=True, name="sequences")
        return self.task.source.log_prob(tokens_BT) if isinstance(self.task.source, KnownSource) else None

    @property
    def discriminator_version(self) -> int:
        """The number of times that the discriminator was replaced or given new weights."""
        return self.task.scoring.version

    def score(self, sequences: Any) -> npt.NDArray[np.float64]:
        """The terminal reward of complete sequences; see ``Scoring.score``."""
        return self.task.scoring.score(sequences)

    def episode_return(self, sequences: Any, start_B: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float64]:
        """The sum of all that the steps of complete episodes pay: the terminal rewards, and the shaping of every step.

        That of many is up to rounding what the steps pay, as with ``Scoring.score``.

        Args:
            sequences: token ids, shape ``(B, t)`` with ``t <= T``.
            start_B: the lengths of the prefixes that the episodes began with; None is the empty one.

        Raises:
            ValueError: as for ``score``.
        """
        reward_B = self.score(sequences)
        if self.task.shaping is None:
            return reward_B
        tokens_BT = self.task.spec.validate(sequences, complete=True, name="sequences")
        with self.task.scoring.of_many():
            return reward_B + total_payments(self.task.shaping, self.task.spec, tokens_BT, start_B)

    def allowed_after(self, prefixes: Any) -> npt.NDArray[np.int8]:
        """The tokens that may follow prefixes, shape ``(B, V)``; after complete ones all.

        Args:
            prefixes: token ids, shape ``(B, t)`` with ``t <= T``, padded with V.

        Raises:
            ValueError: see ``SequenceSpec.validate``.
        """
        spec = self.task.spec
        tokens_BT = spec.validate(prefixes, name="prefixes")
        complete_B: npt.NDArray[np.bool_] = spec.is_complete(tokens_BT).astype(np.bool_)
        return self.task.action_mask(tokens_BT, spec.lengths(tokens_BT), complete_B)

    def reward_parts(self, sequences: Any) -> dict[str, npt.NDArray[np.float64]]:
        """The pay of the parts of a composite reward for complete sequences; see ``Scoring.parts``."""
        return self.task.scoring.parts(sequences)

    def action_values(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The value of each token of complete sequences, shape ``(B, T)``; see ``Scoring.action_values``."""
        tokens_BT = self.task.spec.validate(tokens_BT, complete=True, name="tokens_BT")
        return self.task.scoring.action_values(torch.from_numpy(tokens_BT)).cpu().numpy()

    def known_values(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The part of the value of every token that is known with it, ``(B, T, V)``; see ``Scoring.known_values``."""
        return self.task.scoring.known_values(torch.from_numpy(tokens_BT)).cpu().numpy()

    @property
    def discriminator_arguments(self) -> tuple[str, dict[str, Any]]:
        """The registered name and the settings of the discriminator that the task begins with."""
        return self.task.discriminator_arguments

    @check_arguments
    def set_discriminator(self, discriminator: Discriminator, version: NonNegativeInt | None = None) -> None:
        """Score with this object from now on; see ``Scoring.set_discriminator``."""
        self.task.scoring.set_discriminator(discriminator, version)

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        return self.task.scoring.discriminator_weights()

    @check_arguments
    def load_discriminator(self, weights: Weights | Mapping[str, Any], version: NonNegativeInt | None = None) -> None:
        """Copy new weights into the discriminator; see ``Scoring.load_discriminator``."""
        self.task.scoring.load_discriminator(weights, version)
