"""A run that takes a second, and its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.config import TrainConfig

TINY = TrainConfig(
    source="oracle",
    vocab_size=12,
    max_length=5,
    n_real=200,
    n_held_out=200,
    embedding_dim=8,
    hidden_dim=8,
    discriminator_embedding_dim=8,
    filter_widths=(1, 2),
    filter_counts=(8, 8),
    generator_epochs=3,
    discriminator_rounds=2,
    n_generated=64,
    n_updates=6,
    n_episodes=8,
    n_completions=2,
    every_n_episodes=16,
    eval_every=2,
    n_eval=50,
    n_threads=1,
    device="cpu",
)


def without_time(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that a run must repeat: everything but how long it took."""
    return [{name: value for name, value in record.items() if name != "wall_time_s"} for record in records]


def stored(folder: Path) -> list[dict[str, Any]]:
    """The records in ``metrics.jsonl``."""
    return without_time([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])
