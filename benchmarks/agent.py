"""The worth of the policy gradient's options: each changes one thing, and what goes with it, of a base game.

``python -m benchmarks.agent run`` does the runs (it resumes) and writes ``benchmarks/results/agent.json``;
``python -m benchmarks.agent report`` writes the tables and the picture of ``docs/results.md`` from that file and trains
nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.runs.comparison import compare
from agents.runs.config import AdversaryConfig, Parts, RunConfig
from agents.runs.demo import BOTH_DIVERGENCES, DENSE
from agents.runs.folder import Record
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.presets import LOG_RATIO, TOKENWISE
from agents.runs.report import markdown_table
from agents.runs.workers import side_by_side
from benchmarks import distillation
from benchmarks.curves import BASELINE, KEPT, below_cell, best_sum, curves_of, gains_at, game_seconds, record_at
from benchmarks.harness import (
    RESULTS,
    check_some,
    command_line,
    in_order,
    mean_cell,
    measured_with,
    parts_that_stay,
    svg_figure,
    write_results,
)
from benchmarks.language_models import fit
from benchmarks.pages import reporter
from benchmarks.rewards.games import SCENARIOS
from seqgan_env.checks import PositiveInt

FILE = RESULTS / "agent.json"

JUDGES = ("exact", "generative")
"""The discriminators: the optimum, and language models that learnt the same sentences."""
_SAMPLED = {"inner_sums": False, "forward_kl": 0.0}
"""The changes of ``TOKENWISE`` with which a place's value is that of the token that was drawn."""
_OPTIONS: dict[str, Parts] = {
    "1,024 episodes": {"agent": {"n_episodes": 1024}},
    "entropy bonus 0.03": {"agent": {"entropy_bonus": 0.03}},
    "teacher forcing 0.5": {"agent": {"teacher_forcing": 0.5}},
    "KL to pretrained 0.3": {"agent": {"kl_penalty": 0.3}},
    "constant step size": {"agent": {"final_learning_rate": None}},
}


class Task(NamedTuple):
    """A generator after maximum likelihood, a game from there, and what is changed in it."""

    scenario: str
    """The key of ``benchmarks.rewards.games.SCENARIOS`` that has its generator and its language models."""
    base: Parts
    """The game, with fewer and smaller updates than there; its discriminator follows the generator untrained."""
    options: Mapping[str, Parts]
    """By name: the parts in which each game differs from the base, in one thing and what goes with it."""
    n_epochs: int
    """Of distillation: about the seconds of the base game with learned models."""

    @property
    def preset(self) -> RunConfig:
        """The task and its generator."""
        return SCENARIOS[self.scenario].config

    @property
    def models(self) -> Mapping[str, Any]:
        """Fields of ``GenerativeConfig``."""
        return dict(SCENARIOS[self.scenario].games["generative"]["task"]["discriminator_kwargs"])


_GAME: Parts = {
    "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 1},
    "evaluation": {"every": 1_000_000, "n": 2_000},
}
TASKS: dict[str, Task] = {
    "grammar": Task(
        "large generator",
        {
            **_GAME,
            "task": BOTH_DIVERGENCES,
            "agent": {**DENSE, "n_updates": 32, "n_episodes": 512, "learning_rate": 0.03},
        },
        {
            "base": {},
            "inner sums": {"agent": {"inner_sums": True}},
            "log-ratio alone": {"task": LOG_RATIO},
            "log-ratio alone, inner sums": {"task": LOG_RATIO, "agent": {"inner_sums": True}},
            "reward of the whole": {"agent": {"dense": False}},
            "128 episodes": {"agent": {"n_episodes": 128}},
            "128 episodes, 4 completions": {
                "agent": {"n_episodes": 128, "n_completions": 4, "dense": False, "baseline": "prefix"}
            },
            **_OPTIONS,
        },
        n_epochs=5,
    ),
    "small": Task(
        "synthetic oracle",
        {**_GAME, "task": LOG_RATIO, "agent": {**TOKENWISE, "n_updates": 100}},
        {
            "base": {},
            "without forward KL": {"agent": {"forward_kl": 0.0}},
            "without inner sums": {"agent": _SAMPLED},
            "both divergences, no inner sums": {"task": BOTH_DIVERGENCES, "agent": _SAMPLED},
            "reward of the whole": {"agent": {**_SAMPLED, "dense": False}},
            "64 episodes": {"agent": {"n_episodes": 64}},
            "64 episodes, 4 completions": {
                "agent": {**_SAMPLED, "n_episodes": 64, "n_completions": 4, "dense": False, "baseline": "prefix"}
            },
            **_OPTIONS,
        },
        n_epochs=1,
    ),
}
"""By name. The weights of the options are the best of three on seed 100 of the grammar."""
DISTILLED = "distilled"
LEVEL = 0.7
"""The temperature of maximum likelihood whose ``nll_test`` the curves are compared at."""


def run(
    out: Path = Path("runs/agent"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    tasks: tuple[str, ...] = tuple(TASKS),
) -> None:
    """Do the runs and write the results.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 1; those from 100 on are for choosing settings.
        results: the JSON file.
        workers: processes side by side.
        tasks: some of ``TASKS``; the others stay in the file.
    """
    check_some("tasks", tasks, TASKS)
    numbers = list(range(1, 1 + seeds))
    rows = parts_that_stay(results, "tasks", tasks, seeds=numbers)
    out.mkdir(parents=True, exist_ok=True)
    own = {task: TASKS[task] for task in tasks}
    side_by_side(fit, {name: (t.preset, _learned(out / name), t.models) for name, t in own.items()}, workers)
    rows |= {name: measure(t, out / name, numbers, workers) for name, t in own.items()}
    write_results(results, {"seeds": numbers, "tasks": in_order(rows, TASKS)})


def measure(task: Task, out: Path, seeds: Sequence[int], workers: int) -> dict[str, Any]:
    """All rows of one task: of each its ``seconds`` and its ``records``, one for each seed and temperature.

    Args:
        task: which.
        out: the folder of its runs, beside the file of its generative discriminator.
        seeds: of the runs.
        workers: processes side by side.
    """
    learned = _learned(out)
    rows: dict[str, list[dict[str, Any]]] = {}
    jobs = {}
    for seed in seeds:
        runs = games(task, seed, learned)
        done = compare(runs, out / str(seed), n_workers=workers)
        first = next(iter(runs))
        rows.setdefault(BASELINE, []).append(_row(done[first], TEMPERATURE))
        for name, records in done.items():
            rows.setdefault(name, []).append(_row(records, FINAL_TEMPERATURE))
        jobs[seed] = runs[first], out / str(seed) / first, learned, task.n_epochs, out / f"distilled-{seed}.json"
    rows[DISTILLED] = list(side_by_side(distillation.train, jobs, workers).values())
    return rows


def _learned(out: Path) -> Path:
    return out.with_suffix(".safetensors").resolve()


def games(task: Task, seed: int, learned: Path) -> dict[str, RunConfig]:
    """The settings of every game by name, all from the same maximum likelihood.

    Args:
        task: which.
        seed: everything random follows it.
        learned: the file of the generative discriminator.
    """
    start = dataclasses.replace(task.preset, seed=seed, adversary=AdversaryConfig())
    own: dict[str, dict[str, dict[str, Any]]] = {
        "exact": {"adversary": {"exact": True}},
        "generative": {"task": {"discriminator": str(learned), "discriminator_kwargs": {}}},
    }
    return {
        f"{judge}, {option}": start.changed(task.base, own[judge], changes)
        for judge in JUDGES
        for option, changes in task.options.items()
    }


def _row(records: Sequence[Record], phase: str) -> dict[str, Any]:
    """The generator of a phase by temperature, and the seconds of the game."""
    kept = [{name: r[name] for name in ("phase", *KEPT)} for r in records if r["phase"] == phase]
    return {"seconds": game_seconds(records) if phase == FINAL_TEMPERATURE else 0.0, "records": kept}


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The tables of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the picture is drawn; None draws none.
    """
    if pictures is not None:
        draw_curves(document["tasks"], pictures / "agent.svg")
    seeds = document["seeds"]
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t), median of the "
        "seconds; *below*: at the `nll test` of how many temperatures of maximum likelihood a curve lies under it, all "
        f"seeds together, and in how many it does at each. Measured with {measured_with(document['environment'])}.\n"
    ]
    for task, rows in document["tasks"].items():
        cells = {name: _cells(own, rows[BASELINE]) for name, own in rows.items()}
        parts.append(f"### Options of the agent, {task}\n\n{markdown_table(cells, list(cells[BASELINE]))}")
    parts.append("![Quality against diversity by temperature, the mean of the seeds.](agent.svg)\n")
    return "\n".join(parts)


def _cells(own: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The text of a row."""
    at_one = [record_at(row) for row in own]
    return {
        "KL forward": mean_cell([r["kl_forward"] for r in at_one]),
        "KL reverse": mean_cell([r["kl_reverse"] for r in at_one]),
        "KL sum, best T": mean_cell([best_sum(row) for row in own]),
        f"nll oracle at T = {LEVEL:g}": mean_cell(gains_at(own, baseline, LEVEL), "+"),
        "below": "" if own is baseline else below_cell(curves_of(own), curves_of(baseline)),
        "seconds": f"{np.median([row['seconds'] for row in own]):.0f}",
    }


def draw_curves(tasks: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], file: Path) -> None:
    """Draw the mean curve of every option over that of maximum likelihood, a panel a task and a discriminator.

    Args:
        tasks: the rows of each task.
        file: an SVG file.
    """
    with svg_figure(file, (11, 4.2 * len(tasks))) as figure:
        panels = figure.subplots(len(tasks), len(JUDGES), squeeze=False)
        for axes_J, (task, rows) in zip(panels, tasks.items(), strict=True):
            for axes, judge in zip(axes_J, JUDGES, strict=True):
                shown = {name.removeprefix(f"{judge}, "): own for name, own in rows.items() if name.startswith(judge)}
                shown = {BASELINE: rows[BASELINE], **shown}
                if judge == "generative":
                    shown[DISTILLED] = rows[DISTILLED]
                for index, (name, own) in enumerate(shown.items()):
                    of_seeds = [[(r["nll_oracle"], r["nll_test"]) for r in row["records"]] for row in own]
                    points = np.mean(of_seeds, axis=0)
                    color = "black" if name == BASELINE else f"C{index - 1}"
                    if name == BASELINE:  # what lies far above it would press all others together
                        axes.set_ylim(points[:, 1].min() - 0.05, points[:, 1].max() + 0.1)
                    axes.plot(*points.T, "o-" if index <= 10 else "s--", ms=2, lw=1, color=color, label=name)
                axes.set(title=f"{task}, {judge}: down and left is better", xlabel="nll oracle", ylabel="nll test")
                axes.grid(alpha=0.3)
                axes.legend(fontsize=6)


report = reporter("agent", FILE, tables)

if __name__ == "__main__":
    command_line("agent", {"run": run, "report": report})
