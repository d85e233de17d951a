"""The results of a sweep by task, and the scores by which runs are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from agents.runs.folder import Record
from agents.sweeps.cells import AXES, IRRELEVANT
from agents.sweeps.folder import DONE, Result
from seqgan_env.metrics import columns

ALL_TASKS = "all tasks"


class Group(NamedTuple):
    """The runs of a task, or of all tasks."""

    name: str
    """The task."""
    runs: dict[str, list[Result]]
    """Those that are done, by the name that tells them apart, over the seeds."""
    is_relative: bool
    """Whether scores are shares of the pretrained generator's, since those of different tasks are of different size."""

    def strata(self, runs: Sequence[Result], metric: str) -> dict[str, list[float]]:
        """The final scores of some runs by task, in the order of their names, so that lower is better.

        Args:
            runs: of the group.
            metric: a column of a metric; runs that lack it are left out.
        """
        sign = -1.0 if columns()[metric].better == "higher" else 1.0
        by_task: dict[str, list[float]] = {}
        for run in runs:
            if (value := score(run, run["records"][-1], metric, relative=self.is_relative)) is not None:
                by_task.setdefault(run["axes"]["task"], []).append(sign * value)
        return dict(sorted(by_task.items()))


def score(run: Result, record: Record, metric: str, *, relative: bool) -> float | None:
    """A measurement of a run, or None where it has none.

    Args:
        run: the run.
        record: of its measurements.
        metric: the column.
        relative: as a multiple of the pretrained generator's: 1 is no change, 0 nothing left of it.
    """
    value, start = record.get(metric, math.nan), run["start"].get(metric) or math.nan if relative else 1.0
    return value / start if math.isfinite(value / start) else None


def groups_of(results: Sequence[Result]) -> list[Group]:
    """The groups: one for each task, and where there are several tasks one of all.

    Runs are called by their names on the axes on which there are several.

    Args:
        results: of the sweep.
    """
    done = [result for result in results if result["status"] == DONE]
    names = {axis: {_axis(result, axis) for result in done} for axis in AXES if axis != "task"}
    varied = [axis for axis, own in names.items() if len(own - {""}) > (axis not in ("settings", "variant"))]
    tasks = sorted({result["axes"]["task"] for result in done})
    groups = [(task, [result for result in done if result["axes"]["task"] == task]) for task in tasks]
    if len(tasks) > 1:
        groups.append((ALL_TASKS, done))
    made = []
    for name, own in groups:
        runs: dict[str, list[Result]] = {}
        for result in own:
            label = ", ".join(filter(None, (_axis(result, axis) for axis in varied))) or result["axes"]["algorithm"]
            runs.setdefault(label, []).append(result)
        made.append(Group(name, runs, name == ALL_TASKS))
    return made


def _axis(result: Result, axis: str) -> str:
    name = str(result["axes"].get(axis, ""))
    return "" if name == IRRELEVANT else name
