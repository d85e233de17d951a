"""Maximum likelihood (eq. 13.33-13.34), which is behaviour cloning of the real sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from agents.losses import maximum_likelihood_factors
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import check_positive, check_whole_number
from seqgan_env.seeding import numpy_rng
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class LikelihoodConfig:
    """The settings of maximum likelihood.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate: float = 0.01
    """Step size of Adam."""
    batch_size: int = 64
    """Sequences in an update."""
    max_grad_norm: float = 5.0
    """The gradient is scaled down to this norm."""

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate)
        check_positive("max_grad_norm", self.max_grad_norm)
        check_whole_number("batch_size", self.batch_size, 1)


class MaximumLikelihoodTrainer:
    """A generator with the optimiser of its pretraining.

    Args:
        generator: the model to train.
        config: the settings; None is the defaults.
        seed: shuffling follows it and the number of epochs made, and nothing else.
    """

    def __init__(self, generator: AutoregressiveModel, config: LikelihoodConfig | None = None, seed: int = 0) -> None:
        self.generator = generator
        self.config = LikelihoodConfig() if config is None else config
        self.optimizer = torch.optim.Adam(generator.parameters(), lr=self.config.learning_rate, fused=True)
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
        generator = self.generator
        generator.train()
        order = numpy_rng(self.seed, "maximum likelihood", self.n_epochs).permutation(len(real))
        losses = []
        for tokens_BT in torch.from_numpy(real[order]).to(generator.device).split(self.config.batch_size):
            factor_BT = maximum_likelihood_factors(generator.spec.is_token(tokens_BT))
            loss = -generator.weighted_log_prob(tokens_BT, factor_BT)[0]
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(generator.parameters(), self.config.max_grad_norm)
            self.optimizer.step()
            losses.append(loss.detach())
        generator.eval()
        self.n_epochs += 1
        return float(torch.stack(losses).double().mean())

    def state_dict(self) -> dict[str, Any]:
        """The state of the training beside the generator's own weights."""
        return {"optimizer": self.optimizer.state_dict(), "n_epochs": self.n_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_epochs = int(state["n_epochs"])
