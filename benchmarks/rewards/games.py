"""The games of the demo over several seeds, with a small generator and with a large one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from agents.runs.comparison import compare
from agents.runs.config import Parts, PretrainingConfig, RunConfig
from agents.runs.demo import BOTH_DIVERGENCES, DENSE, demo_runs
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.presets import LOG_RATIO, PRESETS, TOKENWISE
from agents.runs.report import markdown_table, summary
from benchmarks.curves import BASELINE, Curve, below_cell, curve_of, gain_at
from benchmarks.harness import (
    RESULTS,
    check_some,
    in_order,
    mean_cell,
    measured_with,
    metric_table,
    parts_that_stay,
    svg_figure,
    write_results,
)
from benchmarks.pages import reporter
from seqgan_env.checks import PositiveInt
from seqgan_env.metrics import columns

FILE = RESULTS / "rewards.json"


class Scenario(NamedTuple):
    """A generator after maximum likelihood, and the games that begin there."""

    config: RunConfig
    games: Mapping[str, Parts]
    """By name: the parts in which each differs."""


def _games(learned: Parts, exact: Parts, log_d: Parts = MappingProxyType({})) -> dict[str, Parts]:
    return {
        "log_d": log_d,
        "generative": learned,
        "constant": {"task": {"reward": "constant"}, "agent": {"n_completions": 1}},
        "exact": {**exact, "adversary": {"exact": True}},
    }


def _of_sequences(members: Mapping[str, Any]) -> dict[str, Parts]:
    """The games of ``seqgan demo`` at full length."""
    agent = {**DENSE, "n_updates": 200, "n_episodes": 1024, "learning_rate": 0.03}
    task = {**BOTH_DIVERGENCES, "discriminator": "generative", "discriminator_kwargs": dict(members)}
    adversary = {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 1024}
    return _games({"task": task, "adversary": adversary, "agent": agent}, {"task": BOTH_DIVERGENCES, "agent": agent})


def _of_tokens(members: Mapping[str, Any]) -> dict[str, Parts]:
    """Those of the paper's experiment: in a long sequence of many possible ones, the ratio of the whole is nearly 0."""
    agent = {**TOKENWISE, "n_updates": 300}
    task = {**LOG_RATIO, "discriminator": "generative", "discriminator_kwargs": dict(members)}
    adversary = {"n_rounds": 1, "n_generated": 64, "every_n_episodes": TOKENWISE["n_episodes"]}
    gentle = {"agent": {"learning_rate": 1e-3, "final_learning_rate": 1e-4}}
    learned: Parts = {"task": task, "adversary": adversary, "agent": agent}
    return _games(learned, {"task": LOG_RATIO, "agent": agent}, gentle)


_SCHEDULE = {"learning_rate": 0.01, "validation": 0.0}
SCENARIOS: dict[str, Scenario] = {
    "small generator": Scenario(
        dataclasses.replace(PRESETS["demo"], pretraining=PretrainingConfig(learning_rate=0.02, n_epochs=200)),
        # lesser models than the default teach it all that it can learn
        _of_sequences({"n_members": 2, "dropout": 0.2, "n_epochs": 15, **_SCHEDULE}),
    ),
    "large generator": Scenario(PRESETS["grammar"], _of_sequences({"validation": 0.0})),
    "synthetic oracle": Scenario(
        PRESETS["small"],
        _of_tokens(
            {"n_members": 4, "embedding_dim": 64, "hidden_dim": 64, "dropout": 0.1, "n_epochs": 25, **_SCHEDULE}
        ),
    ),
}
"""The embedded grammar, with the generator of ``seqgan demo``, here trained by maximum likelihood until more epochs
bring little, and with one that is large enough for the grammar; and the task of the SeqGAN paper at a small size."""

LEVELS = (1.0, 0.8, 0.7, 0.6, 0.5, 0.4)
"""The temperatures of maximum likelihood whose ``nll_test`` the curves are compared at; above 1 it is worse in both."""


def run(
    out: Path = Path("runs/rewards"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    only: tuple[str, ...] = tuple(SCENARIOS),
) -> None:
    """Do the runs and write the results; those of the scenarios that are left out stay in the file.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 1; 0 and those from 100 on were looked at when settings were chosen.
        results: the JSON file.
        workers: processes side by side.
        only: some of ``SCENARIOS``.
    """
    check_some("only", only, SCENARIOS)
    scenarios = parts_that_stay(results, "scenarios", only)
    own_seeds = list(range(1, 1 + seeds))
    for scenario in only:
        rows: dict[str, list[dict[str, Any]]] = {}
        curves: dict[str, list[Curve]] = {}
        for seed in own_seeds:
            runs = games(seed, scenario)
            done = compare(runs, out / scenario.replace(" ", "-") / str(seed), n_workers=workers)
            records = {runs[name].label: own for name, own in done.items()}
            for row, record in summary(records).items():
                # the best temperature differs from seed to seed
                rows.setdefault(re.sub(r", T = .*", ", best T", row), []).append(dict(record))
            starts = [r for r in next(iter(records.values())) if r["phase"] == TEMPERATURE]
            curves.setdefault(BASELINE, []).append(curve_of(starts))
            for label, own in records.items():
                ends = [r for r in own if r["phase"] == FINAL_TEMPERATURE]
                curves.setdefault(f"SeqGAN {label}", []).append(curve_of(ends))
        config = SCENARIOS[scenario].config.to_dict()
        scenarios[scenario] = {"seeds": own_seeds, "config": config, "rows": rows, "curves": curves}
    write_results(results, {"scenarios": in_order(scenarios, SCENARIOS)})


def games(seed: int, scenario: str) -> dict[str, RunConfig]:
    """The settings of the games of a scenario by name.

    Args:
        seed: everything random follows it.
        scenario: a key of ``SCENARIOS``.
    """
    return demo_runs(seed, *SCENARIOS[scenario])


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The tables of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the pictures are drawn; None draws none.
    """
    parts = [
        "Mean ± half the width of a 95 % interval (Student's t). Measured with "
        f"{measured_with(document['environment'])}.\n"
    ]
    for name, scenario in document["scenarios"].items():
        picture = f"rewards-{name.replace(' ', '-')}.svg"
        if pictures is not None:
            draw(scenario["curves"], pictures / picture, name)
        parts.append(
            f"### {name}\n\nSeeds {', '.join(map(str, scenario['seeds']))}.\n\n{table(scenario['rows'])}\n"
            "`nll oracle` less that of maximum likelihood at the `nll test` of each of its temperatures; *below*: at "
            "how many of these levels the curve lies under it, all measured temperatures and seeds together, and in "
            "how many seeds it does at each:\n\n"
            f"{differences(scenario['curves'])}\n![Quality against diversity by temperature.]({picture})\n"
        )
    return "\n".join(parts)


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Means and intervals of the columns that each seed has, one line a generator."""
    return metric_table(
        {
            name: {c: [r[c] for r in records] for c in columns() if all(c in r for r in records)}
            for name, records in rows.items()
        },
        mean_cell,
    )


def differences(curves: Mapping[str, Sequence[Curve]]) -> str:
    """The distance of each curve from that of maximum likelihood with the same seed, one column a temperature."""
    cells: dict[str, dict[str, str]] = {}
    for name, own in curves.items():
        if name == BASELINE:
            continue
        cells[name] = {}
        for level in LEVELS:
            gains = [gain_at(curve, baseline, level) for curve, baseline in zip(own, curves[BASELINE], strict=True)]
            cells[name][f"T = {level:g}"] = mean_cell(gains, "+")
        cells[name]["below"] = below_cell(own, curves[BASELINE])
    return markdown_table(cells, [*(f"T = {level:g}" for level in LEVELS), "below"], first="curve")


def draw(curves: Mapping[str, Sequence[Curve]], file: Path, title: str) -> None:
    """Draw every seed's curve, and write the picture.

    Args:
        curves: by the name of the generator.
        file: an SVG file.
        title: of the picture.
    """
    with svg_figure(file, (7, 4.6), font_size=9) as figure:
        axes = figure.subplots()
        for index, (name, own) in enumerate(curves.items()):
            color = "0.4" if name == BASELINE else f"C{index - 1}"
            for seed, curve in enumerate(own):
                points = [(quality, diversity) for t, quality, diversity in curve if t <= 1]
                axes.plot(*zip(*points, strict=True), "o-", ms=2, lw=1, color=color, label="" if seed else name)
        axes.set(
            title=f"{title}: down and left is better; temperatures from 1 down, a line a seed",
            xlabel="nll oracle (nats per token)",
            ylabel="nll test (nats per token)",
        )
        axes.legend()
        axes.grid(alpha=0.3)


report = reporter("rewards", FILE, tables)
