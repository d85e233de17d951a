"""Training a discriminator on eq. 13.32 or another loss, and measuring it on sequences it has not seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgan_env.checks import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StepSize,
    check_arguments,
)
from seqgan_env.descent import gradient_step, mean_loss
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.embedded import freeze_embeddings
from seqgan_env.discriminators.losses import (
    LOSSES,
    Objective,
    check_gradient_penalty,
    check_stopping,
    discriminator_loss,
    discriminator_scores,
    get_objective,
)
from seqgan_env.discriminators.optimal import Logits, beside_optimum
from seqgan_env.seeding import numpy_rng, torch_rng
from seqgan_env.tokens import Tokens
from seqgan_env.weights import digest, load_optimizer


class DiscriminatorTrainer:
    """A discriminator with its optimiser.

    Args:
        discriminator: the network to train.
        learning_rate: step size of Adam.
        max_grad_norm: the gradient is scaled down to this norm.
        seed: shuffling and dropout follow it and the number of updates made, and nothing else.
        weight_decay: each update also shrinks every weight by ``learning_rate * weight_decay`` of it, apart from the
            gradient (AdamW, arXiv 1711.05101).
        loss: a key of ``LOSSES``; ``"logistic"`` is eq. 13.32.
        label_smoothing: the label of real sequences is 1 less this, at least 0 and below 1/2.
        gradient_penalty: weight of ``Discriminator.gradient_penalty``; 10 in WGAN-GP. Where the loss is bounded by
            nothing else, embeddings stay as they are: stretching them would make any slope.

    Raises:
        ValueError: an unknown loss, a value out of range, a loss that needs a gradient penalty, a network whose own
            loss takes no other, or one without embeddings for the penalty.
    """

    @check_arguments
    def __init__(
        self,
        discriminator: Discriminator,
        learning_rate: StepSize = 1e-4,
        max_grad_norm: PositiveFloat = 5.0,
        seed: NonNegativeInt = 0,
        *,
        weight_decay: NonNegativeFloat = 0.0,
        loss: str = "logistic",
        label_smoothing: float = 0.0,
        gradient_penalty: NonNegativeFloat = 0.0,
    ) -> None:
        self.loss, self.label_smoothing = loss, label_smoothing
        self._objective: Objective = get_objective(loss, label_smoothing)
        if self._objective is not discriminator_loss and "objective" not in signature(discriminator.loss).parameters:
            raise ValueError(
                f"the loss of a {type(discriminator).__name__} is its own, got loss {loss!r} and label_smoothing "
                f"{label_smoothing}"
            )
        check_gradient_penalty(loss, gradient_penalty)
        if gradient_penalty and not discriminator.has_gradient_penalty:
            raise ValueError(
                "gradient_penalty needs a discriminator that reads tokens by their embeddings alone, got a "
                f"{type(discriminator).__name__}"
            )
        if LOSSES[loss].needs_gradient_penalty:
            freeze_embeddings(discriminator)
        self.gradient_penalty = gradient_penalty
        self.discriminator = discriminator
        self.optimizer: torch.optim.Optimizer
        if weight_decay:
            self.optimizer = torch.optim.AdamW(
                discriminator.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
            )
        else:
            self.optimizer = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, fused=True)
        self.max_grad_norm = max_grad_norm
        self.seed = seed
        self.n_updates = 0
        self._unfinished: dict[str, Any] | None = None  # fit_until_stale: of which sequences, history, best state

    def update(self, real_BT: Tensor, generated_BT: Tensor) -> Tensor:
        """One gradient step on the loss plus the network's own penalty; none where all weights are fixed.

        Args:
            real_BT: real sequences.
            generated_BT: generated ones.

        Returns:
            The loss before the step, a scalar without the penalty and without gradient; with eq. 13.32 the log-loss,
            nats per sequence. It stays on the network's device; reading it synchronises.
        """
        d = self.discriminator
        learns = any(parameter.requires_grad for parameter in d.parameters())  # not where real sequences were enough
        rng = torch_rng(self.seed, "dropout", self.n_updates, device=d.device)
        more = () if self._objective is discriminator_loss else (self._objective,)  # which a network need not take
        real_BT, generated_BT = real_BT.to(d.device), generated_BT.to(d.device)
        d.train(learns)
        try:
            loss = d.loss(real_BT, generated_BT, rng, *more)
        finally:  # also where it is interrupted: environments may score with this very object
            d.eval()
        if not learns:
            self.n_updates += 1
            return loss
        total = loss + d.penalty()
        if self.gradient_penalty:
            total = total + self.gradient_penalty * d.gradient_penalty(real_BT, generated_BT, rng)
        gradient_step(self.optimizer, total, self.max_grad_norm, "discriminator")
        self.n_updates += 1
        return loss.detach()

    @check_arguments
    def fit(
        self,
        real: Any,
        generated: Any,
        *,
        n_epochs: PositiveInt = 1,
        batch_size: PositiveInt = 64,
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
            The mean loss over the updates; with eq. 13.32 the log-loss, nats per sequence.

        Raises:
            ValueError: there is nothing to learn from, or a size is below 1.
        """
        spec = self.discriminator.spec
        real, generated = (
            spec.validate(each, complete=True, name=name) for name, each in (("real", real), ("generated", generated))
        )
        if not len(real) or not len(generated):
            raise ValueError(f"real and generated must hold sequences, got {len(real)} and {len(generated)}")
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
        return mean_loss(losses, "discriminator")

    @check_arguments
    def fit_until_stale(
        self,
        real: Tokens,
        generated: Tokens,
        held_out_real: Tokens,
        held_out_generated: Tokens,
        *,
        max_epochs: PositiveInt = 100,
        patience: PositiveInt = 3,
        batch_size: PositiveInt = 64,
        on_epoch: Callable[[], None] | None = None,
    ) -> list[dict[str, float]]:
        """``fit`` for as long as the held-out log-loss falls, then go back to the best epoch.

        Weights and optimiser are afterwards as they were after the best epoch, which may be none at all. ``n_updates``
        counts what was undone too, so that a later training draws other numbers.

        A call that is interrupted, by an error or between two processes by way of ``state_dict``, is taken up by the
        next call with the same sequences; one with others begins anew, from the weights of that moment.

        Args:
            real: real sequences, shape ``(n_real, T)``.
            generated: generated ones, shape ``(n_generated, T)``.
            held_out_real: real sequences to measure on.
            held_out_generated: generated ones to measure on.
            max_epochs: the most passes over ``generated``.
            patience: epochs without a lower log-loss than the lowest before it stops.
            batch_size: sequences of each kind in an update.
            on_epoch: called after each epoch.

        Returns:
            The history: ``evaluate`` on the held-out sequences before the first epoch, and after each.

        Raises:
            ValueError: there is nothing to learn from or to measure on, a size is below 1, or the loss is that of a
                critic, whose log-loss means nothing.
        """
        check_stopping(self.loss)
        held_out = held_out_real, held_out_generated
        if not all(map(len, held_out)):
            raise ValueError(
                f"the held-out sequences must be some of each kind, got {len(held_out[0])} and {len(held_out[1])}"
            )
        of = digest({str(i): torch.as_tensor(each) for i, each in enumerate((real, generated, *held_out))}, "")
        if self._unfinished is None or self._unfinished.get("of") != of:
            self._unfinished = {"of": of, "history": [self.evaluate(*held_out)], "best": self.snapshot()}
        history = self._unfinished["history"]
        best_epoch = int(np.argmin([scores["log_loss"] for scores in history]))
        while len(history) <= max_epochs and len(history) - 1 - best_epoch < patience:
            self.fit(real, generated, batch_size=batch_size)
            history.append(self.evaluate(*held_out))
            if history[-1]["log_loss"] < history[best_epoch]["log_loss"]:
                best_epoch, self._unfinished["best"] = len(history) - 1, self.snapshot()
            if on_epoch is not None:
                on_epoch()
        self.restore(self._unfinished["best"])
        self._unfinished = None
        return list(history)

    def evaluate(self, real: Tokens, generated: Tokens, optimal: Logits | None = None) -> dict[str, float]:
        """``discriminator_scores`` of the current network on held-out sequences.

        Args:
            real: real sequences.
            generated: generated ones.
            optimal: the logits of the best possible discriminator for both, where they are known: with them
                ``beside_optimum`` too.
        """
        logits = self.discriminator.logits(real), self.discriminator.logits(generated)
        return discriminator_scores(*logits) | ({} if optimal is None else beside_optimum(logits, optimal))

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs to go on as if nothing had happened."""
        state: dict[str, Any] = {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "n_updates": self.n_updates,
        }
        if self._unfinished is not None:
            state["unfinished"] = {**self._unfinished, "history": list(self._unfinished["history"])}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.restore(state)
        self.n_updates = int(state["n_updates"])
        unfinished = state.get("unfinished")
        self._unfinished = None if unfinished is None else {**unfinished, "history": list(unfinished["history"])}

    def snapshot(self) -> dict[str, Any]:
        """A copy of the weights and of the optimiser's state, for ``restore``."""
        return copy.deepcopy(
            {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a ``snapshot``; the number of updates made stays, so that what follows draws other numbers."""
        self.discriminator.load_state_dict(state["discriminator"])
        load_optimizer(self.optimizer, state["optimizer"])
