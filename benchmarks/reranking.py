"""A discriminator's choice among candidates, beside the game that learns from it: which uses what it knows?

Maximum likelihood, and SeqGAN after its game, draw K sequences of which their discriminator takes one: the best, or one
by importance (``agents.reranking``). Nothing more is trained, and the likelihood of the choice is known, so that it is
measured as generators and their temperatures are. A likelihood ratio holds language models, which can be used with
neither a choice nor a game: one of them can be drawn from, and together they can teach the generator token by token.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.rivals import DistillationConfig, DistillationTrainer
from agents.runs.comparison import compare
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator, evaluate_run
from agents.runs.folder import Record, RunFolder
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.phases import TEMPERATURES as CURVE
from agents.runs.report import markdown_table
from agents.runs.sample import load_generator
from agents.runs.workers import side_by_side
from benchmarks.distillation import TEACHING
from benchmarks.harness import (
    RESULTS,
    begin_results,
    command_line,
    keep_result,
    kept_result,
    mean_cell,
    measured_with,
    write_results,
)
from benchmarks.pages import reporter
from benchmarks.rewards.games import SCENARIOS, games
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import PositiveInt, check_choice
from seqgan_env.discriminators import GenerativeDiscriminator
from seqgan_env.task import Task

FILE = RESULTS / "reranking.json"
JUDGES = ("log_d", "generative")
"""The games whose discriminators choose."""
RULES = ("best_of", "resample")
CANDIDATES = {1.0: (2, 4, 8, 16), 0.8: (8,), 1.2: (8,)}
"""The numbers K at each temperature of the generator."""
KEPT = ("nll_oracle", "nll_test", "kl_forward", "kl_reverse", "kl_sum")
ALONE = "alone"
ONE_MODEL = "one of its models"
TAUGHT = {
    "taught by its models": TEACHING["forward"],
    "taught by its models, reverse divergence": TEACHING["reverse"],
}
"""The ways in which the language models of a discriminator teach the generator."""
N_EPOCHS = 50
"""The passes over the real sequences in which they do: about the seconds of the game."""


def run(
    out: Path = Path("runs/rewards"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    scenario: str = "small generator",
    only: tuple[str, ...] = (),
) -> None:
    """Do the runs, let their discriminators choose, and write the results.

    Args:
        out: where the runs are kept, the same as those of ``benchmarks.rewards``; what is done is not done again.
        seeds: how many, from 1.
        results: the JSON file.
        workers: processes side by side.
        scenario: a key of ``benchmarks.rewards.games.SCENARIOS``.
        only: some of the runs, ``JUDGES`` or, without a game, ``NAME-judge``; the rows of the others stay in the file.
    """
    own_seeds = list(range(1, 1 + seeds))
    check_choice("scenario", scenario, SCENARIOS)
    before = begin_results(results)
    kept = before if only and before else {"rows": {}}
    for name, wanted in (("seeds", own_seeds), ("scenario", scenario)):
        if kept.get(name, wanted) != wanted:
            raise ValueError(f"{name} must be as in the rows that stay, {kept[name]!r}, got {wanted!r}")
    rows: dict[str, list[Record]] = {}
    for seed in own_seeds:
        folder = out / scenario.replace(" ", "-") / str(seed)
        runs = _runs(seed, scenario)
        for name in only:
            check_choice("only", name, runs)
        runs = {name: config for name, config in runs.items() if name in (only or runs)}
        records = compare(runs, folder, n_workers=workers)
        jobs = {name: (folder / name,) for name in runs}
        for name, chosen in side_by_side(choices, jobs, workers).items():
            phase = FINAL_TEMPERATURE if name in JUDGES else TEMPERATURE
            curve = [record for record in records[name] if record["phase"] == phase]
            for key, record in {**_alone(curve), **chosen}.items():
                rows.setdefault(_row(runs, name, key), []).append(_kept(record))
        of_models = {name: job for name, job in jobs.items() if name not in JUDGES and "generative" in name}
        for name, curves in side_by_side(model_curves, of_models, workers).items():
            for model, curve in curves.items():
                for key, record in _alone(curve).items():
                    rows.setdefault(f"{runs[name].label}, {model}, {key}", []).append(_kept(record))
    stay = {row: own for row, own in kept["rows"].items() if not row.startswith(tuple(_row(runs, n) for n in runs))}
    write_results(results, {"scenario": scenario, "seeds": own_seeds, "rows": {**stay, **rows}})


def _row(runs: Mapping[str, RunConfig], name: str, key: str = "") -> str:
    """The name of a row, or without a key the beginning of all rows of a run."""
    return f"{runs[name].label}, {'SeqGAN' if name in JUDGES else 'max. likelihood'}, {key}"


def _runs(seed: int, scenario: str) -> dict[str, RunConfig]:
    """The games, and the same without an update: a discriminator that knows maximum likelihood."""
    played = {name: own for name, own in games(seed, scenario).items() if name in JUDGES}
    without = {
        f"{name}-judge": dataclasses.replace(own, agent=dataclasses.replace(own.agent, n_updates=0))
        for name, own in played.items()
    }
    return {**played, **without}


def _alone(curve: Sequence[Record]) -> dict[str, Record]:
    """The generator without a choice: as it is, and at its best temperature."""
    as_it_is = next(record for record in curve if record["temperature"] == 1)
    return {ALONE: as_it_is, f"{ALONE}, best T": min(curve, key=lambda record: float(record["kl_sum"]))}


def _kept(record: Record) -> Record:
    return {name: record[name] for name in (*KEPT, "temperature")}


def choices(run_folder: Path) -> dict[str, Record]:
    """The measurements of every rule with each of ``CANDIDATES``, kept beside the run's folder."""
    file = run_folder.parent / f"{run_folder.name}-choices.json"
    made_with = {"config": RunFolder(run_folder).load_state()[0].to_dict()}
    found: dict[str, Record] = kept_result(file, (), made_with) or {}
    for temperature, numbers in CANDIDATES.items():
        for rule in RULES:
            for n in numbers:
                key = f"{rule} {n}" + (f", T = {temperature:g}" if temperature != 1 else "")
                if key not in found:
                    best_of, resample = (n, 1) if rule == "best_of" else (1, n)
                    record = evaluate_run(run_folder, None, temperature, best_of=best_of, resample=resample)
                    found[key] = {**record, "temperature": temperature}
                    keep_result(file, found, made_with)
    return found


def model_curves(run_folder: Path) -> dict[str, list[Record]]:
    """One of the discriminator's language models, and the generators that all have taught, at every temperature.

    Each was the generator of the run, which knows maximum likelihood alone. Kept beside the run's folder.
    """
    file = run_folder.parent / f"{run_folder.name}-models.json"
    config, _ = RunFolder(run_folder).load_state()
    ways = {name: rival.settings(config) for name, rival in TAUGHT.items()}
    taught = {name: dataclasses.asdict(settings) for name, settings in ways.items()}
    made_with = {"config": config.to_dict(), "taught": taught, "n_epochs": N_EPOCHS}
    if (done := kept_result(file, (ONE_MODEL, *TAUGHT), made_with)) is not None:
        return done
    loaded, task = load_generator(run_folder, "cpu", judged=True), Task(config.task)
    assert isinstance(loaded.judge, GenerativeDiscriminator)
    models = loaded.judge.language_models

    def curve(model: AutoregressiveModel) -> list[Record]:
        evaluator = Evaluator(task, model.eval(), config.evaluation.n, config.seed)
        return [{**evaluator.measure(temperature=t), "temperature": t} for t in CURVE]

    found = {ONE_MODEL: curve(models[0])}
    for name, settings in ways.items():
        generator = copy.deepcopy(loaded.model)
        assert isinstance(settings, DistillationConfig)
        trainer = DistillationTrainer(generator, models, settings, config.seed, total_epochs=N_EPOCHS)
        for _ in range(N_EPOCHS):
            trainer.epoch(task.real_sequences)
        found[name] = curve(generator)
    return keep_result(file, found, made_with)


def table(document: Mapping[str, Any]) -> str:
    """The table of the docs, in Markdown."""
    cells = {
        name: {column: mean_cell([record[column] for record in own]) for column in KEPT}
        for name, own in document["rows"].items()
    }
    return (
        f"The {document['scenario']}, seeds {', '.join(map(str, document['seeds']))}; mean ± half the width of a 95 % "
        f"interval (Student's t). Measured with {measured_with(document['environment'])}.\n\n"
        f"{markdown_table(cells, list(KEPT), first='discriminator, generator, choice')}\n"
    )


report = reporter("reranking", FILE, lambda document, _: table(document))

if __name__ == "__main__":
    command_line("reranking", {"run": run, "report": report})
