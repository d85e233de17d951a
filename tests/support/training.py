"""Trainers that are stored and go on."""

from __future__ import annotations

from pathlib import Path

import torch

from agents.checkpoint import load_checkpoint, save_checkpoint
from seqgan_env.autoregressive import MaximumLikelihoodTrainer
from seqgan_env.tokens import Tokens


def goes_on(whole: MaximumLikelihoodTrainer, fresh: MaximumLikelihoodTrainer, real: Tokens, file: Path) -> None:
    """Assert that a trainer that another one's state is loaded into makes the same second and third epoch.

    Args:
        whole: makes three epochs.
        fresh: one of the same settings with other weights, which gets the state after the first epoch by way of a file.
        real: the sequences that they learn from.
        file: of the state.
    """
    whole.epoch(real)
    save_checkpoint(file, {"generator": whole.generator.state_dict(), "trainer": whole.state_dict()})
    state = load_checkpoint(file)
    fresh.generator.load_state_dict(state["generator"])
    fresh.load_state_dict(state["trainer"])
    losses = [[trainer.epoch(real) for _ in range(2)] for trainer in (whole, fresh)]
    assert losses[0] == losses[1]
    for name, weight in whole.generator.state_dict().items():
        assert torch.equal(weight, fresh.generator.state_dict()[name]), name
