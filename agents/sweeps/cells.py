"""The cells of a sweep: one run each, known by a hash of everything that decides its result.

A setting that cannot matter, as a reward to an algorithm that learns from real sequences alone, is set to the same
value in every cell, so that the combinations which differ by it are one run.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from agents.runs.config import AdversaryConfig, AgentConfig, RunConfig
from agents.sweeps.algorithms import AlgorithmEntry, algorithm_entry
from agents.sweeps.budget import Budget
from agents.sweeps.stable_baselines import seqgan_agent
from seqgan_env.files import read_bytes, refusal

AXES = ("task", "algorithm", "settings", "reward", "shaping", "discriminator", "variant")
"""The names by which results are told apart, beside the seed."""
IRRELEVANT = "–"
"""The name of a reward, a shaping or a discriminator that an algorithm makes no use of."""
_FORMAT = 2  # of the hashed settings: a change of what a run does gives it another number
_YOUNG_NS = 1_000_000_000
_SMALL_DISCRIMINATOR: dict[str, Any] = {
    "discriminator": "gru",
    "discriminator_kwargs": {"embedding_dim": 1, "hidden_dim": 1},
}
"""That of a run without one; it fits every task and is made at once."""


@dataclass(frozen=True)
class Cell:
    """One run."""

    config: RunConfig
    """The task, the generator, its pretraining, the discriminator and the measurements."""
    algorithm: str
    """A key of ``ALGORITHMS``, or ``"module:function"``."""
    settings: Mapping[str, Any]
    """All settings of the algorithm."""
    budget: Budget
    """The limits."""
    axes: Mapping[str, str]
    """The name on each of ``AXES``."""

    @cached_property
    def key(self) -> str:
        """The hash of everything that decides the result."""
        own = {"algorithm": self.algorithm, "settings": dict(self.settings), "budget": dataclasses.asdict(self.budget)}
        return hashed({**own, "config": identity(self.config)})

    @property
    def header(self) -> dict[str, Any]:
        """The beginning of its result: everything that is known before it is run."""
        return {
            "key": self.key,
            "axes": dict(self.axes),
            "seed": self.config.seed,
            "settings": dict(self.settings),
            "budget": dataclasses.asdict(self.budget),
            "config": self.config.to_dict(),
        }

    def with_seed(self, seed: int) -> Cell:
        """The same run with another seed."""
        return dataclasses.replace(self, config=with_seed(self.config, seed))

    def with_names(self, **names: str) -> Cell:
        """The same run by other names on some of the axes."""
        return dataclasses.replace(self, axes={**self.axes, **names})


def build_cell(
    run: RunConfig, algorithm: str, given: Mapping[str, Any], budget: Budget, axes: Mapping[str, str]
) -> Cell:
    """A cell, without the settings that do not matter to its algorithm.

    Args:
        run: the task with its reward, shaping and discriminator, and the other parts.
        algorithm: its name.
        given: its settings that are not the defaults.
        budget: the limits.
        axes: the names on all axes but that of the settings.

    Raises:
        ValueError: an unknown name or setting, or a combination that cannot work.
    """
    entry = algorithm_entry(algorithm)
    settings = entry.complete(given, run, algorithm)
    axes = {**axes, "algorithm": algorithm, "settings": listed(dict(sorted(given.items())))}
    if entry.plays == "any":
        _check_reward(entry, algorithm, run)
        is_seqgan = algorithm == "seqgan"
        agent = seqgan_agent(run, settings) if is_seqgan else AgentConfig(n_episodes=run.agent.n_episodes)
        run = dataclasses.replace(run, agent=agent)
    else:
        run = _without_reward(run, "log_d" if entry.plays == "discriminator" else "constant")
        axes |= {"reward": IRRELEVANT, "shaping": IRRELEVANT}
    if not run.is_adversarial:
        run = _without_discriminator(run)
        axes |= {"discriminator": IRRELEVANT}
    if budget.steps is None and entry.plays == "none":
        raise ValueError(f"algorithm {algorithm!r} scores no sequences: the budget must have steps")
    return Cell(run, algorithm, settings, budget, {name: axes[name] for name in AXES})


def _check_reward(entry: AlgorithmEntry, algorithm: str, run: RunConfig) -> None:
    """Refuse a reward that needs a likelihood which the algorithm's policy has not."""
    if run.is_exact and not entry.has_likelihood:
        raise ValueError(
            f"algorithm {algorithm!r} can't learn from the reward {run.task.reward!r} of the best possible "
            "discriminator: that needs the likelihood of its own sequences, and values of tokens have none"
        )


def _without_reward(run: RunConfig, reward: str) -> RunConfig:
    payment: dict[str, Any] = {
        "reward": reward,
        "reward_kwargs": {},
        "reward_clip": None,
        "shaping": "none",
        "shaping_kwargs": {},
    }
    task = dataclasses.replace(run.task, **payment)
    return dataclasses.replace(
        run, task=task, agent=AgentConfig(), adversary=dataclasses.replace(run.adversary, exact=False)
    )


def _without_discriminator(run: RunConfig) -> RunConfig:
    task = dataclasses.replace(run.task, **_SMALL_DISCRIMINATOR)
    return dataclasses.replace(run, task=task, adversary=AdversaryConfig(exact=run.is_exact))


def with_seed(run: RunConfig, seed: int) -> RunConfig:
    """The settings with another seed; nothing else depends on it, so nothing is checked and made complete again."""
    run = copy.copy(run)
    object.__setattr__(run, "seed", seed)
    return run


def without_game(run: RunConfig) -> RunConfig:
    """The settings that maximum likelihood depends on; the others are the same for all runs that share it."""
    return _without_discriminator(_without_reward(run, "constant"))


def without_learner(run: RunConfig) -> RunConfig:
    """The settings that the discriminator's pretraining depends on."""
    run = _without_reward(run, "log_d")
    of_game = {name: getattr(AdversaryConfig(), name) for name in ("every_n_episodes", "rounds_at_once")}
    return dataclasses.replace(run, adversary=dataclasses.replace(run.adversary, **of_game))


def identity(config: RunConfig) -> dict[str, Any]:
    """The settings without the machine's part, and with the content of a file in place of its path."""
    plain = config.to_dict()
    for name in ("device", "n_threads"):
        del plain["runtime"][name]
    for name in ("source", "held_out", "discriminator"):
        if (path := plain["task"][name]) is not None and Path(path).is_file():
            with refusal(path, name):
                plain["task"][name] = _content(path)
    return plain


def _content(path: str) -> str:
    """The hash of a file, which is read again only if it may have changed: the clock of a young one is too coarse."""
    status, now = os.stat(path), time.time_ns()
    is_young = now - max(status.st_mtime_ns, status.st_ctime_ns) < _YOUNG_NS
    return _content_of(path, status.st_mtime_ns, status.st_ctime_ns, status.st_size, now if is_young else 0)


@lru_cache(maxsize=64)
def _content_of(path: str, *state: int) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def hashed(values: Any) -> str:
    """A name for plain values: equal ones have the same."""
    text = json.dumps([_FORMAT, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _short(value: Any) -> str:
    """A value as text; six digits of a number where they tell it from all others."""
    is_short = isinstance(value, float) and float(f"{value:g}") == value
    return f"{value:g}" if is_short else str(value)


def name_with(name: str, settings: Mapping[str, Any]) -> str:
    """A name on an axis, with its settings."""
    return f"{name} ({listed(settings)})" if settings else name


def listed(settings: Mapping[str, Any]) -> str:
    """Settings as text."""
    return ", ".join(f"{name}={_short(value)}" for name, value in settings.items())
