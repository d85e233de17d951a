"""Generators of real text: captions by words and quatrains by characters.

``python -m benchmarks.text run --data FOLDER`` trains the rows of ``SHOWN`` on ``CORPORA`` over several seeds (it
resumes) and writes ``benchmarks/results/text.json``; ``... report`` writes the tables, the sentences and the
picture of ``docs/results.md`` from it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table
from agents.runs.workers import side_by_side
from benchmarks.corpora import RealText, corpus_files, write_parts
from benchmarks.curves import BASELINE, diversity_at, record_at
from benchmarks.harness import (
    RESULTS,
    check_some,
    command_line,
    in_order,
    keep_result,
    kept_result,
    mean_cell,
    parts_that_stay,
    svg_figure,
    write_results,
)
from benchmarks.pages import reporter
from benchmarks.paper.grid import Cell, Grid, measured_on
from benchmarks.paper.rows import Scenario
from seqgan_env.checks import PositiveInt
from seqgan_env.sources.text_file import read_lines

FILE = RESULTS / "text.json"
N_MEASURED = 3_500
"""Sequences in each measurement of a row; the real ones are half of those that are held out."""
PARTS = ("train", "test")
"""The files of a corpus. Their different lines are put together and split anew: the first file alone is too small to
hold some out."""
REAL = "real text"
SHOWN = (BASELINE, "SeqGAN log D", "PG-BLEU", "SeqGAN log-ratio, generative", "distilled")
"""The rows of the paper's experiment that are trained on text."""
AT_ONE = ("nll_test", "bleu_4", "self_bleu_4", "js_2", "copied", "lm_forward", "lm_reverse", "frechet")
"""The measurements at temperature 1 that the tables have."""
QUALITY = "bleu_4"
DIVERSITIES = {"self_bleu_4": "Self-BLEU-4: less is more diverse", "nll_test": "nll test: less foresees more"}
"""The metrics of the curves over temperature, and what their axes say."""
LEVELS = (1.0, 0.7)
"""The temperatures of maximum likelihood whose BLEU-4 the rows are compared at."""
_GROUPS = ("text",), ("language_model",)  # of metrics, at every temperature and at 1 alone
N_SHOWN = 5
"""Sentences of each row in the docs: the first that are drawn with the first seed."""


def _scenario(level: str, n_epochs: int, n_updates: int) -> Scenario:
    """Preset ``text``, some of it by the size of the corpus."""
    preset = PRESETS["text"]
    base = dataclasses.replace(
        preset,
        task=dataclasses.replace(preset.task, level=level, long_lines="drop"),
        pretraining=dataclasses.replace(preset.pretraining, n_epochs=n_epochs),
        evaluation=dataclasses.replace(preset.evaluation, every=preset.agent.n_updates, metrics=()),
        runtime=dataclasses.replace(preset.runtime, n_threads=1),
    )
    # the preset's 60 updates play a fortieth of the episodes that the ratio's game does
    more = {"SeqGAN log D": {"agent": {"n_updates": n_updates}}}
    models = {"n_members": 5, "embedding_dim": 128, "hidden_dim": 256, "dropout": 0.5, "validation": 0.0}
    schedule = {"n_epochs": n_epochs, "learning_rate": 0.01}
    return Scenario(base, {**models, **schedule}, n_updates, {"distillation": n_epochs}, of_row=more)


CORPORA: dict[str, Scenario] = {
    "image_coco": _scenario("word", 25, 600),
    "tang_quatrains": _scenario("char", 12, 600),
}
"""By the beginning of the names of its files: captions by words, and classical quatrains by characters."""


def run(
    data: Path = Path(),
    out: Path = Path("runs/text"),
    seeds: PositiveInt = 3,
    results: Path = FILE,
    workers: PositiveInt = 2,
    only: tuple[str, ...] = tuple(CORPORA),
    n: PositiveInt = N_MEASURED,
) -> None:
    """Train every row on each corpus and write the results; those of other corpora stay in the file.

    Args:
        data: the folder that holds image_coco_train.txt, image_coco_test.txt, and the same of tang_quatrains.
        out: where the runs are kept; what is done is not done again.
        seeds: the number of seeds, which are 1, 2, and so on; those from 100 on are for choosing settings.
        results: the JSON file.
        workers: processes side by side.
        only: some of ``CORPORA``.
        n: sequences in each measurement.

    Raises:
        ValueError: an unknown corpus, or what is done in ``out`` was done with other settings.
        OSError: no file can be written there, or a corpus can't be read.
    """
    check_some("only", only, CORPORA)
    corpora = parts_that_stay(results, "corpora", only)
    numbers = list(range(1, 1 + seeds))
    files = {name: [data / f"{name}_{part}.txt" for part in PARTS] for name in only}
    lines = {
        name: [line for file in parts for line in read_lines(file)] for name, parts in files.items()
    }  # before any work
    out.mkdir(parents=True, exist_ok=True)
    for name in only:
        write_parts(lines[name], corpus_files(name, out), CORPORA[name].base.task.n_real)
    grids = {name: grid_of(name, out, n) for name in only}
    for grid in grids.values():
        grid.check(SHOWN, numbers)
    for name, grid in grids.items():
        found = grid.measure(SHOWN, numbers, workers)
        real = side_by_side(measure_real, {seed: (name, out, n, seed) for seed in numbers}, workers)
        task = grid.start("strongest", numbers[0]).game.task
        corpora[name] = {
            "seeds": numbers,
            "n": n,
            "config": _without_folder(grid.scenario.base, f"{name}.txt"),
            "vocab_size": task.spec.vocab_size,
            "max_length": task.spec.max_length,
            "n_real": len(task.real_sequences),
            REAL: list(real.values()),
            "rows": {row: [found[Cell(row, seed)] for seed in numbers] for row in SHOWN},
        }
    write_results(results, {"corpora": in_order(corpora, CORPORA)})


def grid_of(name: str, out: Path, n: int) -> Grid:
    """The rows of a corpus.

    Args:
        name: a key of ``CORPORA``.
        out: the folder of the runs, which holds the parts of the corpus.
        n: sequences in each measurement.
    """
    train, held_out, _ = corpus_files(name, out)
    base = CORPORA[name].base.changed({"task": {"held_out": str(held_out)}})
    scenario = dataclasses.replace(CORPORA[name], base=base)
    return Grid(scenario, str(train), out / name, n, *_GROUPS)


def measure_real(name: str, out: Path, n: int, seed: int) -> dict[str, Any]:
    """Measure real sequences, which nothing was trained on, as if a generator had drawn them.

    Args:
        name: a key of ``CORPORA``.
        out: see ``grid_of``.
        n: sequences, at most as many as there are.
        seed: which of them, and what is random in the measurement.
    """
    file, settings = out / name / f"{seed}/real.json", {"n": n, "seed": seed}
    if (done := kept_result(file, (QUALITY,), settings)) is not None:
        return done
    task = grid_of(name, out, n).start("strongest", seed).game.task
    text = RealText(task, corpus_files(name, out)[2])
    at_one = Evaluator(task, text, min(n, len(text)), seed, groups=[*itertools.chain(*_GROUPS)]).measure("paper")
    return keep_result(file, at_one, settings)


def _without_folder(config: RunConfig, name: str) -> dict[str, Any]:
    return config.changed({"task": {"source": name, "held_out": None}}).to_dict()


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """A table, sentences and a picture for each corpus, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the picture is drawn; None draws none.
    """
    machines = measured_on(each for corpus in document["corpora"].values() for each in corpus["rows"].values())
    parts = [
        "Mean ± half the width of a 95 % interval (Student's t) over seeds, at temperature 1. Measured on "
        f"{machines}.\n"
    ]
    for name, corpus in document["corpora"].items():
        seeds, rows = corpus["seeds"], corpus["rows"]
        at_one = {row: [record_at(each) for each in cells] for row, cells in rows.items()}
        lm_real = mean_cell([r["lm_real"] for r in at_one[BASELINE]])
        cells = {
            row: {metric: mean_cell([r[metric] for r in found]) for metric in AT_ONE if metric in found[0]}
            for row, found in {REAL: corpus.get(REAL, []), **at_one}.items()
            if found
        }
        parts.append(
            f"### {name}\n\nV = {corpus['vocab_size']}, T = {corpus['max_length']}, {corpus['n_real']:,} sequences to "
            f"learn from, seeds {seeds[0]} to {seeds[-1]}, {corpus['n']:,} generated sequences in each measurement, "
            f"{at_one[BASELINE][0]['bleu_references']:,.0f} references of BLEU. Of both language models' scores real "
            f"sequences have {lm_real}.\n\n{markdown_table(cells, list(AT_ONE), first='row')}\n"
            f"Less that of maximum likelihood, where BLEU-4 is what that has at a temperature:\n\n{differences(rows)}"
        )
        for row, found in rows.items():
            lines = "".join(f"> {line}  \n" for line in found[0]["samples"][:N_SHOWN])
            parts.append(f"{row}:\n\n{lines}")
    parts.append("![BLEU-4 against Self-BLEU-4 and nll test by temperature, a line a seed.](text.svg)\n")
    if pictures is not None:
        draw(document["corpora"], pictures / "text.svg")
    return "\n".join(parts)


def differences(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Each of ``DIVERSITIES`` less that of maximum likelihood of the same seed, at the BLEU-4 of its temperatures.

    Args:
        rows: the results of each, one for each seed.
    """
    cells: dict[str, dict[str, str]] = {row: {} for row in rows if row != BASELINE}
    for metric in DIVERSITIES:
        for level in LEVELS:
            for row, cell in cells.items():
                gains: list[float | None] = []
                for own, theirs in zip(rows[row], rows[BASELINE], strict=True):
                    baseline = record_at(theirs, level)
                    curve = [(r["temperature"], -r[QUALITY], r[metric]) for r in own["records"]]
                    found = diversity_at(curve, -baseline[QUALITY])
                    gains.append(None if found is None else found - baseline[metric])
                cell[f"{metric}, T = {level:g}"] = mean_cell(gains, "+")
    return markdown_table(cells, list(next(iter(cells.values()))), first="row")


def draw(corpora: Mapping[str, Any], file: Path) -> None:
    """Draw quality against diversity over temperature, a column for each corpus, and write the picture.

    Args:
        corpora: the results by name.
        file: an SVG file.
    """
    with svg_figure(file, (5 * len(corpora), 4.2 * len(DIVERSITIES))) as figure:
        panels = figure.subplots(len(DIVERSITIES), len(corpora), squeeze=False)
        for own, (metric, label) in zip(panels, DIVERSITIES.items(), strict=True):
            for axes, (name, corpus) in zip(own, corpora.items(), strict=True):
                for index, (row, cells) in enumerate(corpus["rows"].items()):
                    line = {"color": "black" if row == BASELINE else f"C{index}", "ms": 2, "lw": 1, "alpha": 0.8}
                    for seed, cell in enumerate(cells):
                        points = [(r[metric], r[QUALITY]) for r in cell["records"]]
                        axes.plot(*zip(*points, strict=True), "o-", label="" if seed else row, **line)
                for seed, found in enumerate(found for found in corpus.get(REAL, []) if metric in found):
                    axes.plot(found[metric], found[QUALITY], "k*", ms=9, label="" if seed else REAL)
                axes.set(title=name, xlabel=label, ylabel="BLEU-4: more is better")
                axes.grid(alpha=0.3)
                axes.legend()
        figure.suptitle("up and left is better; temperatures from 1.2 to 0.4")


report = reporter("text", FILE, tables)

if __name__ == "__main__":
    command_line("text", {"run": run, "report": report})
