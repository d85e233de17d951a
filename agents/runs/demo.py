"""The games of ``seqgan demo``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from agents.runs.config import Parts, RunConfig
from agents.runs.presets import PRESETS
from seqgan_env.checks import ShareAboveZero, check_arguments

BOTH_DIVERGENCES: dict[str, Any] = {"reward": "both_divergences", "reward_kwargs": {"log_weight": 1.0}}
"""The part ``task`` of a game whose reward is ``p/G`` and its logarithm."""
DENSE: dict[str, Any] = {
    "n_updates": 120,
    "n_episodes": 512,
    "n_completions": 0,
    "dense": True,
    "baseline": "step",
    "normalize_advantage": False,
    "learning_rate": 0.015,
    "final_learning_rate": 3e-4,
}
"""The part ``agent`` of a game in which the discriminator gives each token a value of its own."""
DEMO: dict[str, dict[str, dict[str, Any]]] = {
    "log_d": {"adversary": {"n_rounds": 30}, "agent": {"n_updates": 150}},
    "generative": {
        "task": {
            **BOTH_DIVERGENCES,
            "discriminator": "generative",
            "discriminator_kwargs": {
                "n_members": 1,
                "dropout": 0.2,
                "n_epochs": 8,
                "learning_rate": 0.01,
                "validation": 0.0,
            },
        },
        "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 512},
        "agent": DENSE,
    },
    "constant": {"task": {"reward": "constant"}, "agent": {"n_completions": 1, "n_updates": 100}},
    "exact": {"task": BOTH_DIVERGENCES, "adversary": {"exact": True}, "agent": DENSE},
}
"""The demo's games: the parts in which each differs from the preset. A discriminator that is a likelihood gives each
token a value of its own, which takes no completions, and tolerates a step size at which log D would follow the errors
of its discriminator."""


_COUNTS = {
    "task": ("n_real", "n_held_out"),
    "pretraining": ("n_epochs",),
    "adversary": ("n_rounds",),
    "agent": ("n_updates",),
    "evaluation": ("n",),
}
"""The fields of each part that a shorter demo has less of."""


@check_arguments
def demo_runs(
    seed: int = 0,
    base: RunConfig = PRESETS["demo"],
    games: Mapping[str, Parts] = DEMO,
    scale: ShareAboveZero = 1.0,
) -> dict[str, RunConfig]:
    """The runs of the demo by name.

    Args:
        seed: everything random follows it.
        base: the settings that they share.
        games: the parts in which each differs from them.
        scale: the share of the sequences, epochs, rounds and updates that is done.

    Raises:
        ValueError: an argument is out of its range.
    """
    runs = {name: dataclasses.replace(base.changed(changes), seed=seed) for name, changes in games.items()}
    return {name: config.changed(_scaled(config, scale)) for name, config in runs.items()}


def _scaled(config: RunConfig, scale: float) -> dict[str, dict[str, Any]]:
    """The shares of a run's counts, each rounded up."""
    return {
        part: {name: math.ceil(scale * getattr(getattr(config, part), name)) for name in names}
        for part, names in _COUNTS.items()
    }
