"""The registered tasks, as data."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

TASKS: dict[str, dict[str, Any]] = {
    "SeqGAN-v0": {},
    "SeqGANGrammar-v0": {"source": "grammar", "discriminator_kwargs": {"filters": [[w, 64] for w in range(1, 6)]}},
    "SeqGANTiny-v0": {
        "vocab_size": 4,
        "max_length": 4,
        "n_real": 1_000,
        "n_held_out": 500,
        "discriminator": "tabular",
        "discriminator_kwargs": {"scale": 2.0},
    },
}
"""The keyword arguments of each id.

``SeqGAN-v0`` is the synthetic task of the paper, V = 5000 and T = 20. ``SeqGANGrammar-v0`` writes English sentences.
``SeqGANTiny-v0`` has a known answer: 256 sequences, each with a reward of its own drawn once for all, so that
``seqgan_env.enumeration`` gives the best policy and every value exactly.
"""


def register() -> None:
    """Register every task with Gymnasium."""
    for env_id, kwargs in TASKS.items():
        gym.register(
            id=env_id,
            entry_point="seqgan_env.env:SeqGANEnv",
            vector_entry_point="seqgan_env.vector_env:SeqGANVectorEnv",
            kwargs=kwargs,
        )
