"""Training a discriminator on eq. 13.32, and measuring it on sequences it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgan_env.device import may_look
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.losses import discriminator_scores
from seqgan_env.seeding import numpy_rng, torch_rng
from seqgan_env.tokens import Tokens


class DiscriminatorTrainer:
    """A discriminator with its optimiser.

    Args:
        discriminator: the network to train.
        learning_rate: step size of Adam.
        max_grad_norm: the gradient is scaled down to this norm.
        seed: shuffling and dropout follow it and the number of updates made, and nothing else.
    """

    def __init__(
        self, discriminator: Discriminator, learning_rate: float = 1e-4, max_grad_norm: float = 5.0, seed: int = 0
    ) -> None:
        self.discriminator = discriminator
        self.optimizer = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, fused=True)
        self.max_grad_norm = max_grad_norm
        self.seed = seed
        self.n_updates = 0

    def update(self, real_BT: Tensor, generated_BT: Tensor) -> Tensor:
        """One gradient step on eq. 13.32 plus the network's own penalty.

        Args:
            real_BT: real sequences.
            generated_BT: generated ones.

        Returns:
            The loss before the step, a scalar without the penalty and without gradient; with eq. 13.32 the log-loss,
            nats per sequence. It stays on the network's device; reading it synchronises.
        """
        d = self.discriminator
        d.train()
        rng = torch_rng(self.seed, "dropout", self.n_updates, device=d.device)
        loss = d.loss(real_BT.to(d.device), generated_BT.to(d.device), rng)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + d.penalty()).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in d.parameters() if p.grad is not None])
        if not may_look(d.device) or norm > self.max_grad_norm:  # to scale by 1 is a pass over all of them
            torch.nn.utils.clip_grads_with_norm_(d.parameters(), self.max_grad_norm, norm)
        self.optimizer.step()
        d.eval()
        self.n_updates += 1
        return loss.detach()

    def fit(
        self,
        real: Tokens,
        generated: Tokens,
        *,
        n_epochs: int = 1,
        batch_size: int = 64,
        on_update: Callable[[], None] | None = None,
    ) -> float:
        """Pass ``n_epochs`` times over the generated sequences, each batch beside as many real ones drawn at random.

        Args:
            real: real sequences, shape ``(n_real, T)``.
            generated: generated ones, shape ``(n_generated, T)``.
            n_epochs: passes over ``generated``.
            batch_size: sequences of each kind in an update.
            on_update: called after each update.

        Returns:
            The mean log-loss over the updates, nats per sequence.

        Raises:
            ValueError: there is nothing to learn from, or a size is below 1.
        """
        if not len(real) or not len(generated):
            raise ValueError(f"real and generated must hold sequences, got {len(real)} and {len(generated)}")
        if n_epochs < 1 or batch_size < 1:
            raise ValueError(f"n_epochs and batch_size must be at least 1, got {n_epochs} and {batch_size}")
        device = self.discriminator.device
        real_NT, generated_NT = torch.from_numpy(real).to(device), torch.from_numpy(generated).to(device)
        losses = []
        for _ in range(n_epochs):
            rng = numpy_rng(self.seed, "shuffle", self.n_updates)
            order = rng.permutation(len(generated))
            beside = [
                rng.choice(len(real), size=len(index), replace=len(index) > len(real))
                for index in np.split(order, range(batch_size, len(order), batch_size))
            ]
            real_N, generated_N = (
                torch.from_numpy(index).to(device).split(batch_size) for index in (np.concatenate(beside), order)
            )
            for real_B, generated_B in zip(real_N, generated_N, strict=True):
                losses.append(self.update(real_NT[real_B], generated_NT[generated_B]))
                if on_update is not None:
                    on_update()
        return float(torch.stack(losses).double().mean())

    def evaluate(self, real: Tokens, generated: Tokens) -> dict[str, float]:
        """``discriminator_scores`` of the current network on held-out sequences."""
        return discriminator_scores(self.discriminator.logits(real), self.discriminator.logits(generated))

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs to go on as if nothing had happened."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "n_updates": self.n_updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_updates = int(state["n_updates"])
