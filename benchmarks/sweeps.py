"""The cost of a sweep beside its learning.

``python -m benchmarks.sweeps run`` measures it and writes ``benchmarks/results/sweeps.json``; ``... report`` writes the
table of ``docs/sweeps.md`` from it. Only a machine that does nothing else gives times that mean something.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.runs.report import markdown_table
from agents.runs.workers import Outcome, Workers
from agents.sweeps import run_sweep
from agents.sweeps.cells import Cell
from agents.sweeps.engines import build_engine
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.spec import Resources, cells_of
from agents.sweeps.work import check, do
from benchmarks.harness import RESULTS, begin_results, command_line, measured_with, write_results
from benchmarks.pages import DOCS, write_section
from seqgan_env.checks import PositiveInt

FILE = RESULTS / "sweeps.json"
PAGE = DOCS / "sweeps.md"
SPEC: dict[str, Any] = {
    "task": ["SeqGANTiny-v0"],
    "algorithm": ["random"],
    "budget": {"steps": 1, "evaluations": 1},
    "run": {"pretraining": {"n_epochs": 1}, "evaluation": {"n": 20}},
}
"""The smallest sweep, whose runs learn nothing."""
REAL_TASK = "SeqGANGrammar-v0"
"""A task of a usual size."""

_NOTHING = {"steps": 0, "scored": 0, "wall_time_s": 0.0}


class InstantEngine:
    """An engine for which all work is done already."""

    n_slots = 1000

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def __enter__(self) -> InstantEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing is left to be ended."""

    def submit(self, node: Node, *inputs: bytes) -> None:
        """End the piece of work with a result of one record."""
        output = b"PK\5\6" + bytes(18)  # a checkpoint: an empty archive
        if isinstance(node.work, Cell):
            output = json.dumps(
                {**node.work.header, "status": "done", "records": [dict(_NOTHING)], **_NOTHING, "start": {}}
            ).encode()
        self._outcomes.append(Outcome(node.id, output, None))

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The pieces of work since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes


def measure(n: int, work: Callable[[], object]) -> dict[str, float]:
    """The time of a part, ms, of this process's processors and of the clock.

    Args:
        n: the pieces that ``work`` does.
        work: does them.
    """
    began = time.process_time(), time.perf_counter()
    work()
    ended = time.process_time(), time.perf_counter()
    return {name: 1e3 * (b - a) / n for name, a, b in zip(("processor", "clock"), began, ended, strict=True)}


def run(
    engines: tuple[str, ...] = ("local",),
    address: str | None = None,
    runs: PositiveInt = 1000,
    repeats: PositiveInt = 50,
    results: Path = FILE,
) -> None:
    """Measure, and write the results.

    Args:
        engines: "local", "ray", or both.
        address: of the cluster of Ray.
        runs: of the driver's sweep.
        repeats: of everything else.
        results: the JSON file.
    """
    begin_results(results)
    write_results(results, {"runs": runs, "repeats": repeats, "parts": parts(engines, address, runs, repeats)})


def parts(engines: tuple[str, ...], address: str | None, runs: int, repeats: int) -> dict[str, dict[str, float]]:
    """The time of each part; see ``run``."""
    pretraining, node = graph_of(cells_of(SPEC))
    of_real, real = graph_of(cells_of({**SPEC, "task": [REAL_TASK]}))
    cell = node.work
    assert isinstance(cell, Cell)
    output, of_real_output = do(pretraining), do(of_real)
    many = {**SPEC, "seeds": list(range(runs))}

    def repeat(work: Callable[[], object]) -> dict[str, float]:
        return measure(repeats, lambda: [work() for _ in range(repeats)])

    with TemporaryDirectory() as folder:
        made = {
            f"the driver: a run and its pretraining, planned, begun, written and gathered, {runs} of them": measure(
                runs, lambda: run_sweep(many, folder, engine=InstantEngine(), progress=False)
            ),
            "the driver: the check of a combination before work starts": repeat(lambda: check(cell)),
            "a run: building the game, loading what it begins with, measuring": repeat(lambda: do(node, output)),
            f"the same with {REAL_TASK}": repeat(lambda: do(real, of_real_output)),
            "the same as the first run of a process of the engine local": first_runs(
                max(1, repeats // 10), real, of_real_output
            ),
        }
    for name in engines:
        with build_engine(name, 1, address if name == "ray" else None, Resources()) as engine:
            _through(engine, node, output)  # which starts a process
            part = f"the engine {name}: sending a run, doing it and fetching its result"
            made[part] = repeat(lambda engine=engine: _through(engine, node, output))  # type: ignore[misc]
    return made


def first_runs(n: int, node: Node, output: bytes) -> dict[str, float]:
    """The time of a run in a new process and of starting that, ms, of that process's processors and of the clock.

    Args:
        n: runs; before them the modules are loaded that each such process has from its beginning.
        node: the run.
        output: what it begins with.
    """
    times = [_first_run(node, output) for _ in range(1 + n)][1:]
    return {name: 1e3 * sum(each[name] for each in times) / n for name in times[0]}


def _first_run(node: Node, output: bytes) -> dict[str, float]:
    began = time.perf_counter()
    with Workers[str](1) as workers:
        workers.submit("run", _do_alone, node, output)
        (outcome,) = workers.wait()
    if outcome.error is not None:
        raise outcome.error
    return {"processor": outcome.result, "clock": time.perf_counter() - began}


def _do_alone(node: Node, output: bytes) -> float:
    """Do a run; the seconds of the processor since the process began."""
    do(node, output)
    return time.process_time()


def report() -> None:
    """Write the table into the docs."""
    write_section(PAGE, "sweeps", FILE, tables)


def tables(document: Mapping[str, Any]) -> str:
    """The times of all parts, and where they come from."""
    rows = {
        part: {f"{name}, ms": f"{ms:.1f}" for name, ms in times.items()} for part, times in document["parts"].items()
    }
    titles = list(next(iter(rows.values())))
    return f"{markdown_table(rows, titles, first='part')}\n{measured_with(document['environment'])}.\n"


def _through(engine: Any, node: Node, output: bytes) -> None:
    engine.submit(node, output)
    while not (ended := engine.wait(1.0)):
        pass
    (outcome,) = ended
    if outcome.error is not None:
        raise outcome.error


if __name__ == "__main__":
    command_line("sweeps", {"run": run, "report": report})
