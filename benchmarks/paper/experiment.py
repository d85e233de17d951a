"""The experiment itself: every row on the oracle, at one of two sizes."""

from __future__ import annotations

from pathlib import Path

from agents.runs.folder import check_same
from benchmarks.harness import RESULTS, begin_results, check_some, in_order, write_results
from benchmarks.paper.grid import Cell, Grid, check_oracle
from benchmarks.paper.rows import ROWS, SIZES
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
        ValueError: an unknown size or row, no oracle, or rows in ``out`` or in the file were measured otherwise;
            nothing has been done then.
    """
    check_choice("size", size, SIZES)
    check_some("rows", rows, ROWS)
    check_oracle(oracle)
    numbers = list(range(1, 1 + seeds))
    measured = {"seeds": numbers, "oracle": Path(oracle).name, "n": n, "config": SIZES[size].base.to_dict()}
    before = begin_results(results)
    with refusal(results, "file of results of the paper's experiment"):
        sizes = dict(before["sizes"]) if before else {}
        staying = {row: each for row, each in sizes[size]["rows"].items() if row not in rows} if size in sizes else {}
        theirs = {name: sizes[size][name] for name in measured} if staying else measured
    check_same(theirs, measured, f"{results}, in which the rows {'; '.join(staying)} stay,")
    found = Grid(SIZES[size], oracle, out / size, n).measure(rows, numbers, workers)
    every = staying | {row: [found[Cell(row, seed)] for seed in numbers] for row in rows}
    sizes[size] = {**measured, "rows": in_order(every, ROWS)}
    write_results(results, {"sizes": in_order(sizes, SIZES)})
