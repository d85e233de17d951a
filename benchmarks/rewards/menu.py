"""Every reward, shaping and kind of discriminator, and ways of the agent, from one small generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agents.runs.config import EvaluationConfig, Parts
from benchmarks.rewards.games import SCENARIOS
from benchmarks.rewards.study import Study

_SMALL = SCENARIOS["small generator"].config
BASE = dataclasses.replace(
    _SMALL,
    adversary=dataclasses.replace(_SMALL.adversary, n_rounds=30),
    agent=dataclasses.replace(_SMALL.agent, n_updates=100),
    evaluation=EvaluationConfig(every=20, n=2_000),
)
"""The small generator after the strongest maximum likelihood, with fewer updates than in ``SCENARIOS``."""


def _reward(name: str, **settings: Any) -> Parts:
    return {"task": {"reward": name, "reward_kwargs": settings}}


def _shaped(*names: str, reward: str = "log_d", **settings: Mapping[str, Any]) -> Parts:
    return {"task": {"reward": reward, "shaping": list(names), "shaping_kwargs": settings}}


def _judged(kind: str, settings: Mapping[str, Any] = MappingProxyType({}), **task: Any) -> Parts:
    return {"task": {"reward": "log_ratio", "discriminator": kind, "discriminator_kwargs": settings, **task}}


def _trained(loss: str, penalty: float = 0.0) -> Parts:
    return {**_reward("log_ratio"), "adversary": {"loss": loss, "gradient_penalty": penalty}}


_WHOLE = {"n_completions": 0, "baseline": "batch", "n_episodes": 512}
_CNN = _SMALL.task.discriminator_kwargs
_LIKELIHOODS = {"n_members": 1, "dropout": 0.2, "n_epochs": 8, "learning_rate": 0.01, "validation": 0.0}

GROUPS: dict[str, dict[str, Parts]] = {
    "Rewards of the discriminator": {
        "log_d": {},
        "neg_log_one_minus_d": _reward("neg_log_one_minus_d"),
        "d": _reward("d"),
        "centered": _reward("centered"),
        "log_ratio": _reward("log_ratio"),
        "relativistic": _reward("relativistic"),
        "rank": _reward("rank"),
        "both_divergences": _reward("both_divergences"),
        "composite: log_d and bleu": _reward("composite", weights=[["log_d", 1.0], ["bleu", 1.0]]),
    },
    "Divergences, by the same discriminator": {
        f"f_divergence: {name}": _reward("f_divergence", divergence=name)
        for name in (
            "forward_kl",
            "reverse_kl",
            "jensen_shannon",
            "total_variation",
            "chi_squared",
            "squared_hellinger",
        )
    },
    "Rewards without a discriminator that learns": {
        "constant": _reward("constant"),
        "random": _reward("random"),
        "bleu": _reward("bleu"),
        "oracle": _reward("oracle"),
        "exact_log_ratio": _reward("exact_log_ratio"),
    },
    "Shapings, beside log_d": {
        "discriminator": _shaped("discriminator"),
        "increments": _shaped("increments"),
        "prefix, with centered, 512 episodes": {
            **_shaped("prefix", reward="centered"),
            "agent": {**_WHOLE, "baseline": "step"},
        },
        "length +0.05": _shaped("length", length={"weight": 0.05}),
        "length -0.05": _shaped("length", length={"weight": -0.05}),
        "repetition": _shaped("repetition"),
    },
    "Kinds of discriminator, with log_ratio": {
        "three cnn": _judged("ensemble", {"kwargs": _CNN}),
        "gru": _judged("gru", {"dropout": 0.3}),
        "transformer": _judged("transformer", {"dropout": 0.3}),
        "causal": _judged("causal", {"dropout": 0.3}),
        "causal, shaped by its own potential": _judged("causal", {"dropout": 0.3}, shaping="discriminator"),
        "log_ratio": _judged("log_ratio", {"dropout": 0.3}),
        "generative": {
            **_judged("generative", _LIKELIHOODS),
            "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 128},
        },
    },
    "Losses of the discriminator, with log_ratio": {
        "least_squares": _trained("least_squares"),
        "hinge": _trained("hinge"),
        "wasserstein, gradient penalty 10": _trained("wasserstein", 10.0),
        "the relativistic loss": _trained("relativistic"),
    },
    "Ways of the agent, with log_ratio": {
        "MaliGAN's weights, 512 episodes": {**_reward("log_ratio"), "agent": {**_WHOLE, "batch_statistic": "softmax"}},
        "the same without them": {**_reward("log_ratio"), "agent": _WHOLE},
        "LeakGAN's ranks": {**_reward("log_ratio"), "agent": {"batch_statistic": "rank"}},
        "a rollout policy that lags, 0.8": {**_reward("log_ratio"), "agent": {"rollout_lag": 0.8}},
        "three steps of PPO": {**_reward("log_ratio"), "agent": {"n_epochs": 3, "clip_range": 0.2}},
        "a step of teacher forcing": {**_reward("log_ratio"), "agent": {"teacher_forcing_steps": 1}},
        "temperature 1.3 in episodes": {**_reward("log_ratio"), "agent": {"exploration_temperature": 1.3}},
    },
}
"""The games by group and name: the parts in which each differs from ``BASE``."""

MENU = Study("menu", BASE, GROUPS)
