"""Maximum likelihood (eq. 13.33-13.34), which is behaviour cloning of the real sequences."""

from __future__ import annotations

from typing import Any

import torch

from agents.losses import maximum_likelihood_factors
from agents.policy import AutoregressivePolicy
from seqgan_env.seeding import numpy_generator
from seqgan_env.tokens import Tokens


class MaximumLikelihoodTrainer:
    """A policy with the optimiser of its pretraining.

    Args:
        policy: the generator to train.
        learning_rate: step size of Adam.
        batch_size: sequences in an update.
        max_grad_norm: the gradient is scaled down to this norm.
        seed: shuffling follows it and the number of epochs made, and nothing else.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        policy: AutoregressivePolicy,
        *,
        learning_rate: float = 0.01,
        batch_size: int = 64,
        max_grad_norm: float = 5.0,
        seed: int = 0,
    ) -> None:
        if not learning_rate > 0 or batch_size < 1 or not max_grad_norm > 0:
            raise ValueError(
                "learning_rate and max_grad_norm must be above 0 and batch_size at least 1, "
                f"got {learning_rate}, {max_grad_norm} and {batch_size}"
            )
        self.policy = policy
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate, fused=True)
        self.batch_size = batch_size
        self.max_grad_norm = max_grad_norm
        self.seed = seed
        self.n_epochs = 0

    def epoch(self, real: Tokens) -> float:
        """Pass once over the real sequences.

        Returns:
            The mean loss over the updates, nats per token.

        Raises:
            ValueError: there are no sequences.
        """
        if not len(real):
            raise ValueError("real must hold sequences, got none")
        policy = self.policy
        policy.set_training_mode(True)
        order = numpy_generator(self.seed, "maximum likelihood", self.n_epochs).permutation(len(real))
        losses = []
        for tokens_BT in torch.from_numpy(real[order]).to(policy.device).split(self.batch_size):
            factor_BT = maximum_likelihood_factors(tokens_BT != policy.spec.pad_id)
            loss = -policy.weighted_log_prob(tokens_BT, factor_BT)[0]
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm)
            self.optimizer.step()
            losses.append(loss.detach())
        policy.set_training_mode(False)
        self.n_epochs += 1
        return float(torch.stack(losses).double().mean())

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs beside the policy's own weights."""
        return {"optimizer": self.optimizer.state_dict(), "n_epochs": self.n_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_epochs = int(state["n_epochs"])
