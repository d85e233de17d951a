"""Running a sweep: what is missing in its folder is done, and what an engine gives back is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import json
import math
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from agents.runs.workers import DeadWorkerError, Outcome, portable
from agents.sweeps.cells import Cell
from agents.sweeps.engines import Engine, LocalEngine
from agents.sweeps.folder import DONE, FAILED, Result, SweepFolder
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.progress import Progress
from agents.sweeps.spec import Plan
from agents.sweeps.spec_file import plain
from agents.sweeps.tracking import SweepTrackers
from agents.sweeps.work import check
from seqgan_env.files import one_line
from seqgan_env.metrics import columns

MAX_ATTEMPTS = 3
"""The processes that may die of one piece of work before it counts as failed."""
_POLL_S = 1.0
_Failures = dict[tuple[str, str], tuple[str, str]]
"""The reason and the trace of each piece of work that failed, by its ``id``."""


def run_sweep(
    spec: Mapping[str, Any],
    out: str | Path,
    *,
    engine: Engine | None = None,
    track: Sequence[str] = (),
    progress: bool = True,
) -> list[Result]:
    """Do the runs of a sweep that are not done yet.

    Args:
        spec: the tables of its file; it may be wider than that of an earlier call.
        out: the folder of the sweep; it is made if it is not there.
        engine: does the work; None is one process of this machine.
        track: keys of ``agents.runs.trackers.TRACKERS``, which are told each run while it plays, and those that are
            done.
        progress: show a table on the terminal.

    Returns:
        The results of the runs that the specification means, as in ``results.jsonl``, those that failed among them.
        Runs of earlier calls that it does not mean stay in the folder.

    Raises:
        ValueError: the specification, a combination, the folder, the engine or a tracker cannot be what is asked;
            nothing has been done then.
        OSError: the disk is full, or the like; what is done is kept.
    """
    spec, folder = plain(spec), SweepFolder(out)
    failures: _Failures = {}
    plan, score = Plan(spec), _Scores(folder, failures)
    nodes = graph_of(plan.cells(score))
    folder.check(nodes)
    trackers = SweepTrackers(folder.path, track)
    with engine or LocalEngine(1) as using:
        _check_all([node.work for node in nodes if isinstance(node.work, Cell) and not folder.is_done(node)])
        with folder.lock():
            folder.begin(spec, nodes)
            missing = [node for node in nodes if not folder.is_done(node)]
            try:
                for result in folder.runs():
                    if result["status"] == DONE:
                        trackers.tell(result)
                with Progress(nodes, missing, using.n_slots, shown=progress) as table:
                    while missing:
                        _Schedule(folder, missing, using, table, trackers, failures).run()
                        more = graph_of(plan.cells(score))
                        nodes += more
                        folder.begin(spec, nodes)
                        missing = [node for node in more if node.id not in failures and not folder.is_done(node)]
                        table.add(missing)
            except BaseException:
                with contextlib.suppress(OSError, ValueError):  # as of a full disk, which would hide the reason
                    folder.gather()
                raise
            return folder.gather()


class _Scores:
    """The scores of runs, as a search of a sweep asks for them.

    Args:
        folder: of the sweep.
        failures: of this command; what an earlier one failed at is tried again.
    """

    def __init__(self, folder: SweepFolder, failures: _Failures) -> None:
        self._folder, self._failures = folder, failures

    def __call__(self, cell: Cell, metric: str) -> float | None:
        """See ``Score``."""
        result = self._folder.result(cell.key)
        if result is None or result["status"] == FAILED:
            return math.inf if ("run", cell.key) in self._failures else None
        value = float(result["records"][-1].get(metric, math.nan))
        return -value if columns()[metric].better == "higher" else value


def _check_all(cells: Sequence[Cell]) -> None:
    """Build each combination once, whatever its seed, so that one that cannot work is found before work starts."""
    for cell in {repr(cell.with_seed(0)): cell for cell in cells}.values():
        _check(cell)


def _check(cell: Cell) -> None:
    try:
        check(cell)
    except (Exception, SystemExit) as error:  # of a library too, as an assertion
        reason = str(portable(error)) or type(error).__name__
        raise ValueError(one_line(f"{', '.join(filter(None, cell.axes.values()))}: {reason}")) from error


class _Schedule:
    """The pieces of work that are left, in order."""

    def __init__(
        self,
        folder: SweepFolder,
        missing: Sequence[Node],
        engine: Engine,
        table: Progress,
        trackers: SweepTrackers,
        failures: _Failures,
    ) -> None:
        self._folder, self._engine, self._table, self._trackers = folder, engine, table, trackers
        self._failures = failures  # of earlier schedules too: work that needs one of them may come later
        self._missing = list(missing)
        self._places = {node.id: place for place, node in enumerate(missing)}
        self._order = TopologicalSorter({node.id: self._places.keys() & node.needs for node in missing})
        self._order.prepare()
        self._ready: list[int] = []  # places, as a heap
        self._n_running = 0
        self._n_attempts: Counter[Any] = Counter()

    def run(self) -> None:
        """Do everything, of what can be done the first before the others."""
        while self._order.is_active():
            for node_id in self._order.get_ready():
                heapq.heappush(self._ready, self._places[node_id])
            while self._ready and self._n_running < self._engine.n_slots:
                self._begin(self._missing[heapq.heappop(self._ready)])
            for outcome in self._engine.wait(_POLL_S) if self._n_running else ():
                self._n_running -= 1
                self._end(self._missing[self._places[outcome.key]], outcome)
            self._table.refresh()

    def _begin(self, node: Node) -> None:
        if failed := [need for need in node.needs if need in self._failures]:
            reason, trace = self._failures[failed[0]]
            self._fail(node, f"its {failed[0][0]} failed: {reason}", trace)
        else:
            self._n_running += 1
            self._n_attempts[node.id] += 1
            tracking = self._trackers.of(node.key) if isinstance(node.work, Cell) else None
            submitted = dataclasses.replace(node, tracking=tracking)
            self._engine.submit(submitted, *map(self._folder.read, node.needs))
            self._table.begun(node)

    def _end(self, node: Node, outcome: Outcome) -> None:
        """Keep what has been done; of what could not be done, keep why, for all that needs it too."""
        error = outcome.error
        if error is None:
            self._folder.write(node, outcome.result)
            if isinstance(node.work, Cell):
                self._trackers.tell(json.loads(outcome.result))
            self._done(node)
        elif isinstance(error, DeadWorkerError) and self._n_attempts[node.id] < MAX_ATTEMPTS:
            heapq.heappush(self._ready, self._places[node.id])
        else:
            self._fail(node, one_line(str(error) or type(error).__name__), "".join(traceback.format_exception(error)))

    def _fail(self, node: Node, reason: str, trace: str) -> None:
        if isinstance(node.work, Cell):
            failure = {**node.work.header, "status": FAILED, "error": reason, "traceback": trace}
            self._folder.write(node, json.dumps(failure).encode())
        self._failures[node.id] = reason, trace
        self._done(node, reason)

    def _done(self, node: Node, error: str | None = None) -> None:
        self._order.done(node.id)
        self._table.ended(node, error)
