"""The knowledge of each discriminator: every kind beside the best possible one, at a fixed strong generator.

``python -m benchmarks.discriminators run`` trains them (it resumes) and writes
``benchmarks/results/discriminators.json``; ``python -m benchmarks.discriminators report`` writes the table of
``docs/results.md`` from that file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from tqdm import tqdm

from agents.adversary import Adversary, RoundConfig, trainer_of
from agents.runs.evaluation import optimal_discriminator
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table
from benchmarks.harness import DOCS, RESULTS, interval, measured_with, write_results, write_section
from seqgan_env.autoregressive import AutoregressiveModel, MaximumLikelihoodTrainer
from seqgan_env.discriminators import build_discriminator, discriminator_scores
from seqgan_env.metrics.discrimination import share_of_optimum
from seqgan_env.seeding import derived_seed
from seqgan_env.task import Task, TaskConfig
from seqgan_env.tokens import Tokens

FILE = RESULTS / "discriminators.json"
PAGE = DOCS / "results.md"

CNN = PRESETS["grammar"].task.discriminator_kwargs
KINDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "cnn": ("cnn", CNN),
    "cnn, dropout 0.5": ("cnn", {**CNN, "dropout": 0.5}),
    "gru": ("gru", {"dropout": 0.3}),
    "transformer": ("transformer", {"dropout": 0.3}),
    "log_ratio": ("log_ratio", {"dropout": 0.3}),
    "ensemble of three cnn": ("ensemble", {"kwargs": dict(CNN)}),
    "generative": ("generative", {}),
}
"""The kinds and their settings by the name of their row."""
N_REAL: dict[str, int] = {"2,000": 2_000, "10,000": 10_000, "unlimited": 100_000}
"""Real sequences to learn from. The generator has always learnt from 10,000; "unlimited" are as many as no kind learns
by heart in the time it has."""
N_HELD_OUT = 5_000
MOST_ROUNDS, PATIENCE = 100, 10
ROUND = RoundConfig(n_generated=2_048, learning_rate=1e-3, n_held_out=2_048)


def run(out: Path = Path("runs/discriminators"), seeds: int = 5, results: Path = FILE, workers: int = 2) -> None:
    """Train every discriminator and write the results.

    Args:
        out: where the results of each are kept; those that are there are not made again.
        seeds: how many, from 1; 0 and those from 100 on were looked at when settings were chosen.
        results: the JSON file.
        workers: processes side by side.
    """
    out.mkdir(parents=True, exist_ok=True)
    jobs = [(kind, n_real, seed, out) for seed in range(1, 1 + seeds) for n_real in N_REAL for kind in KINDS]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        found = list(tqdm(pool.map(measure, *zip(*jobs, strict=True)), "discriminators", len(jobs)))
    write_results(results, {"seeds": list(range(1, 1 + seeds)), "runs": found})


def measure(kind: str, n_real: str, seed: int, out: Path) -> dict[str, Any]:
    """Train one discriminator until its held-out log-loss no longer falls, and measure its best round.

    Args:
        kind: a key of ``KINDS``.
        n_real: a key of ``N_REAL``.
        seed: everything random follows it.
        out: the folder of the results.

    Returns:
        The measurements on sequences that nothing was trained or chosen on.
    """
    file = out / f"{kind}-{n_real}-{seed}.json"
    if file.exists():
        done: dict[str, Any] = json.loads(file.read_text())
        return done
    torch.set_num_threads(1)
    task = Task(TaskConfig(source="grammar", n_real=max(N_REAL.values()), n_held_out=2 * N_HELD_OUT))
    generator = strong_generator(task, seed, out)
    name, kwargs = KINDS[kind]
    discriminator = build_discriminator(name, task.spec, seed=seed, kwargs=kwargs)
    trainer = trainer_of(discriminator, ROUND, seed)
    choose, test = np.split(task.held_out_sequences, 2)
    adversary = Adversary(trainer, task.real_sequences[: N_REAL[n_real]], choose, ROUND, seed=seed)
    sampler = _Sampler(generator)
    started, least, best, last = time.monotonic(), np.inf, trainer.snapshot(), 0
    for number in range(MOST_ROUNDS):
        log_loss = adversary.round(sampler)["log_loss"]
        if log_loss < least:
            least, best, last = log_loss, trainer.snapshot(), number
        if number - last >= PATIENCE or name == "generative":
            break
    trainer.restore(best)
    seconds = time.monotonic() - started
    generated = generator.draw(N_HELD_OUT, seed=derived_seed(seed, "test"))
    logits = discriminator.logits(test), discriminator.logits(generated)
    optimal = optimal_discriminator(task.source, generator)  # type: ignore[arg-type]
    best_logits = optimal.logits(test), optimal.logits(generated)
    result = {
        "kind": kind,
        "n_real": n_real,
        "seed": seed,
        "rounds": number + 1,
        "seconds": round(seconds, 1),
        **discriminator_scores(*logits),
        "optimal_log_loss": discriminator_scores(*best_logits)["log_loss"],
        "share": share_of_optimum(logits, best_logits),
    }
    file.write_text(json.dumps(result))
    return result


class _Sampler:
    """A generator as the rounds want it."""

    def __init__(self, generator: AutoregressiveModel) -> None:
        self.generator = generator

    def sample(self, n: int, *, seed: int = 0) -> Tokens:
        """Draw ``n`` complete sequences."""
        return self.generator.draw(n, seed=seed)


def strong_generator(task: Task, seed: int, out: Path) -> AutoregressiveModel:
    """The generator of the preset ``grammar`` after maximum likelihood, made once for each seed."""
    config, file = PRESETS["grammar"], out / f"generator-{seed}.pt"
    torch.manual_seed(seed)
    generator = AutoregressiveModel(task.spec, config.generator.core, **config.generator.kwargs)
    if file.exists():
        generator.load_state_dict(torch.load(file, weights_only=True))
        return generator.eval()
    n_epochs = config.pretraining.n_epochs
    trainer = MaximumLikelihoodTrainer(generator, config.pretraining, seed, total_epochs=n_epochs)
    for _ in range(n_epochs):
        trainer.epoch(task.real_sequences[:10_000])
    partial = file.with_suffix(f".{time.monotonic_ns()}")
    torch.save(generator.state_dict(), partial)
    partial.replace(file)
    return generator


def report(results: Path = FILE, page: Path = PAGE) -> None:
    """Write the table into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
    """
    write_section(page, "discriminators", results, table)


def table(document: Mapping[str, Any]) -> str:
    """The share of the optimum of every kind, in Markdown."""
    runs: Sequence[Mapping[str, Any]] = document["runs"]
    cells: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        for n_real in N_REAL:
            own = [r for r in runs if (r["kind"], r["n_real"]) == (kind, n_real)]
            mean, half = interval([r["share"] for r in own])
            cells.setdefault(kind, {})[n_real] = f"{mean:.2f} ± {half:.2f}"
            cells[kind]["seconds"] = f"{np.median([r['seconds'] for r in own]):.0f}"
    seeds = document["seeds"]
    return (
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t); seconds with the "
        f"most real sequences. Measured with {measured_with(document['environment'])}.\n\n"
        + markdown_table(cells, [*N_REAL, "seconds"], first="discriminator")
    )


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "report": report}, prog="python -m benchmarks.discriminators")
