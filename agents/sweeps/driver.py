"""Running a sweep: what is missing in its folder is done, and what an engine gives back is kept."""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.runs.workers import DeadWorkerError, Outcome, portable
from agents.sweeps.cells import Cell
from agents.sweeps.engines import Engine, LocalEngine
from agents.sweeps.folder import FAILED, Result, SweepFolder
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.progress import Progress
from agents.sweeps.spec import cells_of
from agents.sweeps.spec_file import plain
from agents.sweeps.tracking import SweepTrackers
from agents.sweeps.work import check
from seqgan_env.files import one_line

MAX_ATTEMPTS = 3
"""The processes that may die of one piece of work before it counts as failed."""
_POLL_S = 1.0


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
        track: keys of ``agents.runs.trackers.TRACKERS``, which are told each run when it ends, and those that are done.
        progress: show a table on the terminal.

    Returns:
        The results of all runs in the folder, as in ``results.jsonl``, those that failed among them.

    Raises:
        ValueError: the specification, a combination, the folder, the engine or a tracker cannot be what is asked;
            nothing has been done then.
        OSError: the disk is full, or the like; what is done is kept.
    """
    spec = plain(spec)
    folder, nodes = SweepFolder(out), graph_of(cells_of(spec))
    folder.check(nodes)
    trackers = SweepTrackers(folder.path, track)
    with engine or LocalEngine(1) as using:
        _check_all([node.work for node in nodes if isinstance(node.work, Cell) and not folder.is_done(node)])
        with folder.lock():
            folder.begin(spec)
            missing = [node for node in nodes if not folder.is_done(node)]
            try:
                for result in folder.runs():
                    trackers.tell(result)
                with Progress(nodes, missing, using.n_slots, shown=progress) as table:
                    _Schedule(folder, missing, using, table, trackers).run()
            finally:
                results = folder.gather()
    return results


def _check_all(cells: Sequence[Cell]) -> None:
    """Build each combination once, whatever its seed, so that one that cannot work is found before work starts."""
    seen = set()
    for cell in cells:
        key = dataclasses.replace(cell, config=dataclasses.replace(cell.config, seed=0)).key
        if key not in seen:
            seen.add(key)
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
    ) -> None:
        self._folder, self._engine, self._table, self._trackers = folder, engine, table, trackers
        self._nodes = {node.id: node for node in missing}
        self._waiting = list(missing)
        self._running: set[Any] = set()
        self._n_attempts: dict[Any, int] = {}

    def run(self) -> None:
        """Do everything."""
        while self._waiting or self._running:
            left = {node.id for node in self._waiting} | self._running
            ready = [node for node in self._waiting if not left.intersection(node.needs)]
            for node in ready[: max(0, self._engine.n_slots - len(self._running))]:
                self._begin(node)
            for outcome in self._engine.wait(_POLL_S):
                self._running.discard(outcome.key)
                self._end(self._nodes[outcome.key], outcome)
            self._table.refresh()

    def _begin(self, node: Node) -> None:
        self._waiting.remove(node)
        self._running.add(node.id)
        self._n_attempts[node.id] = self._n_attempts.get(node.id, 0) + 1
        self._engine.submit(node, *map(self._folder.read, node.needs))
        self._table.begun(node)

    def _end(self, node: Node, outcome: Outcome) -> None:
        """Keep what has been done; of what could not be done, keep why, for all that needs it too."""
        error = outcome.error
        if error is None:
            self._folder.write(node, outcome.result)
            if isinstance(node.work, Cell):
                self._trackers.tell(json.loads(outcome.result))
        elif isinstance(error, DeadWorkerError) and self._n_attempts[node.id] < MAX_ATTEMPTS:
            self._waiting.insert(0, node)
        else:
            self._fail(node, one_line(str(error) or type(error).__name__), "".join(traceback.format_exception(error)))
        if node not in self._waiting:
            self._table.ended(node, None if error is None else str(error))

    def _fail(self, node: Node, reason: str, trace: str) -> None:
        if isinstance(node.work, Cell):
            failure = {**node.work.header, "status": FAILED, "error": reason, "traceback": trace}
            self._folder.write(node, json.dumps(failure).encode())
        for other in [other for other in self._waiting if node.id in other.needs]:
            self._waiting.remove(other)
            self._fail(other, f"its {node.kind} failed: {reason}", trace)
            self._table.ended(other, reason)
