"""Settings that go well together, by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.runs.config import (
    AdversaryConfig,
    AgentConfig,
    EvaluationConfig,
    GeneratorConfig,
    PretrainingConfig,
    RunConfig,
    RuntimeConfig,
)
from seqgan_env.checks import check_choice
from seqgan_env.registration import TASKS
from seqgan_env.task_config import TaskConfig

TOKENWISE: dict[str, Any] = {
    "n_episodes": 256,
    "n_completions": 0,
    "dense": True,
    "inner_sums": True,
    "forward_kl": 30.0,
    "baseline": "step",
    "normalize_advantage": False,
    "learning_rate": 0.02,
    "final_learning_rate": 1e-4,
}
"""The part ``agent`` of a game in which every token of each prefix gets a term of its own, in closed form."""
LOG_RATIO: dict[str, Any] = {"reward": "log_ratio", "reward_kwargs": {}}
"""The part ``task`` of that game."""

_SMALL_CNN = {"embedding_dim": 32, "filters": [[width, 64] for width in range(1, 6)], "l2": 0.01}

_DEMO = RunConfig(
    task=TaskConfig(source="grammar", n_held_out=10_000, discriminator_kwargs=_SMALL_CNN),
    generator=GeneratorConfig(kwargs={"embedding_dim": 4, "hidden_dim": 4, "dropout": 0.0}),
    pretraining=PretrainingConfig(learning_rate=0.04, n_epochs=60),
    adversary=AdversaryConfig(n_rounds=60, learning_rate=1e-3, n_generated=512, every_n_episodes=128),
    agent=AgentConfig(n_updates=200, n_episodes=128, n_completions=4),
    evaluation=EvaluationConfig(every=50, n=5_000),
    runtime=RuntimeConfig(n_threads=1),
)

_TEXT = RunConfig(
    task=TaskConfig(source="", min_count=2, discriminator_kwargs={"filters": [[width, 100] for width in range(1, 6)]}),
    generator=GeneratorConfig(kwargs={"embedding_dim": 64, "hidden_dim": 128, "dropout": 0.3}),
    pretraining=PretrainingConfig(learning_rate=0.02, warmup=0.1, weight_decay=0.03),
    adversary=AdversaryConfig(n_rounds=10, n_generated=1024, learning_rate=3e-4, every_n_episodes=128),
    agent=AgentConfig(n_updates=60, n_completions=8),
    evaluation=EvaluationConfig(every=10, metrics=("text",)),
)

PRESETS: dict[str, RunConfig] = {
    # The embedded task at a size that two processor cores finish while one watches.
    "grammar": RunConfig(
        task=TaskConfig(source="grammar", n_held_out=10_000, discriminator_kwargs=_SMALL_CNN),
        generator=GeneratorConfig(kwargs={"dropout": 0.15, "embedding_std": 0.03}),
        pretraining=PretrainingConfig(learning_rate=0.02, n_epochs=40),
        adversary=AdversaryConfig(n_rounds=60, learning_rate=1e-3, n_generated=512, every_n_episodes=128),
        agent=AgentConfig(n_updates=200, n_episodes=128, n_completions=4),
        evaluation=EvaluationConfig(every=20, n=5_000),
        runtime=RuntimeConfig(n_threads=1),
    ),
    # The same with a generator too small for it: what a temperature cannot buy, a discriminator can teach.
    "demo": _DEMO,
    # The demo after stronger maximum likelihood, with the settings of SeqGAN that a search has found.
    "searched": dataclasses.replace(
        _DEMO,
        pretraining=PretrainingConfig(learning_rate=0.02, n_epochs=200),
        agent=AgentConfig(n_updates=134, n_episodes=128, learning_rate=0.00305, n_completions=8),
        evaluation=EvaluationConfig(every=20, n=5_000),
    ),
    # The synthetic task of the SeqGAN paper, V = 5000 and T = 20, with its sizes.
    "paper": RunConfig(
        task=TaskConfig(source="oracle"),
        generator=GeneratorConfig(kwargs={"dropout": 0.3}),
        pretraining=PretrainingConfig(learning_rate=0.01),
        adversary=AdversaryConfig(n_rounds=50, n_generated=10_000, n_epochs=3),
        agent=AgentConfig(n_updates=200),
        evaluation=EvaluationConfig(every=5),
    ),
    # The same task at a size for trying things out.
    "small": RunConfig(
        task=TaskConfig(source="oracle", **TASKS["SeqGANSmall-v0"].kwargs),
        generator=GeneratorConfig(kwargs={"dropout": 0.05}),
        pretraining=PretrainingConfig(learning_rate=0.01),
        adversary=AdversaryConfig(n_rounds=60, learning_rate=1e-3, n_generated=512, every_n_episodes=256),
        agent=AgentConfig(n_updates=600, n_episodes=256, n_completions=2, learning_rate=3e-3, final_learning_rate=3e-4),
        evaluation=EvaluationConfig(every=60, n=5_000),
        runtime=RuntimeConfig(n_threads=1),
    ),
    # A text file of some ten thousand lines.
    "text": _TEXT,
    # The same with the discriminator and the game that gain something on text: language models against the generator.
    "ratio": dataclasses.replace(
        _TEXT,
        task=dataclasses.replace(
            _TEXT.task,
            discriminator="generative",
            discriminator_kwargs={
                "n_members": 5,
                "embedding_dim": 128,
                "hidden_dim": 256,
                "dropout": 0.5,
                "n_epochs": 25,
                "learning_rate": 0.01,
                "validation": 0.0,
            },
            **LOG_RATIO,
        ),
        adversary=AdversaryConfig(n_rounds=1, n_generated=64, every_n_episodes=256),
        agent=AgentConfig(n_updates=600, **TOKENWISE),
        evaluation=dataclasses.replace(_TEXT.evaluation, every=100),
    ),
}
"""The presets by name; ``source`` chooses one where none is named."""


def preset_for(source: str) -> str:
    """The preset that a source gets by default."""
    return {"grammar": "grammar", "oracle": "paper"}.get(source, "paper" if source.endswith(".pkl") else "text")


def get_preset(name: str) -> RunConfig:
    """Look a preset up.

    Raises:
        ValueError: there is no preset of that name.
    """
    check_choice("preset", name, PRESETS)
    return PRESETS[name]
