"""The cost of a sweep beside its learning.

    python -m benchmarks.sweeps
    python -m benchmarks.sweeps --engine ray

The time is that of this process's processors, and that on the clock in brackets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from agents.runs.workers import Outcome
from agents.sweeps import run_sweep
from agents.sweeps.cells import Cell
from agents.sweeps.engines import build_engine
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.spec import Resources, cells_of
from agents.sweeps.work import check, do

SPEC: dict[str, Any] = {
    "task": ["SeqGANTiny-v0"],
    "algorithm": ["random"],
    "budget": {"steps": 1, "evaluations": 1},
    "run": {"pretraining": {"n_epochs": 1}, "evaluation": {"n": 20}},
}
"""The smallest sweep, whose runs learn nothing."""


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
        output = b"a checkpoint"
        if isinstance(node.work, Cell):
            output = json.dumps({**node.work.header, "status": "done", "records": [{"steps": 0}]}).encode()
        self._outcomes.append(Outcome(node.id, output, None))

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The pieces of work since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes


class Stopwatch:
    """The seconds of this process's processors and of the clock since it was made."""

    def __init__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def show(self, what: str, n: int) -> None:
        """Print the milliseconds of each of ``n``."""
        of_process, of_clock = time.process_time() - self._began[0], time.perf_counter() - self._began[1]
        print(f"{what}: {1e3 * of_process / n:.1f} ms ({1e3 * of_clock / n:.1f})")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--address")
    parser.add_argument("--runs", type=int, default=1000, help="of the driver's sweep")
    parser.add_argument("--repeats", type=int, default=50, help="of everything else")
    given = parser.parse_args(arguments)
    pretraining, run = graph_of(cells_of(SPEC))
    assert isinstance(run.work, Cell)
    output = do(pretraining)
    with TemporaryDirectory() as folder:
        watch = Stopwatch()
        run_sweep({**SPEC, "seeds": list(range(given.runs))}, folder, engine=InstantEngine(), progress=False)
        watch.show(f"the driver, a run of {given.runs} and its pretraining", given.runs)
    watch = Stopwatch()
    for _ in range(given.repeats):
        check(run.work)
    watch.show("the driver, the check of a combination", given.repeats)
    watch = Stopwatch()
    for _ in range(given.repeats):
        do(run, output)
    watch.show("a run, without learning", given.repeats)
    with build_engine(given.engine, 1, given.address, Resources()) as engine:
        _through(engine, run, output)
        watch = Stopwatch()
        for _ in range(given.repeats):
            _through(engine, run, output)
        watch.show(f"the engine {given.engine}, such a run one after another", given.repeats)


def _through(engine: Any, run: Node, output: bytes) -> None:
    engine.submit(run, output)
    while not (ended := engine.wait(1.0)):
        pass
    (outcome,) = ended
    if outcome.error is not None:
        raise outcome.error


if __name__ == "__main__":
    main()
