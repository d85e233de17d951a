"""The command line of ``python -m benchmarks.speed``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from agents.sweeps.environment import peak_memory_mb
from benchmarks.harness import RESULTS, begin_results, command_line, read_results, write_results
from benchmarks.pages import DOCS, replace_section
from benchmarks.speed.measuring import (
    environments,
    episodes,
    errors,
    growth,
    lengths,
    measure,
    peak_memory,
    seconds,
)
from benchmarks.speed.paths import Setting, Size, paths
from benchmarks.speed.report import draw, episode_table, tables
from seqgan_env.autoregressive import MaximumLikelihoodTrainer
from seqgan_env.device import set_matmul_precision
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.metrics import likelihood_metrics

PAGE = DOCS / "performance.md"
PICTURE = DOCS / "performance.svg"
EPISODES = RESULTS / "episodes.json"


def run(
    results: Path | None = None,
    device: str = "cpu",
    repeats: int = 5,
    threads: int = 2,
    references: bool = True,
    scaling: bool = True,
    matmul_precision: Literal["highest", "high", "medium"] = "highest",
) -> None:
    """Measure and write the results.

    Args:
        results: the JSON file; None is one for each kind of device and precision.
        device: where the networks compute.
        repeats: of each path; the slow references are run three times.
        threads: of torch on the CPU.
        references: measure them too.
        scaling: measure how the costs grow too.
        matmul_precision: as ``torch.set_float32_matmul_precision`` has it; the results say what it costs in accuracy.
    """
    torch.set_num_threads(threads)
    differs = [device.split(":")[0]] * (device != "cpu") + [matmul_precision] * (matmul_precision != "highest")
    results = results or RESULTS / f"{'_'.join(['speed', *differs])}.json"
    begin_results(results)
    setting = Setting(Size(), device)
    document: dict[str, Any] = {"size": asdict(setting.size)}
    document["precision"] = {"name": matmul_precision, **errors(setting, matmul_precision)}
    set_matmul_precision(matmul_precision)
    document["paths"] = measure(paths(setting), device, repeats, references)
    document["environments"] = environments()
    document["lengths"] = lengths()
    if device == "cpu":
        document["memory_mb"] = peak_memory()
    if scaling:
        document["scaling"] = growth(setting.size, device)
    write_results(results, document)


def large(vocab_size: int = 50_000, max_length: int = 100, n_episodes: int = 64, n_completions: int = 16) -> None:
    """One of everything with a large vocabulary and long sequences, and the peak memory after each, in megabytes."""
    torch.set_num_threads(2)
    setting = Setting(Size(vocab_size, max_length, n_episodes, n_completions, n_sequences=256))
    trainer, discriminator = MaximumLikelihoodTrainer(setting.agent.generator), setting.task.scoring.discriminator
    evaluate, log_prob = likelihood_metrics, setting.agent.generator.sequence_log_prob
    steps: dict[str, Callable[[], Any]] = {
        "real sequences": lambda: setting.real,
        "maximum likelihood": lambda: trainer.epoch(setting.real),
        "generated sequences": lambda: setting.generated,
        "discriminator": lambda: DiscriminatorTrainer(discriminator).fit(setting.real, setting.generated),
        "action values": setting.estimate,
        "evaluation": lambda: evaluate(setting.task.source, setting.real, setting.generated, log_prob),
    }
    measured = {}
    for name, step in (bar := tqdm(steps.items(), disable=None)):
        bar.set_description(name)
        took = seconds(step)
        measured[name] = {"seconds": took, "peak_mb": peak_memory_mb()}
    print(json.dumps(measured, indent=1))


def rewards(results: Path = EPISODES) -> None:
    """Measure episodes with their reward, one thread, and write the results.

    Args:
        results: the JSON file.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1":  # NumPy's threads can't be set once it is imported
        raise ValueError("set OMP_NUM_THREADS=1: one environment is measured with one thread")
    begin_results(results)
    torch.set_num_threads(1)
    write_results(results, {"environments": episodes()})


def memory() -> None:
    """Print the peak memory of the process, in megabytes, before and after an estimate at the paper's size."""
    torch.set_num_threads(2)
    setting = Setting(replace(Size(), n_sequences=64))
    _ = setting.episodes, setting.agent
    before = peak_memory_mb()
    setting.estimate()
    print(json.dumps({"before": before, "peak": peak_memory_mb()}))


def report(results: Sequence[Path] = (), page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the tables and the picture of the docs.

    Args:
        results: the JSON files; none is all that are committed.
        page: the Markdown file, in which the tables stand between two comments.
        picture: the SVG file.
    """
    documents = [read_results(file) for file in list(results) or result_files()]
    replace_section(page, "speed", "\n".join(tables(document) for document in documents))
    draw(documents[0], picture)
    replace_section(page, "episodes", episode_table(read_results(EPISODES)))
    print(f"wrote {page} and {picture}", file=sys.stderr)


def result_files() -> list[Path]:
    """The committed results, that of the CPU first."""
    return sorted(RESULTS.glob("speed*.json"))


def main() -> None:
    """Run one of the commands."""
    command_line(
        "speed",
        {
            "run": run,
            "rewards": rewards,
            "report": report,
            "memory": memory,
            "large": large,
        },
    )


if __name__ == "__main__":
    main()
