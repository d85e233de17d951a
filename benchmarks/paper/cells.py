"""The training of each row with each seed, and its measurement, each of which is done once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.experiment import Experiment
from agents.runs.folder import RunFolder, check_same
from agents.runs.phases import ADVERSARIAL, TEMPERATURES
from agents.runs.workers import side_by_side
from agents.sweeps.environment import describe
from benchmarks.distillation import fit
from benchmarks.harness import RESULTS, begin_results, check_some, keep_result, kept_result, write_results
from benchmarks.paper.rivals import RIVALS
from benchmarks.paper.rows import ROWS, SIZES, config_of
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import PositiveInt, check_choice
from seqgan_env.files import refusal
from seqgan_env.sources.oracle import LSTMOracle
from seqgan_env.task import Task

FILE = RESULTS / "paper.json"
N_MEASURED = 10_000
"""Sequences in each measurement of a row."""


class Cell(NamedTuple):
    """One row with one seed."""

    row: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file and its folder."""
        plain = "".join(c if c.isalnum() else "-" for c in self.row)
        return f"{self.seed}/{plain}"


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
    numbers = list(range(1, 1 + seeds))
    config = SIZES[size].base.to_dict()
    measured = {"seeds": numbers, "oracle": Path(oracle).name, "n": n, "config": config}
    asked = {"oracle": _known(oracle), "n": n, "config": config}
    before = begin_results(results)
    with refusal(results, "file of results of the paper's experiment"):
        sizes = dict(before["sizes"]) if before else {}
        staying = {row: each for row, each in sizes[size]["rows"].items() if row not in rows} if size in sizes else {}
        theirs = {name: sizes[size][name] for name in measured} if staying else measured
    check_same(theirs, measured, f"{results}, in which the rows {'; '.join(staying)} stay,")
    own = out / size
    _check_same_measurement(own, asked)
    found = measure(own, size, numbers, workers, oracle, rows, n)
    every = staying | {row: [found[Cell(row, seed)] for seed in numbers] for row in rows}
    sizes[size] = {**measured, "rows": {row: every[row] for row in ROWS if row in every}}
    write_results(results, {"sizes": {name: sizes[name] for name in SIZES if name in sizes}})


def _known(oracle: str) -> str:
    """The name of an oracle that stays when its file is moved: the hash of its parameters."""
    if oracle == "oracle":
        return oracle
    if not oracle.endswith(".pkl"):
        raise ValueError(f"oracle must be 'oracle' or an oracle's parameter file (.pkl), got {oracle!r}")
    return str(LSTMOracle.from_file(oracle).sha256)


def _check_same_measurement(out: Path, asked: dict[str, Any]) -> None:
    """Refuse a folder whose rows were measured in another way, as they would be taken for measured in this one."""
    file = out / "measured.json"
    before = kept_result(file, asked)
    if before is None:
        out.mkdir(parents=True, exist_ok=True)
        keep_result(file, asked)
    else:
        check_same(before, asked, f"what was done in {out}")


def measure(
    out: Path, size: str, seeds: Sequence[int], workers: int, oracle: str, rows: Sequence[str], n: int
) -> dict[Cell, dict[str, Any]]:
    """Train and measure each row with each seed.

    Args:
        out: the folder of the size.
        size: a key of ``SIZES``.
        seeds: of the runs.
        workers: processes side by side.
        oracle: the source.
        rows: keys of ``ROWS``.
        n: sequences in each measurement.
    """
    left = [Cell(row, seed) for seed in seeds for row in rows if not (out / f"{Cell(row, seed).name}.json").exists()]
    starts = {(ROWS[cell.row].start, cell.seed) for cell in left}
    models = {cell.seed for cell in left if _needs_models(cell.row)}
    jobs = {(name, seed): (name, size, seed, oracle, out) for name, seed in sorted(starts)}
    side_by_side(begin, jobs, workers)
    side_by_side(learn_models, {seed: (size, seed, oracle, out) for seed in sorted(models)}, workers)
    cells = [Cell(row, seed) for seed in seeds for row in rows]
    with tqdm(desc="rows", total=len(cells)) as bar:

        def count(_: Cell) -> None:
            bar.update()

        return side_by_side(play, {cell: (cell, size, oracle, out, n) for cell in cells}, workers, count)


def _needs_models(row: str) -> bool:
    found = ROWS[row]
    return found.rival == "distillation" or found.game.get("task", {}).get("discriminator") == "generative"


def begin(name: str, size: str, seed: int, oracle: str, out: Path) -> None:
    """Do the maximum likelihood that rows start from, or what is left of it.

    Args:
        name: the ``start`` of some rows.
        size: a key of ``SIZES``.
        seed: everything random follows it.
        oracle: the source.
        out: the folder of the size.
    """
    start_of(name, size, seed, oracle, out).run(pretraining_only=True)


def start_of(name: str, size: str, seed: int, oracle: str, out: Path) -> Experiment:
    """The run of a start, as it is on the disk."""
    row = next(row for row, found in ROWS.items() if found.start == name and not found.game and not found.rival)
    folder = out / str(seed) / f"start-{name}"
    return Experiment(config_of(row, size, seed, oracle), folder, resume=RunFolder(folder).holds_run)


def learn_models(size: str, seed: int, oracle: str, out: Path) -> None:
    """Fit the language models of a seed."""
    config = config_of("distilled", size, seed, oracle)
    fit(config, models_of(seed, out), SIZES[size].models)


def models_of(seed: int, out: Path) -> Path:
    """The file of the language models of a seed."""
    return (out / str(seed) / "models.safetensors").resolve()


def play(cell: Cell, size: str, oracle: str, out: Path, n: int) -> dict[str, Any]:
    """Train a row and measure it at every temperature.

    Args:
        cell: the row and the seed.
        size: a key of ``SIZES``.
        oracle: the source.
        out: the folder of the size.
        n: sequences in each measurement.

    Returns:
        Its ``seconds`` of training after its start, its ``records`` by temperature, the ``share`` of the optimum that
        its discriminator had in the end, if it has one, and what it was measured on.
    """
    file = out / f"{cell.name}.json"
    if (done := kept_result(file, ("seconds", "share", "records", "measured on"))) is not None:
        return done
    row, seed = ROWS[cell.row], cell.seed
    config = config_of(cell.row, size, seed, oracle)
    start = start_of(row.start, size, seed, oracle, out)
    task, generator, seconds, share = start.game.task, start.game.agent.generator, 0.0, None
    if row.rival:
        seconds = train_rival(cell, start, size, out)
    elif row.game:
        task, generator, seconds, share = play_game(cell, config, start.folder.path, out)
    evaluator = Evaluator(task, generator, n, seed)
    records = [{"temperature": t, **evaluator.measure("paper", t)} for t in TEMPERATURES]
    environment = describe()
    measured_on = {name: environment[name] for name in ("processor", "gpu", "versions", "commit")}
    result = {"seconds": seconds, "share": share, "records": records, "measured on": measured_on}
    return keep_result(file, result)


def play_game(
    cell: Cell, config: RunConfig, start: Path, out: Path
) -> tuple[Task, AutoregressiveModel, float, float | None]:
    """Play a row's game, or what is left of it; the task, the generator, the seconds, the share of the optimum."""
    if config.task.discriminator == "generative":
        learned = dataclasses.replace(
            config.task, discriminator=str(models_of(cell.seed, out)), discriminator_kwargs={}
        )
        config = dataclasses.replace(config, task=learned)
    folder = out / cell.name
    resume = RunFolder(folder).holds_run
    run = Experiment(config, folder, resume=resume, start_from=None if resume else start)
    game = [r for r in run.run() if r["phase"] == ADVERSARIAL]
    seconds = game[-1]["wall_time_s"] - game[0]["wall_time_s"]
    return run.game.task, run.game.agent.generator, seconds, game[-1].get("discriminator_share_of_optimum")


def train_rival(cell: Cell, start: Experiment, size: str, out: Path) -> float:
    """Train the generator of a start in another way; the seconds that it took."""
    row, task, generator = ROWS[cell.row], start.game.task, start.game.agent.generator
    n_epochs = SIZES[size].n_epochs[row.rival]
    config = config_of(cell.row, size, cell.seed, task.config.source)
    if row.start == "random":  # the start has no epochs of its own to take the settings from
        config = dataclasses.replace(config, pretraining=SIZES[size].base.pretraining)
    trainer = RIVALS[row.rival](generator, config, models_of(cell.seed, out), n_epochs)
    started = time.perf_counter()
    for _ in tqdm(range(n_epochs), desc=cell.row):
        trainer.epoch(task.real_sequences)
    return time.perf_counter() - started
