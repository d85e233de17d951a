"""The cells of the map: each is a maximum likelihood, and the games and their controls that go on from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from agents.runs.config import AdversaryConfig, EvaluationConfig, Parts, RunConfig
from agents.runs.experiment import Experiment
from agents.runs.folder import Record
from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.presets import LOG_RATIO, PRESETS, TOKENWISE
from agents.runs.workers import side_by_side
from benchmarks import distillation
from benchmarks.curves import BASELINE, KEPT
from benchmarks.harness import RESULTS, cells_that_stay, check_some, keep_result, kept_result, write_results
from benchmarks.language_models import N_REAL, fit, models_of
from benchmarks.paper.grid import check_oracle, known_source
from benchmarks.paper.rows import SIZES
from benchmarks.rewards.games import SCENARIOS
from seqgan_env.checks import PositiveInt

FILE = RESULTS / "regimes.json"
DROPOUTS = (0.0, 0.1, 0.3)
"""Those of maximum likelihood, of which each cell takes the best on its validation set."""


@dataclass(frozen=True)
class Region:
    """A task, and the cells of the map that it has."""

    base: RunConfig
    """The settings of its runs, but for the generator's size and its training."""
    agent: Mapping[str, Any]
    """The part ``agent`` of its token-wise games, beside ``TOKENWISE``."""
    models: Callable[[str], Mapping[str, Any]]
    """Settings of the language models, by a key of ``N_REAL``."""
    units: tuple[int, ...] = (4, 8, 16, 32)
    """Of the generator's LSTM and of its embedding."""
    n_real: tuple[str, ...] = tuple(N_REAL)
    """Keys of ``N_REAL``."""
    n_read: int = 400_000
    """Sequences, by maximum likelihood in all its epochs, which are between 4 and ``most_epochs``."""
    most_epochs: int = 100
    log_d: Mapping[str, Any] = field(default_factory=dict)
    """The part ``agent`` of its game with log D, beside that of ``GAMES``."""
    n_taught: int = 500_000
    """Sequences, by each of ``CONTROLS`` in all its epochs: about the seconds of the game with the same models."""


_SMALL, _FAST = PRESETS["small"], SIZES["fast"]
_GENTLE = SCENARIOS["synthetic oracle"].games["log_d"]["agent"]
TASKS: dict[str, Region] = {
    "grammar": Region(
        PRESETS["grammar"],
        # without the prefixes of real sentences none foresees as well as maximum likelihood
        {"n_updates": 240, "n_episodes": 128, "forward_kl": 3.0, "real_prefixes": 1.0, "learning_rate": 0.01},
        partial(models_of, "grammar"),
        n_read=3_000_000,  # few units go on learning for hundreds of epochs
        most_epochs=300,
    ),
    # as many as 12 epochs of unlimited sequences: 4 leave what more of them give for nothing
    "small": Region(_SMALL, {"n_updates": 300}, partial(models_of, "small"), n_read=1_200_000, log_d=_GENTLE),
    "small-1000": Region(
        _SMALL.changed({"task": {"vocab_size": 1_000}}),
        {"n_updates": 300},
        lambda n_real: {**models_of("small", n_real), "dropout": 0.3},
        units=(8, 32),
        n_real=("2,000", "10,000"),
        log_d=_GENTLE,
    ),
    "published": Region(
        _FAST.base,
        {"n_updates": 150},
        lambda n_real: {**_FAST.models, "n_members": 3},
        units=(8, 16),
        n_real=("10,000",),
        n_read=250_000,
    ),
}
"""The grammar; the project's synthetic oracle with 100 tokens and, in fewer cells, with 1,000; and that of the paper,
with 5,000, from the 10,000 sequences of its experiment alone. With 1,000 tokens language models foresee more with a
dropout of 0.3 than with that of 100 tokens, on the validation half of seed 100."""
_TOKENWISE = {"task": LOG_RATIO, "agent": TOKENWISE}
_LOG_D: Parts = {
    "adversary": {"n_rounds": 120, "learning_rate": 1e-3, "n_generated": 512, "every_n_episodes": 128},
    "agent": {"n_updates": 200, "n_episodes": 128, "n_completions": 4},
}
_FORCED = {"teacher_forcing": 3.0}  # with 1 the least nll_test of eight units rose in the game, on seed 100
GAMES: dict[str, Parts] = {
    "cnn, log D": _LOG_D,
    "cnn, log D, and likelihood": {**_LOG_D, "agent": {**_LOG_D["agent"], **_FORCED}},
    "constant, and likelihood": {
        "task": {"reward": "constant"},
        "agent": {**_LOG_D["agent"], "n_completions": 0, "baseline": "batch", **_FORCED},
    },
    "generative, log-ratio": {**_TOKENWISE, "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 1}},
    "exact, log-ratio": {**_TOKENWISE, "adversary": {"exact": True}},
}
"""The games from each cell's maximum likelihood; the last one is what no discriminator can pass. Those with likelihood
add that of real sequences to each update; the one with a constant reward shows what this does by itself."""
CONTROLS = {
    "more maximum likelihood": distillation.MORE,
    **{f"teachers, {name}": rival for name, rival in distillation.TEACHING.items()},
}
"""The ways without a game: more epochs of maximum likelihood, and the language models of the ratio as teachers, by the
divergence that falls."""


class Cell(NamedTuple):
    """One generator on one task with some real sequences."""

    task: str
    units: int
    n_real: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and its file."""
        return f"{_row_name(self.task, self.units, self.n_real)}-{self.seed}"


def _row_name(task: str, units: int, n_real: str) -> str:
    """The name of the cells that differ in their seeds alone."""
    return f"{task}-{units}-{n_real.replace(',', '')}"


def run(
    out: Path = Path("runs/regimes"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    tasks: tuple[str, ...] = tuple(TASKS),
    only: tuple[str, ...] = (),
    oracle: str = "oracle",
) -> None:
    """Train every cell and write the results.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 1; those from 100 on are for choosing settings.
        results: the JSON file.
        workers: processes side by side.
        tasks: some of ``TASKS``.
        only: some of their rows, such as ``grammar-8-10000``; by default all. Cells of other rows stay in the file.
        oracle: of the task ``published``, the file of the oracle that the literature uses; by default the project's own
            of the same construction.
    """
    check_some("tasks", tasks, TASKS)
    rows = {_row_name(t, u, n): (t, u, n) for t in tasks for n in TASKS[t].n_real for u in TASKS[t].units}
    check_some("only", only or tuple(rows), rows)
    rows = {name: row for name, row in rows.items() if not only or name in only}
    check_oracle(oracle)
    numbers = list(range(1, 1 + seeds))
    staying = cells_that_stay(
        results, numbers, lambda cell: _row_name(cell["task"], cell["units"], cell["n_real"]) in rows
    )
    cells = [Cell(*row, seed) for seed in numbers for row in rows.values()]
    sources = {cell.task: Path(config_of(cell, 0.0, oracle).task.source).name for cell in cells}
    if other := {cell["source"] for cell in staying if cell["source"] != sources.get(cell["task"], cell["source"])}:
        raise ValueError(f"the source must be that of the cells that stay, {', '.join(other)}, got {oracle}")
    out.mkdir(parents=True, exist_ok=True)
    models = dict.fromkeys((c.task, c.n_real, c.seed) for c in cells if not (out / f"{c.name}.json").exists())
    side_by_side(learn_models, {key: (*key, out, oracle) for key in models}, workers)
    with tqdm(desc="cells", total=len(cells)) as bar:
        found = side_by_side(measure, {cell: (cell, out, oracle) for cell in cells}, workers, lambda _: bar.update())
    write_results(results, {"seeds": numbers, "cells": [*staying, *(cell._asdict() | found[cell] for cell in cells)]})


def config_of(cell: Cell, dropout: float, oracle: str = "oracle") -> RunConfig:
    """The settings of the cell's task and of its maximum likelihood, without a game.

    Args:
        cell: the generator and the data.
        dropout: of the generator.
        oracle: the source of the task ``published``.
    """
    region = TASKS[cell.task]
    base, n_real = region.base, N_REAL[cell.n_real]
    source = oracle if cell.task == "published" else base.task.source
    n_epochs = min(region.most_epochs, max(4, region.n_read // n_real))
    units = {"embedding_dim": cell.units, "hidden_dim": cell.units, "dropout": dropout}
    return dataclasses.replace(
        base,
        task=dataclasses.replace(base.task, source=source, n_real=n_real, n_held_out=10_000),
        generator=dataclasses.replace(base.generator, kwargs={**base.generator.kwargs, **units}),
        pretraining=dataclasses.replace(base.pretraining, n_epochs=n_epochs),
        adversary=AdversaryConfig(),
        evaluation=EvaluationConfig(every=1_000_000, n=5_000),
        seed=cell.seed,
    )


def game_of(cell: Cell, game: str, dropout: float, models: Path, oracle: str = "oracle") -> RunConfig:
    """The settings of a game.

    Args:
        cell: the generator and the data.
        game: a key of ``GAMES``.
        dropout: of the generator.
        models: the file of the generative discriminator.
        oracle: see ``config_of``.
    """
    changes = GAMES[game]
    region = TASKS[cell.task]
    own: Parts = {"agent": region.agent if "inner_sums" in changes["agent"] else region.log_d}
    config = config_of(cell, dropout, oracle).changed(changes, own)
    if not game.startswith("generative"):
        return config
    judged = dataclasses.replace(config.task, discriminator=str(models), discriminator_kwargs={})
    return dataclasses.replace(config, task=judged)


def learn_models(task: str, n_real: str, seed: int, out: Path, oracle: str) -> None:
    """Fit the language models of the generative discriminator, one file for all generators."""
    cell = Cell(task, TASKS[task].units[-1], n_real, seed)
    fit(config_of(cell, 0.0, oracle), models_file(cell, out), TASKS[task].models(n_real))


def models_file(cell: Cell, out: Path) -> Path:
    """The file of the language models."""
    return (out / f"models-{cell.task}-{cell.n_real.replace(',', '')}-{cell.seed}.safetensors").resolve()


def measure(cell: Cell, out: Path, oracle: str) -> dict[str, Any]:
    """Do the maximum likelihood of a cell, play its games and let the language models teach.

    Args:
        cell: which.
        out: the folder of the results.
        oracle: see ``config_of``.

    Returns:
        The best dropout, and ``rows``: maximum likelihood, each game and each control by temperature, with the share of
        the optimum that its discriminator has when the game begins; and ``source``, the name of the task's or of its
        file.
    """
    region, plain = TASKS[cell.task], config_of(cell, 0.0, oracle)
    config = plain.to_dict()
    config["task"]["source"] = known_source(plain)
    made_with = {
        "config": config,
        "dropouts": DROPOUTS,
        "models": region.models(cell.n_real),
        "games": GAMES,
        "controls": {name: dataclasses.asdict(rival.settings(plain)) for name, rival in CONTROLS.items()},
        "taught": region.n_taught,
        "tokenwise": region.agent,
        "log_d": region.log_d,
    }
    if (done := kept_result(file := out / f"{cell.name}.json", ("source", "dropout", "rows"), made_with)) is not None:
        return done
    tried: dict[float, list[Record]] = {}
    for dropout in DROPOUTS:
        folder = out / cell.name / f"{dropout}"
        likelihood = Experiment.begin_or_resume(config_of(cell, dropout, oracle), folder, progress=False)
        tried[dropout] = likelihood.run(pretraining_only=True)
    best = min(DROPOUTS, key=lambda dropout: min(r.get("nll_validation", np.inf) for r in tried[dropout]))
    rows = {BASELINE: _row(tried[best], TEMPERATURE)}
    start, learned = out / cell.name / f"{best}", models_file(cell, out)
    for name in GAMES:
        played = game_of(cell, name, best, learned, oracle)
        game = Experiment.begin_or_resume(played, _place(cell, name, out), start_from=start, progress=False)
        rows[name] = _row(game.run(), FINAL_TEMPERATURE)
    n_epochs = max(1, region.n_taught // N_REAL[cell.n_real])
    for name, rival in CONTROLS.items():
        own = _place(cell, f"{name}.json", out)
        taught = distillation.train(config_of(cell, best, oracle), start, learned, n_epochs, own, rival)
        rows[name] = _row(taught["records"], FINAL_TEMPERATURE)
    return keep_result(file, {"source": Path(plain.task.source).name, "dropout": best, "rows": rows}, made_with)


def _place(cell: Cell, name: str, out: Path) -> Path:
    """Of a game the folder, of a control the file, in the folder of the cell."""
    return out / cell.name / name.replace(", ", "-").replace(" ", "-")


def _row(records: Sequence[Record], phase: str) -> dict[str, Any]:
    kept = [{name: r[name] for name in ("phase", *KEPT)} for r in records if r["phase"] == phase]
    begins = next((r for r in records if (r["phase"], r.get("step")) == (ADVERSARIAL, 0)), {})
    return {"share": begins.get("discriminator_share_of_optimum"), "records": kept}
