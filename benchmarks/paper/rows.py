"""The rows of the experiment as data: how each generator is trained, at two sizes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.runs.config import AdversaryConfig, AgentConfig, EvaluationConfig, Parts, RunConfig, RuntimeConfig
from agents.runs.folder import flat_settings
from agents.runs.presets import PRESETS, TOKENWISE
from benchmarks.curves import BASELINE
from benchmarks.paper.rivals import RIVALS


@dataclass(frozen=True)
class Scenario:
    """A task, and how long each kind of row is trained on it."""

    base: RunConfig
    """The strongest maximum likelihood, and the game of SeqGAN as it is by default here."""
    models: Mapping[str, Any]
    """Settings of the language models that the generative discriminator consists of, and that teach by distillation."""
    n_updates: int
    """Updates of a token-wise game."""
    n_epochs: Mapping[str, int]
    """Epochs of each rival."""
    as_published: Parts = field(default_factory=dict)
    """The paper's own maximum likelihood and game, as far as they differ."""
    of_row: Mapping[str, Parts] = field(default_factory=dict)
    """The fields in which the game of a row differs here from that of ``ROWS``."""


@dataclass(frozen=True)
class Row:
    """A generator and its training."""

    source: str
    """The paper that it follows, or what it is for."""
    start: str = "strongest"
    """The weights that it goes on from: random, after the maximum likelihood of the paper (published), or after the
    strongest known here."""
    game: Parts = field(default_factory=dict)
    """The fields in which its game differs from that of the scenario; without game and rival the row is its start."""
    tokenwise: bool = False
    """Its game has as many updates as the scenario gives a token-wise one."""
    rival: str = ""
    """A key of ``benchmarks.paper.rivals.RIVALS`` instead of a game."""

    @property
    def needs_models(self) -> bool:
        """Whether it has the language models of its seed, with a game or without."""
        if self.rival:
            return RIVALS[self.rival].needs_models
        return bool(self.game.get("task", {}).get("discriminator") == "generative")


_PAPER = PRESETS["paper"]
_TASK = dataclasses.replace(_PAPER.task, n_held_out=20_000)
_MODEL = {
    "embedding_dim": 64,
    "hidden_dim": 64,
    "n_epochs": 25,
    "learning_rate": 0.01,
    "validation": 0.0,  # its last pass is its best
}
"""On seed 100 one of twice the generator's size foresees more than one of the same size. Alone it foresees as much with
a dropout of 0.4 as with 0.5, and mixed much more: what each learns by heart is another thing, and cancels."""
_CNN = {"embedding_dim": 32, "filters": [[width, 64] for width in range(1, 6)], "l2": 0.01}

SIZES: dict[str, Scenario] = {
    "fast": Scenario(
        base=dataclasses.replace(
            _PAPER,
            task=dataclasses.replace(_TASK, discriminator_kwargs=_CNN),
            adversary=AdversaryConfig(n_rounds=30, n_generated=2_048, learning_rate=1e-3, every_n_episodes=64),
            agent=AgentConfig(n_updates=60),
            evaluation=EvaluationConfig(every=60, n=2_000),
            runtime=RuntimeConfig(n_threads=1, matmul_precision="highest"),
        ),
        as_published={
            "generator": {"kwargs": {"dropout": 0.0}},
            "pretraining": {"learning_rate": 0.01, "schedule": "constant", "n_epochs": 40, "keep_last": True},
        },
        models={"n_members": 5, "dropout": 0.5, **_MODEL},
        n_updates=600,
        n_epochs={
            "scheduled sampling": 25,
            "cooperative": 10,
            "cooperative, several mediators": 10,
            "self-adversarial": 10,
            "relaxed": 5,
            "distillation": 40,
        },
    ),
    "paper": Scenario(
        base=dataclasses.replace(_PAPER, task=_TASK, evaluation=EvaluationConfig(every=300, n=10_000)),
        as_published={
            "generator": {"kwargs": {"dropout": 0.0}},
            "pretraining": {"learning_rate": 0.01, "schedule": "constant", "n_epochs": 120, "keep_last": True},
            "adversary": {"n_rounds": 50, "n_epochs": 3, "n_generated": 10_000, "rounds_at_once": 5},
        },
        models={"n_members": 10, "dropout": 0.4, **_MODEL},
        n_updates=900,
        n_epochs={
            "scheduled sampling": 25,
            "cooperative": 40,
            "cooperative, several mediators": 40,
            "self-adversarial": 20,
            "relaxed": 20,
            "distillation": 40,
        },
    ),
}
"""``fast`` takes a core from one minute to a quarter of an hour for a row's game, and twenty minutes for the language
models of a seed; ``paper`` has the schedule of the paper and twice the models, and is for a GPU or a patient CPU."""

_AS_PUBLISHED: dict[str, Any] = {
    "baseline": "none",
    "normalize_advantage": False,
    "learning_rate": 0.01,
    "rollout_lag": 0.8,
}
_WHOLE = {"n_completions": 0, "baseline": "batch", "n_episodes": 512}
_RENEWED = {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 256}

ROWS: dict[str, Row] = {
    "random": Row("untrained weights", "random"),
    "max. likelihood, as published": Row("arXiv 1609.05473", "published"),
    BASELINE: Row("regularised, its step size falling"),
    "scheduled sampling": Row("arXiv 1506.03099", "random", rival="scheduled sampling"),
    "SeqGAN, as published": Row(
        "arXiv 1609.05473: reward D, no baseline", "published", {"task": {"reward": "d"}, "agent": _AS_PUBLISHED}
    ),
    "constant, as published": Row(
        "control: reward 1, else as published", "published", {"task": {"reward": "constant"}, "agent": _AS_PUBLISHED}
    ),
    "PG-BLEU": Row("arXiv 1609.05473", game={"task": {"reward": "bleu"}}),
    "RankGAN": Row("arXiv 1705.11001", game={"task": {"reward": "rank"}}),
    "MaliGAN": Row(
        "arXiv 1702.07983",
        game={"task": {"reward": "log_ratio"}, "agent": {**_WHOLE, "batch_statistic": "softmax"}},
    ),
    "ScratchGAN's rewards": Row(
        "arXiv 1905.09922: a reward for each prefix, large batches",
        game={"task": {"reward": "centered", "shaping": ["prefix"]}, "agent": {**_WHOLE, "baseline": "step"}},
    ),
    "cooperative training": Row("arXiv 1804.03782", rival="cooperative"),
    "cooperative training, several mediators": Row(
        "the same, its mediators beginning as the language models", rival="cooperative, several mediators"
    ),
    "self-adversarial": Row("arXiv 1908.09127", rival="self-adversarial"),
    "Gumbel straight-through": Row("arXiv 1611.01144", rival="relaxed"),
    "SeqGAN log D": Row("eq. 13.37, a baseline for each prefix", game={"task": {"reward": "log_d"}}),
    "SeqGAN log-ratio, generative": Row(
        "the token terms of a learned log p - log G, every token of a prefix, both divergences",
        game={
            "task": {"reward": "log_ratio", "discriminator": "generative"},
            "agent": TOKENWISE,
            "adversary": _RENEWED,
        },
        tokenwise=True,
    ),
    "the same, exact": Row(
        "upper bound: the true p",
        game={"task": {"reward": "log_ratio"}, "agent": TOKENWISE, "adversary": {"exact": True}},
        tokenwise=True,
    ),
    "distilled": Row("control: the same language models, no game; arXiv 1606.07947", rival="distillation"),
    "random reward": Row(
        "control; a constant one has no gradient here, the baseline being the value itself",
        game={"task": {"reward": "random"}},
    ),
}
"""The rows by name, in the order of the table."""


def config_of(row: str, scenario: Scenario, seed: int, source: str = "oracle") -> RunConfig:
    """The settings of a row's run; those of its start where it plays no game.

    Args:
        row: a key of ``ROWS``.
        scenario: the task.
        seed: everything random follows it.
        source: that of the task.
    """
    found = ROWS[row]
    config = _changed(scenario.base, {"task": {"source": source}})
    if found.start == "published":
        config = _changed(config, scenario.as_published)
    if found.start == "random":
        config = _changed(config, {"pretraining": {"n_epochs": 0}})
    config = _changed(_changed(config, found.game), scenario.of_row.get(row, {}))
    if found.tokenwise:
        config = _changed(config, {"agent": {"n_updates": scenario.n_updates}})
    return dataclasses.replace(config, seed=seed)


def training_of(row: str, scenario: Scenario) -> dict[str, Any]:
    """The training of a row as far as it differs from the scenario's base, as JSON has it, without seed and source.

    Args:
        row: a key of ``ROWS``.
        scenario: the task.

    Returns:
        The settings of its run that are not those of ``scenario.base`` by dotted name, those of its language models,
        the epochs and the settings of its rival.
    """
    base = scenario.base
    config = config_of(row, scenario, base.seed, base.task.source)
    usual, own = flat_settings(base.to_dict()), flat_settings(config.to_dict())
    found: dict[str, Any] = {name: value for name, value in own.items() if name not in usual or usual[name] != value}
    if ROWS[row].needs_models:
        found["models"] = dict(scenario.models)
    if rival := ROWS[row].rival:
        found |= {"n_epochs": scenario.n_epochs[rival], "rival": dataclasses.asdict(RIVALS[rival].settings(config))}
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _changed(config: RunConfig, parts: Parts) -> RunConfig:
    """With what goes together: the core's other settings stay, and those of another discriminator's don't."""
    whole = {part: dict(fields) for part, fields in parts.items()}
    if "generator" in whole:
        whole["generator"]["kwargs"] = {**config.generator.kwargs, **whole["generator"]["kwargs"]}
    if "discriminator" in whole.get("task", {}):
        whole["task"].setdefault("discriminator_kwargs", {})
    return config.changed(whole)
