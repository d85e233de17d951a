"""The settings of a run that may be others when it goes on: those that its past does not depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.runs.config import RunConfig
from agents.runs.folder import Record, check_same
from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE
from seqgan_env.sources import NAMED_SOURCES


def check_settings(
    stored: RunConfig, given: RunConfig, what: str, *, n_updates: int = 0, knows_source: bool = False
) -> None:
    """Refuse settings with which a run cannot go on.

    Those of the machine may be others. So may the source, if it is known by its content, and the number of updates, if
    no step size depends on it.

    Args:
        stored: the settings that the run had.
        given: those that it is to go on with.
        what: the run, for an error.
        n_updates: policy-gradient updates that have been made.
        knows_source: whether the source's content is compared too, so that its path does not matter.

    Raises:
        ValueError: another setting differs, or more updates have been made than are asked for.
    """
    free = {"runtime.device", "runtime.n_threads"}
    if knows_source and given.task.source not in NAMED_SOURCES:
        free |= {"task.source", "task.held_out"}
    if stored.agent.final_learning_rate is None:
        free.add("agent.n_updates")
    check_same(stored.to_dict(), given.to_dict(), what, free)
    if given.agent.n_updates < n_updates:
        raise ValueError(
            f"{what} has made {n_updates} updates; agent.n_updates must be at least that, got {given.agent.n_updates}"
        )


def with_free_settings(stored: RunConfig, given: RunConfig) -> RunConfig:
    """Settings with those of a run where the two may differ."""
    runtime = dataclasses.replace(given.runtime, device=stored.runtime.device, n_threads=stored.runtime.n_threads)
    return dataclasses.replace(
        given,
        task=dataclasses.replace(given.task, source=stored.task.source, held_out=stored.task.held_out),
        agent=dataclasses.replace(given.agent, n_updates=stored.agent.n_updates),
        runtime=runtime,
    )


def without_end(records: Sequence[Record], every: int) -> list[Record]:
    """The records that a run has made so far whatever its number of updates is.

    Args:
        records: its evaluations.
        every: updates between two of them.
    """
    return [
        record
        for record in records
        if record["phase"] != FINAL_TEMPERATURE and not (record["phase"] == ADVERSARIAL and record["step"] % every)
    ]
