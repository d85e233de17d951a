"""The regimes in which a game teaches what maximum likelihood does not: a map over generator, data, task and judge.

``run`` trains every cell (it resumes), ``report`` writes the table and the picture of the docs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from agents.runs.config import AdversaryConfig, EvaluationConfig, Parts, RunConfig
from agents.runs.experiment import Experiment
from agents.runs.folder import Record
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table
from agents.runs.workers import side_by_side
from benchmarks.distillation import N_REAL, TASKS, fit, models_of
from benchmarks.harness import (
    DOCS,
    RESULTS,
    cells_that_stay,
    check_some,
    command_line,
    interval,
    keep_result,
    kept_result,
    mean_cell,
    measured_with,
    svg_figure,
    write_results,
    write_section,
)
from benchmarks.paper.rows import BASELINE, LOG_RATIO, TOKENWISE
from benchmarks.rewards.curves import KEPT, gains_at
from seqgan_env.checks import PositiveInt

FILE = RESULTS / "regimes.json"
PAGE = DOCS / "results.md"


TOKENWISE_OF: dict[str, Mapping[str, Any]] = {
    "grammar": {"n_updates": 60, "n_episodes": 512, "forward_kl": 3.0, "learning_rate": 0.01},
    "small": {"n_updates": 300},
}
"""The part ``agent`` of the token-wise games of a task, beside ``TOKENWISE``."""
UNITS = (4, 8, 16, 32)  # of the generator's LSTM and of its embedding
DROPOUTS = (0.0, 0.1, 0.3)
"""Those of maximum likelihood, of which each cell takes the best on its validation set."""
N_READ = 400_000  # sequences, by maximum likelihood in all its epochs, which are between 4 and 100
_TOKENWISE = {"task": LOG_RATIO, "agent": TOKENWISE}
GAMES: dict[str, Parts] = {
    "cnn, log D": {
        "adversary": {"n_rounds": 30, "learning_rate": 1e-3, "n_generated": 512, "every_n_episodes": 128},
        "agent": {"n_updates": 200, "n_episodes": 128, "n_completions": 4},
    },
    "generative, log-ratio": {**_TOKENWISE, "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 1}},
    "exact, log-ratio": {**_TOKENWISE, "adversary": {"exact": True}},
}
"""The games from each cell's maximum likelihood; the last one is what no discriminator can pass."""
LEVEL = 0.7
"""The temperature of maximum likelihood whose ``nll_test`` the curves are compared at."""


class Cell(NamedTuple):
    """One generator on one task with some real sequences."""

    task: str
    units: int
    n_real: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and its file."""
        return "-".join(map(str, self)).replace(",", "")


def run(
    out: Path = Path("runs/regimes"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    tasks: tuple[str, ...] = tuple(TASKS),
) -> None:
    """Train every cell and write the results.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 1; those from 100 on are for choosing settings.
        results: the JSON file.
        workers: processes side by side.
        tasks: some of ``TASKS``; the cells of the others stay in the file.
    """
    check_some("tasks", tasks, TASKS)
    numbers = list(range(1, 1 + seeds))
    staying = cells_that_stay(results, numbers, tasks)
    cells = [Cell(t, units, n, seed) for seed in numbers for t in tasks for n in N_REAL for units in UNITS]
    out.mkdir(parents=True, exist_ok=True)
    models = dict.fromkeys((c.task, c.n_real, c.seed) for c in cells if not (out / f"{c.name}.json").exists())
    side_by_side(learn_models, {key: (*key, out) for key in models}, workers)
    with tqdm(desc="cells", total=len(cells)) as bar:
        found = side_by_side(measure, {cell: (cell, out) for cell in cells}, workers, lambda _: bar.update())
    write_results(results, {"seeds": numbers, "cells": [*staying, *(cell._asdict() | found[cell] for cell in cells)]})


def config_of(cell: Cell, dropout: float) -> RunConfig:
    """The settings of the cell's task and of its maximum likelihood, without a game.

    Args:
        cell: the generator and the data.
        dropout: of the generator.
    """
    preset = PRESETS[cell.task]
    n_real = N_REAL[cell.n_real]
    n_epochs = min(100, max(4, N_READ // n_real))
    units = {"embedding_dim": cell.units, "hidden_dim": cell.units, "dropout": dropout}
    return dataclasses.replace(
        preset,
        task=dataclasses.replace(preset.task, n_real=n_real, n_held_out=10_000),
        generator=dataclasses.replace(preset.generator, kwargs={**preset.generator.kwargs, **units}),
        pretraining=dataclasses.replace(preset.pretraining, n_epochs=n_epochs),
        adversary=AdversaryConfig(),
        evaluation=EvaluationConfig(every=1_000_000, n=5_000),
        seed=cell.seed,
    )


def learn_models(task: str, n_real: str, seed: int, out: Path) -> None:
    """Fit the language models of the generative discriminator, one file for all generators."""
    fit(
        config_of(Cell(task, UNITS[-1], n_real, seed), 0.0),
        models_file(task, n_real, seed, out),
        models_of(task, n_real),
    )


def models_file(task: str, n_real: str, seed: int, out: Path) -> Path:
    """The file of the language models."""
    return (out / f"models-{task}-{n_real.replace(',', '')}-{seed}.safetensors").resolve()


def measure(cell: Cell, out: Path) -> dict[str, Any]:
    """Do the maximum likelihood of a cell and play its games.

    Args:
        cell: which.
        out: the folder of the results.

    Returns:
        The best dropout, and ``rows``: maximum likelihood and each game by temperature, with the final share of the
        optimum of its discriminator.
    """
    made_with = {
        "config": config_of(cell, 0.0).to_dict(),
        "dropouts": DROPOUTS,
        "models": models_of(cell.task, cell.n_real),
        "games": GAMES,
        "tokenwise": TOKENWISE_OF[cell.task],
    }
    if (done := kept_result(file := out / f"{cell.name}.json", ("dropout", "rows"), made_with)) is not None:
        return done
    tried: dict[float, list[Record]] = {}
    for dropout in DROPOUTS:
        start = Experiment.begin_or_resume(config_of(cell, dropout), out / cell.name / f"{dropout}", progress=False)
        tried[dropout] = start.run(pretraining_only=True)
    best = min(DROPOUTS, key=lambda dropout: min(r.get("nll_validation", np.inf) for r in tried[dropout]))
    rows = {BASELINE: _row(tried[best], TEMPERATURE)}
    for name, changes in GAMES.items():
        config = config_of(cell, best).changed(changes, {"agent": TOKENWISE_OF[cell.task]} if "task" in changes else {})
        if name.startswith("generative"):
            learned = str(models_file(cell.task, cell.n_real, cell.seed, out))
            judged = dataclasses.replace(config.task, discriminator=learned, discriminator_kwargs={})
            config = dataclasses.replace(config, task=judged)
        folder = out / cell.name / name.replace(", ", "-").replace(" ", "-")
        game = Experiment.begin_or_resume(config, folder, start_from=out / cell.name / f"{best}", progress=False)
        rows[name] = _row(game.run(), FINAL_TEMPERATURE)
    return keep_result(file, {"dropout": best, "rows": rows}, made_with)


def _row(records: Sequence[Record], phase: str) -> dict[str, Any]:
    own = [r for r in records if r["phase"] == phase]
    kept = [{name: r[name] for name in ("phase", *KEPT)} for r in own]
    (at_one,) = (r for r in own if r["temperature"] == 1.0)
    return {"share": at_one.get("discriminator_share_of_optimum"), "records": kept}


def report(results: Path = FILE, page: Path = PAGE) -> None:
    """Write the table and the picture into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
    """
    write_section(page, "regimes", results, lambda document: tables(document, page.parent))


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The table of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the picture is drawn; None draws none.
    """
    seeds, cells = document["seeds"], document["cells"]
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t). Measured with "
        f"{measured_with(document['environment'])}.\n"
    ]
    for task in (task for task in TASKS if any(cell["task"] == task for cell in cells)):
        rows = {f"{u} units, {n}": _cells(_select(cells, task, u, n)) for n in N_REAL for u in UNITS}
        parts.append(f"### Regimes, {task}\n\n{markdown_table(rows, list(next(iter(rows.values()))), first='cell')}")
    if pictures is not None:
        draw(cells, pictures / "regimes.svg")
    parts.append("![What each game gains, by generator, data and task.](regimes.svg)\n")
    return "\n".join(parts)


def _select(cells: Sequence[Mapping[str, Any]], task: str, units: int, n_real: str) -> list[Mapping[str, Any]]:
    return [c for c in cells if (c["task"], c["units"], c["n_real"]) == (task, units, n_real)]


def _cells(own: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The text of a row."""
    baseline = [c["rows"][BASELINE] for c in own]
    found = {"KL sum, best T": mean_cell([_best(row) for row in baseline])}
    for name in GAMES:
        rows = [c["rows"][name] for c in own]
        found[f"{name}: KL sum"] = mean_cell(gained(own, name), "+")
        found[f"{name}: nll oracle"] = mean_cell(gains_at(rows, baseline, LEVEL), "+")
        shares = [row["share"] for row in rows if row["share"] is not None]
        if shares:
            found[f"{name}: share"] = f"{np.mean(shares):.2f}"
    return found


def gained(own: Sequence[Mapping[str, Any]], game: str) -> list[float]:
    """The least sum of both divergences over temperatures less that of maximum likelihood, of each seed of a cell."""
    return [_best(c["rows"][game]) - _best(c["rows"][BASELINE]) for c in own]


def _best(row: Mapping[str, Any]) -> float:
    return float(min(r["kl_sum"] for r in row["records"]))


def draw(cells: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw a map for each task and game, in shares of what maximum likelihood leaves, and write the picture.

    Args:
        cells: the results.
        file: an SVG file.
    """
    tasks = [task for task in TASKS if any(cell["task"] == task for cell in cells)]
    with svg_figure(file, (3.6 * len(GAMES), 2.8 * len(tasks))) as figure:
        panels = figure.subplots(len(tasks), len(GAMES), squeeze=False)
        for axes_G, task in zip(panels, tasks, strict=True):
            for axes, game in zip(axes_G, GAMES, strict=True):
                share_NU = np.zeros((len(N_REAL), len(UNITS)))
                for i, n_real in enumerate(N_REAL):
                    for j, units in enumerate(UNITS):
                        own = _select(cells, task, units, n_real)
                        mean, half = interval(gained(own, game))
                        share_NU[i, j] = mean / np.mean([_best(c["rows"][BASELINE]) for c in own])
                        sure = "" if abs(mean) > half else "?"
                        axes.text(j, i, f"{share_NU[i, j]:+.0%}{sure}", ha="center", va="center")
                axes.imshow(share_NU, cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect="auto")
                axes.set(title=f"{task}: {game}", xlabel="units of the generator", ylabel="real sequences")
                axes.set_xticks(range(len(UNITS)), list(map(str, UNITS)))
                axes.set_yticks(range(len(N_REAL)), list(N_REAL))
        figure.suptitle("the sum of both divergences at the best temperature, against that of maximum likelihood")


if __name__ == "__main__":
    command_line("regimes", {"run": run, "report": report})
