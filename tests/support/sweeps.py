"""Sweeps that take no time, and an engine that does their work in this process."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from agents.runs.workers import Outcome
from agents.sweeps.cells import Cell
from agents.sweeps.graph import Node

SPEC: dict[str, Any] = {
    "task": ["SeqGANTiny-v0"],
    "algorithm": ["seqgan"],
    "budget": {"steps": 64, "evaluations": 2},
    "run": {
        "generator": {"kwargs": {"embedding_dim": 4, "hidden_dim": 4}},
        "pretraining": {"n_epochs": 1},
        "agent": {"n_episodes": 8, "n_completions": 2},
        "adversary": {"n_rounds": 1, "n_generated": 16, "every_n_episodes": 8, "n_held_out": 0},
        "evaluation": {"n": 20},
    },
}
"""A sweep of one run, of two collections."""


def spec_with(**changes: Any) -> dict[str, Any]:
    """``SPEC`` with other tables; those of ``run`` and ``budget`` are changed key by key."""
    spec = copy.deepcopy(SPEC)
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value} if name == "run" else value
    return spec


def result_of(cell: Cell, score: float = 1.0) -> dict[str, Any]:
    """The result of a run that was never made: its divergence falls from 2 to ``score``."""
    records = [
        {"steps": 0, "scored": 0, "wall_time_s": 0.0, "kl_sum": 2.0, "nll_oracle": 3.0},
        {"steps": 64, "scored": 16, "wall_time_s": 1.0, "kl_sum": score, "nll_oracle": 1 + score},
    ]
    last = {name: records[-1][name] for name in ("steps", "scored", "wall_time_s")}
    start = {"kl_sum": 2.0, "nll_oracle": 3.0}
    return {**cell.header, "status": "done", "start": start, "records": records, **last}


def pretend(node: Node, *inputs: bytes) -> bytes:
    """The output of a piece of work that nobody did: of a checkpoint, an empty archive with the key as its comment."""
    if isinstance(node.work, Cell):
        return json.dumps(result_of(node.work)).encode()
    return b"PK\5\6" + bytes(16) + len(node.key).to_bytes(2, "little") + node.key.encode()


class HereEngine:
    """An engine that does one piece of work at a time in this process, and remembers which.

    Args:
        work: does a piece of work.
    """

    n_slots = 1

    def __init__(self, work: Callable[..., bytes] = pretend) -> None:
        self.submitted: list[Node] = []
        self.is_closed = False
        self._work, self._outcomes = work, list[Outcome]()

    def __enter__(self) -> HereEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_closed = True

    def submit(self, node: Node, *inputs: bytes) -> None:
        self.submitted.append(node)
        try:
            self._outcomes.append(Outcome(node.id, self._work(node, *inputs), None))
        except Exception as error:
            self._outcomes.append(Outcome(node.id, None, error))

    def wait(self, timeout_s: float) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    @property
    def kinds(self) -> list[str]:
        """The kinds of the pieces of work so far."""
        return [node.kind for node in self.submitted]
