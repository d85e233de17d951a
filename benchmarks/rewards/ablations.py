"""The parts of SeqGAN one at a time, from the small generator of the menu."""

from __future__ import annotations

from typing import Any

from agents.runs.config import Parts
from benchmarks.rewards.menu import BASE
from benchmarks.rewards.study import Study


def _agent(**fields: Any) -> Parts:
    return {"agent": fields}


def _adversary(**fields: Any) -> Parts:
    return {"adversary": fields}


def _members(n: int) -> Parts:
    return {
        "task": {
            "discriminator": "ensemble",
            "discriminator_kwargs": {"n_members": n, "kwargs": BASE.task.discriminator_kwargs},
        }
    }


_PLAIN = {"baseline": "none", "normalize_advantage": False}
_HALF = "Cross-fitting, maximum likelihood on half of the sentences"
_ONLY_HALF = "The same with half of the sentences for both"
GROUPS: dict[str, dict[str, Parts]] = {
    "Completions of each prefix": {f"N = {n}": _agent(n_completions=n) for n in (1, 4, 16, 64)},
    "The policy of the completions": {
        "live": {},
        "lag 0.8, as in the paper": _agent(rollout_lag=0.8),
        "lag 0.95": _agent(rollout_lag=0.95),
    },
    "Baseline": {
        "each prefix": {},
        "each step": _agent(baseline="step"),
        "batch": _agent(baseline="batch"),
        "learned": _agent(baseline="learned"),
        "none": _agent(baseline="none"),
        "none, advantages as they are": _agent(**_PLAIN),
        "none, reward D, as in the paper": {"task": {"reward": "d"}, **_agent(**_PLAIN)},
    },
    "Reward": {name: {"task": {"reward": name}} for name in ("log_d", "d", "neg_log_one_minus_d", "log_ratio")},
    "Training of the discriminator": {
        "fixed after its pretraining": _adversary(every_n_episodes=1_000_000_000),
        "a round every 4 updates": _adversary(every_n_episodes=512),
        "a round an update": {},
        "four rounds an update": _adversary(rounds_at_once=4),
        "sixteen rounds an update": _adversary(rounds_at_once=16),
        "no pretraining": _adversary(n_rounds=0),
    },
    "Members of an ensemble": {"1 cnn": {}, **{f"{n} cnn": _members(n) for n in (3, 10)}},
    _HALF: {
        "the discriminator learns from all": {},
        "the discriminator learns from the other half": _adversary(skip_real=0.5),
    },
    _ONLY_HALF: {"the discriminator learns from the same half": {}},
    "A longer game": {
        "100 updates, a round each": {},
        "200 updates, a round each": _agent(n_updates=200),
        "800 updates, a round each": _agent(n_updates=800),
        "200 updates, sixteen rounds each": {**_agent(n_updates=200), **_adversary(rounds_at_once=16)},
    },
}
"""The games by group and name: the parts in which each differs from the base."""

ABLATIONS = Study(
    "ablations",
    BASE,
    GROUPS,
    {_HALF: {"pretraining": {"real_share": 0.5}}, _ONLY_HALF: {"task": {"n_real": BASE.task.n_real // 2}}},
)
