"""SeqGAN on real text: captions by words and quatrains by characters.

``python -m benchmarks.text run --data FOLDER`` trains on the files of ``CORPORA`` (it resumes) and writes
``benchmarks/results/text.json``; ``... report`` writes the tables of ``docs/results.md`` from it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tyro

from agents.experiment import CONFIG, SAMPLES, Experiment
from agents.presets import PRESETS
from agents.report import COLUMNS, markdown_table, summary
from benchmarks.environment import describe
from benchmarks.page import DOCS, RESULTS, replace_section

FILE = RESULTS / "text.json"
PAGE = DOCS / "results.md"

CORPORA: dict[str, dict[str, Any]] = {
    "image_coco_train.txt": {"level": "word"},
    "tang_quatrains_train.txt": {"level": "char", "generator_epochs": 8, "n_updates": 30},
}
"""File names, with what differs from the preset ``text``."""


def run(data: Path, out: Path = Path("runs/text"), seed: int = 0, n_threads: int | None = None) -> None:
    """Train on each corpus and write the results.

    Args:
        data: the folder of the corpora.
        out: where the runs are kept; what is done is not done again.
        seed: everything random follows it.
        n_threads: threads of torch.
    """
    corpora = {}
    for name, settings in CORPORA.items():
        config = dataclasses.replace(
            PRESETS["text"], source=str(data / name), seed=seed, n_threads=n_threads, **settings
        )
        folder = out / Path(name).stem
        experiment = Experiment(config, folder, resume=(folder / CONFIG).exists())
        rows = summary({config.reward: experiment.run()})
        spec = experiment.task.spec
        corpora[name] = {
            "config": {**dataclasses.asdict(config), "source": name},
            "vocab_size": spec.vocab_size,
            "max_length": spec.max_length,
            "n_real": len(experiment.task.real_sequences),
            "rows": {row: dict(record) for row, record in rows.items()},
            "samples": (folder / SAMPLES).read_text(encoding="utf-8").splitlines()[:10],
        }
    document = {"environment": describe(), "seed": seed, "corpora": corpora}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {FILE}", file=sys.stderr)


def report() -> None:
    """Write the tables into the docs."""
    replace_section(PAGE, "text", tables(json.loads(FILE.read_text(encoding="utf-8"))))
    print(f"wrote {PAGE}", file=sys.stderr)


def tables(document: Mapping[str, Any]) -> str:
    """A table and ten samples for each corpus."""
    parts = []
    for name, corpus in document["corpora"].items():
        columns = [c for c in COLUMNS if any(c in row for row in corpus["rows"].values())]
        cells = {
            row: {COLUMNS[c]: f"{record[c]:.3f}" for c in columns if c in record}
            for row, record in corpus["rows"].items()
        }
        size = f"V = {corpus['vocab_size']}, T = {corpus['max_length']}, {corpus['n_real']} sequences to learn from"
        samples = "".join(f"> {line}  \n" for line in corpus["samples"])
        parts.append(f"### {name}\n\n{size}.\n\n{markdown_table(cells, [COLUMNS[c] for c in columns])}\n{samples}")
    return "\n".join(parts)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "report": report}, prog="python -m benchmarks.text")
