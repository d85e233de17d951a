"""The knowledge of each discriminator: every kind beside the best possible one, at a fixed strong generator.

``python -m benchmarks.discriminators run`` trains them (it resumes) and writes
``benchmarks/results/discriminators.json``; ``python -m benchmarks.discriminators report`` writes the tables and the
picture of ``docs/results.md`` from that file.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from agents.adversary import Adversary, GeneratorSampler, RoundConfig, trainer_of
from agents.runs.evaluation import optimal_discriminator
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table
from agents.runs.workers import side_by_side
from agents.sweeps.cells import hashed
from benchmarks.harness import (
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
)
from benchmarks.language_models import N_LIKELIHOOD, N_REAL, TASKS, models_of
from benchmarks.pages import reporter
from seqgan_env.autoregressive import AutoregressiveModel, MaximumLikelihoodTrainer
from seqgan_env.checks import PositiveInt
from seqgan_env.discriminators import build_discriminator, discriminator_scores
from seqgan_env.discriminators.optimal import correlation, share_of_optimum
from seqgan_env.files import atomic_write
from seqgan_env.seeding import derived_seed
from seqgan_env.task import Task

FILE = RESULTS / "discriminators.json"

CNN = PRESETS["grammar"].task.discriminator_kwargs
KINDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "cnn": ("cnn", CNN),
    "cnn, dropout 0.5": ("cnn", {**CNN, "dropout": 0.5}),
    "three cnn": ("ensemble", {"kwargs": dict(CNN)}),
    "gru": ("gru", {"dropout": 0.3}),
    "transformer": ("transformer", {"dropout": 0.3}),
    "log_ratio": ("log_ratio", {"dropout": 0.3}),
    "causal": ("causal", {"dropout": 0.3}),
    "generative": ("generative", {}),
}
"""The kinds and their settings by the name of their row."""
N_HELD_OUT = 5_000
MOST_ROUNDS, PATIENCE = 40, 6
ROUND = RoundConfig(n_generated=4_096, learning_rate=1e-3, n_held_out=4_096)


class Cell(NamedTuple):
    """One discriminator of the tables."""

    task: str
    n_real: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return "-".join(map(str, self)).replace(",", "").replace(" ", "-")


def run(
    out: Path = Path("runs/discriminators"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    tasks: tuple[str, ...] = tuple(TASKS),
) -> None:
    """Train every discriminator and write the results.

    Args:
        out: where the results of each are kept; those that are there are not made again.
        seeds: how many, from 1; 0 and those from 100 on were looked at when settings were chosen.
        results: the JSON file.
        workers: processes side by side.
        tasks: some of ``TASKS``; the cells of the others stay in the file.
    """
    check_some("tasks", tasks, TASKS)
    numbers = list(range(1, 1 + seeds))
    staying = cells_that_stay(results, numbers, lambda cell: cell["task"] in tasks)
    out.mkdir(parents=True, exist_ok=True)
    side_by_side(strong_generator, {(t, seed): (t, seed, out) for t in tasks for seed in numbers}, workers)
    cells = [Cell(t, n_real, kind, seed) for seed in numbers for t in tasks for n_real in N_REAL for kind in KINDS]
    with tqdm(desc="discriminators", total=len(cells)) as bar:
        found = side_by_side(measure, {cell: (cell, out) for cell in cells}, workers, lambda _: bar.update())
    write_results(results, {"seeds": numbers, "cells": [*staying, *(cell._asdict() | found[cell] for cell in cells)]})


def measure(cell: Cell, out: Path) -> dict[str, Any]:
    """Train one discriminator until its log-loss no longer falls, and measure its best round.

    Args:
        cell: which.
        out: the folder of the results.

    Returns:
        The measurements on sequences that nothing was trained or chosen on.
    """
    kind, kwargs = KINDS[cell.kind]
    kwargs = models_of(cell.task, cell.n_real) if kind == "generative" else kwargs
    made_with = {
        "preset": PRESETS[cell.task].to_dict(),
        "kind": kind,
        "kwargs": kwargs,
        "n_real": [N_REAL[cell.n_real], N_LIKELIHOOD],
        "n_held_out": N_HELD_OUT,
        "rounds": [MOST_ROUNDS, PATIENCE],
        "round": dataclasses.asdict(ROUND),
    }
    file = out / f"{cell.name}.json"
    if (done := kept_result(file, ("rounds", "seconds", "share", "correlation"), made_with)) is not None:
        return done
    torch.set_num_threads(1)
    task, seed = task_of(cell.task), cell.seed
    generator = strong_generator(cell.task, seed, out)
    real = task.real_sequences[: N_REAL[cell.n_real]]
    discriminator = build_discriminator(kind, task.spec, seed=seed, kwargs=kwargs)
    trainer = trainer_of(discriminator, ROUND, seed)
    choose, test = np.split(task.held_out_sequences, 2)
    adversary = Adversary(trainer, real, choose, ROUND, seed=seed)
    started, least, best, last, number = time.process_time(), np.inf, trainer.snapshot(), 0, 0
    for number in range(MOST_ROUNDS):
        log_loss = adversary.round(GeneratorSampler(generator))["log_loss"]
        if log_loss < least:
            least, best, last = log_loss, trainer.snapshot(), number
        if number - last >= PATIENCE or kind == "generative":  # which has learnt all it can in its first round
            break
    trainer.restore(best)
    seconds = time.process_time() - started
    generated = generator.draw(N_HELD_OUT, seed=derived_seed(seed, "test"))
    logits = discriminator.logits(test), discriminator.logits(generated)
    optimal = optimal_discriminator(task.source, generator)  # type: ignore[arg-type]
    exact = optimal.logits(test), optimal.logits(generated)
    result = {
        "rounds": number + 1,
        "seconds": round(seconds, 1),
        **discriminator_scores(*logits),
        "optimal_log_loss": discriminator_scores(*exact)["log_loss"],
        "share": share_of_optimum(logits, exact),
        "correlation": correlation(logits, exact),
    }
    return keep_result(file, result, made_with)


def task_of(name: str) -> Task:
    """The task of a preset, with as many real sequences as any discriminator wants."""
    config = dataclasses.replace(PRESETS[name].task, n_real=max(N_REAL.values()), n_held_out=2 * N_HELD_OUT)
    return Task(config)


def strong_generator(name: str, seed: int, out: Path) -> AutoregressiveModel:
    """The generator of a preset after maximum likelihood, made once for each seed.

    Args:
        name: of the preset.
        seed: everything random follows it.
        out: the folder where it is kept.
    """
    torch.set_num_threads(1)
    task, config = task_of(name), PRESETS[name]
    file = out / f"{name}-generator-{seed}-{hashed(config.to_dict())}.pt"
    torch.manual_seed(seed)
    generator = AutoregressiveModel(task.spec, config.generator.core, **config.generator.kwargs)
    if file.exists():
        generator.load_state_dict(torch.load(file, weights_only=True))
        return generator.eval()
    n_epochs = config.pretraining.n_epochs
    trainer = MaximumLikelihoodTrainer(generator, config.pretraining, seed, total_epochs=n_epochs)
    for _ in range(n_epochs):
        trainer.epoch(task.real_sequences[:N_LIKELIHOOD])
    with atomic_write(file) as stream:
        torch.save(generator.state_dict(), stream)
    return generator.eval()


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The share of the optimum of every kind, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the picture is drawn; None draws none.
    """
    cells: Sequence[Mapping[str, Any]] = document["cells"]
    seeds, parts = document["seeds"], []
    for task in (t for t in TASKS if any(cell["task"] == t for cell in cells)):
        rows: dict[str, dict[str, str]] = {}
        for kind in KINDS:
            row = rows.setdefault(kind, {})
            for n_real in N_REAL:
                own = [c for c in cells if (c["task"], c["kind"], c["n_real"]) == (task, kind, n_real)]
                more = any(cell["rounds"] == MOST_ROUNDS for cell in own)
                row[n_real] = mean_cell([cell["share"] for cell in own], digits=2) + " ↑" * more
                row[f"correlation, {n_real}"] = f"{interval([cell['correlation'] for cell in own])[0]:.2f}"
                row["seconds"] = f"{np.median([cell['seconds'] for cell in own]):.0f}"
        columns = [*N_REAL, *(f"correlation, {n_real}" for n_real in N_REAL), "seconds"]
        parts.append(f"### {task}\n\n{markdown_table(rows, columns, first='discriminator')}")
    if pictures is not None:
        draw(document, pictures / "discriminators.svg")
    return (
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t); seconds of one "
        f"core with the most real sequences; ↑ where the log-loss of a seed still fell in the last of {MOST_ROUNDS} "
        f"rounds. Measured with {measured_with(document['environment'])}.\n\n"
        + "\n".join(parts)
        + "\n![Share of the optimum by the number of real sequences.](discriminators.svg)\n"
    )


def draw(document: Mapping[str, Any], file: Path) -> None:
    """Draw the shares, a panel a task, and write the picture.

    Args:
        document: the results.
        file: an SVG file.
    """
    cells = document["cells"]
    names = [task for task in TASKS if any(cell["task"] == task for cell in cells)]
    with svg_figure(file, (4.2 * len(names), 4.2), font_size=9) as figure:
        for axes, task in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            for index, kind in enumerate(KINDS):
                found = [
                    interval([c["share"] for c in cells if (c["task"], c["kind"], c["n_real"]) == (task, kind, n)])
                    for n in N_REAL
                ]
                means, halves = zip(*found, strict=True)
                places = np.arange(len(N_REAL)) + 0.04 * (index - len(KINDS) / 2)
                axes.errorbar(places, means, halves, fmt="o-", ms=3, lw=1, capsize=2, label=kind)
            axes.axhline(0, color="0.4", lw=0.8)
            axes.set_ylim(-0.5, 1.05)
            axes.set_xticks(range(len(N_REAL)), list(N_REAL))
            axes.set(title=task, xlabel="real sequences to learn from", ylabel="share of the optimum")
            axes.grid(alpha=0.3)
        figure.axes[0].legend()


report = reporter("discriminators", FILE, tables)

if __name__ == "__main__":
    command_line("discriminators", {"run": run, "report": report})
