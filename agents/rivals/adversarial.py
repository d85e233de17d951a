"""The part that rivals with a discriminator share."""

from __future__ import annotations

from typing import Any

from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.discriminators import DiscriminatorTrainer


class AdversarialTrainer(MaximumLikelihoodTrainer):
    """A trainer of a generator beside that of a discriminator, whose state is part of its own.

    Args:
        generator: the model to train.
        discriminator: the trainer of the other one.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedules are for.

    Raises:
        ValueError: the discriminator is of other sequences.
    """

    def __init__(
        self,
        generator: AutoregressiveModel,
        discriminator: DiscriminatorTrainer,
        config: LikelihoodConfig | None = None,
        seed: int = 0,
        *,
        total_epochs: int = 1,
    ) -> None:
        spec = discriminator.discriminator.spec
        if spec != generator.spec:
            raise ValueError(f"the discriminator must be of {generator.spec}, got {spec}")
        super().__init__(generator, config, seed, total_epochs=total_epochs)
        self.discriminator = discriminator

    def state_dict(self) -> dict[str, Any]:
        """The state of the training, the discriminator's included."""
        return {**super().state_dict(), "discriminator": self.discriminator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: see ``MaximumLikelihoodTrainer.load_state_dict``; or the discriminator's state doesn't fit.
        """
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
