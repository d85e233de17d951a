"""The tables and pictures of docs/benchmark.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.runs.report import markdown_table
from agents.sweeps.cells import IRRELEVANT
from agents.sweeps.groups import Group
from agents.sweeps.pictures import curve
from agents.sweeps.report import improvement_table, shown_interval
from agents.sweeps.statistics import interquartile_mean
from benchmarks.algorithms import comparison
from benchmarks.algorithms.comparison import OVERALL
from benchmarks.harness import measured_with, svg_figure
from benchmarks.pages import DOCS, write_section

PAGE = DOCS / "benchmark.md"
_COSTS = ("scored", "seconds")


def report(results: Path = comparison.FILE, page: Path = PAGE, searched: Path = comparison.SEARCH) -> None:
    """Write the tables into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
        searched: the results of ``search``.
    """
    write_section(page, "search", searched, search_table)
    write_section(page, "algorithms", results, lambda document: tables(document, page.parent))


def search_table(document: Mapping[str, Any]) -> str:
    """The settings that were found, in Markdown."""
    parts = [f"Measured, the last task of all, with {measured_with(document['environment'])}.\n"]
    for task, found in document["tasks"].items():
        rows = {}
        for name, tried in found["tried"].items():
            scores = [row["score"] for row in tried]
            rows[name] = {
                "best": f"{scores[0]:.3f}",
                "median": f"{statistics.median(scores):.3f}",
                "best settings": ", ".join(f"`{key}={value:g}`" for key, value in tried[0]["settings"].items()),
            }
        table = markdown_table(rows, ["best", "median", "best settings"], first="algorithm")
        parts.append(f"**{task}**, from {found['start']:.3f}:\n\n{table}")
    return "\n".join(parts)


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The tables of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the pictures are drawn; None draws none.
    """
    seeds = f"{document['seeds'][0]} to {document['seeds'][-1]}"
    parts = [
        f"Seeds {seeds}; interquartile mean and its 95 % interval by the bootstrap over seeds; below 0 is better. "
        "`scored`: sequences that the discriminator scored, the mean of a run; seconds: the median of a run; both "
        f"without the constant reward. Measured, the last runs of all, with {measured_with(document['environment'])}.\n"
    ]
    for task, runs in document["tasks"].items():
        plain = [each for each in runs if each["shaping"] in ("none", IRRELEVANT)]
        shaped = [
            each
            for each in runs
            if each["algorithm"] in comparison.SHAPED and each["reward"] == "log_d" and "error" not in each
        ]
        for title, metric, own, columns in (
            ("the sum of both divergences at the best temperature, less that of the start", OVERALL, plain, "reward"),
            ("`js_2`, less that of the start", "js_2", plain, "reward"),
            ("shapings beside log D: the same sum, less that of the start", OVERALL, shaped, "shaping"),
        ):
            if {each[columns] for each in own} - {"none", IRRELEVANT}:  # shapings are played last
                parts.append(f"**{task}**: {title}.\n\n{_table(own, metric, columns)}")
                if own is shaped:
                    parts.append(f"**{task}**: what a run with each shaping costs.\n\n{_costs(own)}")
        learnt: dict[str, list[dict[str, Any]]] = {}
        for each in plain:
            if (
                each["algorithm"] in comparison.algorithms()
                and each["reward"] in ("log_d", IRRELEVANT)
                and "error" not in each
            ):
                learnt.setdefault(each["algorithm"], []).append({**each, "axes": {"task": task}})
        group = Group(
            task, {name: learnt[name] for name in comparison.algorithms() if name in learnt}, is_relative=False
        )
        relative = improvement_table(group._replace(is_relative=True), OVERALL)  # or the spread of starts hides it
        parts.append(
            f"**{task}**: the probability that a run of the row ends with a lower such sum, as a share of its start's, "
            f"than one of the column, with the reward log D.\n\n{relative}"
        )
        picture = f"algorithms-{task}.svg"
        if pictures is not None:
            _draw(group, pictures / picture)
        parts.append(f"![The sum of both divergences over steps and over scored sequences.]({picture})\n")
    return "\n".join(parts)


def _draw(group: Group, file: Path) -> None:
    """Draw the sum of both divergences over both budgets, and write the picture."""
    with svg_figure(file, (9, 4.2), font_size=9) as figure:
        panels = dict(zip(("steps", "scored"), figure.subplots(1, 2, sharey=True), strict=True))
        for (budget, axes), scale in zip(panels.items(), ("linear", "symlog"), strict=True):
            for index, (name, own) in enumerate(group.runs.items()):
                places, values = curve(own, OVERALL, budget)
                if len(places) > 1:
                    middle = [interquartile_mean(row, n_resamples=500) for row in values]
                    low, high = ([getattr(each, end) for each in middle] for end in ("low", "high"))
                    axes.plot(places, [each.value for each in middle], color=f"C{index}", label=name)
                    axes.fill_between(places, low, high, alpha=0.15, color=f"C{index}", lw=0)
            axes.set_xscale(scale)
            axes.grid(alpha=0.3)
            axes.set_xlabel(
                {"steps": "steps: tokens chosen", "scored": "sequences scored by the discriminator"}[budget]
            )
        panels["steps"].set_ylabel("sum of both divergences, best T (nats per token)")
        panels["steps"].xaxis.set_major_formatter(lambda steps, _: f"{steps:,.0f}")
        panels["steps"].locator_params("x", nbins=5)
        figure.legend(*panels["steps"].get_legend_handles_labels(), loc="outside lower center", ncols=len(group.runs))
        figure.suptitle(f"{group.name}, reward log D: interquartile mean of the seeds, lower is better")


def _table(runs: Sequence[Mapping[str, Any]], metric: str, columns: str) -> str:
    """A row for each algorithm, and a column for each of its rewards or shapings."""
    changes: dict[str, dict[str, list[float]]] = {}
    paid: dict[str, list[Mapping[str, Any]]] = {}
    for each in runs:
        if "error" not in each and metric in each["records"][-1]:
            change = each["records"][-1][metric] - each["start"][metric]
            changes.setdefault(each["algorithm"], {}).setdefault(each[columns], []).append(change)
            if each["reward"] != "constant":
                paid.setdefault(each["algorithm"], []).append(each)
    rows = {}
    for algorithm in (name for name in (*comparison.algorithms(), comparison.CONTROL) if name in changes):
        own = changes[algorithm]
        rows[algorithm] = {name: shown_interval(interquartile_mean(values)) for name, values in own.items()}
        if columns != "shaping" and algorithm in paid:
            rows[algorithm] |= _cost(paid[algorithm])
    found = {name for own in rows.values() for name in own}
    names = [name for name in (*comparison.REWARDS, *comparison.SHAPINGS, IRRELEVANT, *_COSTS) if name in found]
    return markdown_table(rows, names, first="algorithm")


def _costs(runs: Sequence[Mapping[str, Any]]) -> str:
    """A row for each algorithm with each shaping."""
    rows = {
        f"{algorithm}, {shaping}": _cost(own)
        for algorithm in comparison.SHAPED
        for shaping in comparison.SHAPINGS
        if (own := [each for each in runs if (each["algorithm"], each["shaping"]) == (algorithm, shaping)])
    }
    return markdown_table(rows, list(_COSTS), first="algorithm and shaping")


def _cost(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The sequences scored by a run, their mean, and its seconds, whose median a run that stood still does not move."""
    n_scored = statistics.fmean(each["records"][-1]["scored"] for each in runs)
    seconds = statistics.median(each["wall_time_s"] for each in runs)
    return dict(zip(_COSTS, (f"{n_scored:,.0f}", f"{seconds:.0f}"), strict=True))
