"""SeqGAN on real text: captions by words and quatrains by characters.

``python -m benchmarks.text run --data FOLDER`` trains on the files of ``CORPORA`` (it resumes) and writes
``benchmarks/results/text.json``; ``... report`` writes the tables of ``docs/results.md`` from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.runs.config import RunConfig
from agents.runs.experiment import Experiment
from agents.runs.presets import PRESETS
from agents.runs.report import summary
from benchmarks.harness import DOCS, RESULTS, command_line, metric_table, write_results, write_section

FILE = RESULTS / "text.json"
PAGE = DOCS / "results.md"

CORPORA: dict[str, dict[str, dict[str, Any]]] = {
    "image_coco_train.txt": {"task": {"level": "word"}},
    "tang_quatrains_train.txt": {
        "task": {"level": "char"},
        "pretraining": {"n_epochs": 8},
        "agent": {"n_updates": 30},
    },
}
"""File names, with what differs from the preset ``text``."""


def config_of(name: str, data: Path, seed: int, n_threads: int | None) -> RunConfig:
    """The settings of one corpus."""
    base = PRESETS["text"]
    changes: dict[str, dict[str, Any]] = {"task": {"source": str(data / name)}, "runtime": {"n_threads": n_threads}}
    for part, fields in CORPORA[name].items():
        changes[part] = {**changes.get(part, {}), **fields}
    parts = {part: dataclasses.replace(getattr(base, part), **fields) for part, fields in changes.items()}
    return dataclasses.replace(base, seed=seed, **parts)


def run(data: Path, out: Path = Path("runs/text"), seed: int = 0, n_threads: int | None = None) -> None:
    """Train on each corpus and write the results.

    Args:
        data: the folder of the corpora.
        out: where the runs are kept; what is done is not done again.
        seed: everything random follows it.
        n_threads: threads of torch.
    """
    corpora = {}
    for name in CORPORA:
        config = config_of(name, data, seed, n_threads)
        folder = out / Path(name).stem
        experiment = Experiment(config, folder, resume=(folder / "config.json").exists())
        rows = summary({config.label: experiment.run()})
        task = experiment.game.task
        values = config.to_dict()
        corpora[name] = {
            "config": {**values, "task": {**values["task"], "source": name}},
            "vocab_size": task.spec.vocab_size,
            "max_length": task.spec.max_length,
            "n_real": len(task.real_sequences),
            "rows": {row: dict(record) for row, record in rows.items()},
            "samples": experiment.folder.samples.read_text(encoding="utf-8").splitlines()[:10],
        }
    write_results(FILE, {"seed": seed, "corpora": corpora})


def report() -> None:
    """Write the tables into the docs."""
    write_section(PAGE, "text", FILE, tables)


def tables(document: Mapping[str, Any]) -> str:
    """A table and ten samples for each corpus."""
    parts = []
    for name, corpus in document["corpora"].items():
        size = f"V = {corpus['vocab_size']}, T = {corpus['max_length']}, {corpus['n_real']} sequences to learn from"
        samples = "".join(f"> {line}  \n" for line in corpus["samples"])
        parts.append(f"### {name}\n\n{size}.\n\n{metric_table(corpus['rows'])}\n{samples}")
    return "\n".join(parts)


if __name__ == "__main__":
    command_line("text", {"run": run, "report": report})
