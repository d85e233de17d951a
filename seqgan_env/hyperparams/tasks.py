"""The part of the hyperparameters that belongs to a task: its generator, the maximum likelihood, the discriminator's.

Without that a game would begin with random tokens. The sizes are those of ``python -m benchmarks.algorithms``, whose
search has found the rest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

_N_ENVS = 16
_BUDGET = 160_000


@dataclass(frozen=True)
class _Start:
    """The state that a task's game begins with, and the rhythm of its discriminator."""

    max_length: int
    generator: dict[str, Any]
    pretraining: dict[str, Any]
    n_episodes: int
    """Of a collection at least, of a batch, and between two trainings of the discriminator."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """The fields of ``TaskConfig`` that differ from those of the id."""


_STARTS = {
    "SeqGANGrammar-v0": _Start(
        max_length=17,
        generator={"embedding_dim": 4, "hidden_dim": 4, "dropout": 0.0, "eos_id": 0, "vocabulary": "d632af44215d0707"},
        pretraining={"n_epochs": 200, "learning_rate": 0.02},
        n_episodes=128,
        env_kwargs={
            "discriminator_kwargs": {
                "embedding_dim": 32,
                "filters": [[width, 64] for width in range(1, 6)],
                "l2": 0.01,
            }
        },
    ),
}


def after_pretraining(task: str, *, batches: bool = True, **own: Any) -> dict[str, Any]:
    """All hyperparameters of an algorithm with an actor and a critic on a task, in the zoo's form.

    Args:
        task: a registered id.
        batches: whether the algorithm takes a ``batch_size``.
        **own: its settings that a search has found.
    """
    start = _STARTS[task]
    callbacks = {
        "agents.PretrainingCallback": start.pretraining,
        "agents.DiscriminatorCallback": {
            "every_n_episodes": start.n_episodes,
            "n_rounds_before": 60,
            "n_generated": 512,
            "learning_rate": 0.001,
        },
    }
    return {
        "n_timesteps": _BUDGET,
        "n_envs": _N_ENVS,
        "env_kwargs": copy.deepcopy(start.env_kwargs),
        "policy": "agents.GeneratorActorCritic",
        "policy_kwargs": dict(start.generator),
        "callback": [{name: dict(settings)} for name, settings in callbacks.items()],
        "n_steps": start.max_length * start.n_episodes // _N_ENVS,
        "gamma": 1.0,
        **({"batch_size": start.n_episodes} if batches else {}),
        **own,
    }
