"""The experiment itself: every row on the oracle, at one of two sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.runs.config import RunConfig
from agents.runs.folder import check_same, flat_settings
from benchmarks.harness import RESULTS, begin_results, check_some, in_order, write_results
from benchmarks.paper.grid import Cell, Grid, check_oracle
from benchmarks.paper.rows import ROWS, SIZES, training_of
from seqgan_env.checks import PositiveInt, check_choice
from seqgan_env.files import refusal

FILE = RESULTS / "paper.json"
N_MEASURED = 10_000
"""Sequences in each measurement of a row."""


def run(
    out: Path = Path("runs/paper"),
    size: str = "fast",
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    oracle: str = "oracle",
    rows: tuple[str, ...] = tuple(ROWS),
    n: PositiveInt = N_MEASURED,
) -> None:
    """Train every row and write the results; those of the other size, and of other rows, stay in the file.

    Args:
        out: where the runs are kept; those that are done are not done again.
        size: fast or paper.
        seeds: how many, from 1; those from 100 on are for choosing settings.
        results: the JSON file.
        workers: processes side by side.
        oracle: the file of the oracle that the literature uses; by default the project's own of the same construction.
        rows: some of ``ROWS``.
        n: sequences in each measurement.

    Raises:
        ValueError: an unknown size or row, no oracle, or rows in ``out`` or in the file were trained or measured
            otherwise; nothing has been done then.
    """
    check_choice("size", size, SIZES)
    check_some("rows", rows, ROWS)
    check_oracle(oracle)
    numbers = list(range(1, 1 + seeds))
    measured: dict[str, Any] = {
        "seeds": numbers,
        "oracle": Path(oracle).name,
        "n": n,
        "config": SIZES[size].base.to_dict(),
    }
    before = begin_results(results)
    with refusal(results, "file of results of the paper's experiment"):
        sizes = dict(before["sizes"]) if before else {}
        staying = {row: each for row, each in sizes[size]["rows"].items() if row not in rows} if size in sizes else {}
        known = sizes[size].get("training", {}) if staying else {}  # of each row that tells
        told = {row: known[row] for row in staying if row in known and row in ROWS}
        theirs = {name: sizes[size][name] for name in measured} if staying else measured
    asked = measured | {"training": {row: training_of(row, SIZES[size]) for row in told}}
    later = _later(theirs["config"], measured["config"])
    what = f"{results}, in which the rows {'; '.join(staying)} stay,"
    check_same(theirs | {"training": told}, asked, what, {f"config.{name}" for name in later})
    found = Grid(SIZES[size], oracle, out / size, n).measure(rows, numbers, workers)
    every = staying | {row: [found[Cell(row, seed)] for seed in numbers] for row in rows}
    training = told | {row: training_of(row, SIZES[size]) for row in rows}
    sizes[size] = {**measured, "training": in_order(training, ROWS), "rows": in_order(every, ROWS)}
    write_results(results, {"sizes": in_order(sizes, SIZES)})


def _later(stored: Mapping[str, Any], given: Mapping[str, Any]) -> set[str]:
    """The settings that came after a file was written and are as they were without them: off, as by default."""
    theirs, ours, off = flat_settings(stored), flat_settings(given), flat_settings(RunConfig().to_dict())
    return {name for name, value in ours.items() if name not in theirs and name in off and value == off[name]}
