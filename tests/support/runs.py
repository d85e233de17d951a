"""A run that takes a second, and its records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.runs.config import (
    AdversaryConfig,
    AgentConfig,
    EvaluationConfig,
    GeneratorConfig,
    PretrainingConfig,
    RunConfig,
    RuntimeConfig,
)
from seqgan_env.task_config import TaskConfig

TINY = RunConfig(
    task=TaskConfig(
        source="oracle",
        vocab_size=12,
        max_length=5,
        n_real=200,
        n_held_out=200,
        discriminator_kwargs={"embedding_dim": 8, "filters": [[1, 8], [2, 8]]},
    ),
    generator=GeneratorConfig(kwargs={"embedding_dim": 8, "hidden_dim": 8, "embedding_std": 1.0}),
    pretraining=PretrainingConfig(n_epochs=3),
    adversary=AdversaryConfig(n_rounds=2, n_generated=64, every_n_episodes=16, history=0.25),
    agent=AgentConfig(n_updates=6, n_episodes=8, n_completions=2),
    evaluation=EvaluationConfig(every=2, n=50),
    runtime=RuntimeConfig(n_threads=1, device="cpu"),
)


SHORT = dataclasses.replace(
    TINY,
    pretraining=PretrainingConfig(n_epochs=2),
    adversary=dataclasses.replace(TINY.adversary, n_rounds=1),
    agent=dataclasses.replace(TINY.agent, n_updates=4),
)
"""A shorter one, with every phase."""


@contextmanager
def without_pictures() -> Iterator[None]:
    """Reports without pictures, which take three times as long as all the rest of ``TINY``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.runs.report._plots", lambda records, lengths: iter(()))
        yield


def changed(config: RunConfig, **parts: Any) -> RunConfig:
    """The settings with some fields changed: ``changed(TINY, seed=1, agent={"n_updates": 2})``."""
    whole = {name: value for name, value in parts.items() if not isinstance(value, dict)}
    nested = {
        name: dataclasses.replace(getattr(config, name), **fields)
        for name, fields in parts.items()
        if isinstance(fields, dict)
    }
    return dataclasses.replace(config, **whole, **nested)


def without_time(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that a run must repeat: everything but how long it took."""
    return [{name: value for name, value in record.items() if name != "wall_time_s"} for record in records]


def stored(folder: Path) -> list[dict[str, Any]]:
    """The records in ``metrics.jsonl``."""
    return without_time([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


def flags_of(config: RunConfig) -> list[str]:
    """The flags of ``seqgan train`` that say all these settings."""
    plain = config.to_dict()
    task, runtime, generator = (plain.pop(name) for name in ("task", "runtime", "generator"))
    flat = {"seed": plain.pop("seed"), **task, **runtime}
    discriminator, reward = flat.pop("discriminator_kwargs"), flat.pop("reward_kwargs")
    shaping = {
        f"{name}.{setting}": value
        for name, values in flat.pop("shaping_kwargs").items()
        for setting, value in values.items()
    }
    del flat["discriminator_seed"]
    parts = {
        "generator": {"core": generator["core"], **generator["kwargs"]},
        "discriminator": discriminator,
        "reward": reward,
        "shaping": shaping,
        **plain,
    }
    flat |= {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    return [text for name, value in flat.items() for text in _flag(name, value)]


def _flag(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else flag.replace(".", ".no-")]
    values = value if isinstance(value, list) else [value]
    return [flag, *(str(each) for pair in values for each in (pair if isinstance(pair, list) else [pair]))]
