"""The results of a sweep for a person: tables with intervals, a page of pictures, and numbers for another program.

Everything is made of ``results.jsonl`` alone. No metric is named here, but for the roles that metrics declare.
"""

from __future__ import annotations

import csv
import html
import importlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.runs.report import image, legend, markdown_table, shown_columns, write_page
from agents.sweeps.cells import AXES
from agents.sweeps.folder import DONE, Result, SweepFolder, read_results
from agents.sweeps.groups import Group, groups_of
from agents.sweeps.pictures import pictures
from agents.sweeps.statistics import Interval, improvement, interquartile_mean
from seqgan_env.checks import check_choice
from seqgan_env.files import atomic_write, one_line, refusal
from seqgan_env.metrics import Column, columns, columns_of_role

START = "pretrained generator"
"""The row of the generator that all runs of a task begin with."""


def chosen_metrics(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    """The metrics of pictures: those that are named, or else those that sum a generator up or say its quality.

    Returns:
        Their columns; none where no run is done.

    Raises:
        ValueError: an unknown metric.
    """
    if not _done(results):
        return []
    found = {name for result in results if result["status"] == DONE for name in result["records"][-1]}
    for name in names:
        check_choice("metric", name, [column for column in columns() if column in found])
    chosen = list(names) or [*columns_of_role("overall"), *columns_of_role("quality")]
    chosen = [name for name in chosen if name in found]
    if not chosen:
        in_tables = [name for name, column in columns().items() if name in found and column.subject == "generator"]
        chosen = in_tables[:1]
    return chosen


def table(group: Group) -> str:
    """The interquartile mean of every metric with its interval, in Markdown, a row for each kind of run."""
    shown = {
        name: column
        for name, column in _shown(run for own in group.runs.values() for run in own).items()
        if column.subject == "generator"
    }
    rows: dict[str, dict[str, str]] = {}
    if not group.is_relative:
        start = {
            name: _of_starts(name, (run for own in group.runs.values() for run in own))
            for name in shown
            if all(name in run["start"] for own in group.runs.values() for run in own)
        }
        rows[START] = {shown[name].label: _number(interquartile_mean(values).value) for name, values in start.items()}
    for label, own in group.runs.items():
        row = {"runs": str(len(own))}
        for name, column in shown.items():
            if strata := group.strata(own, name):
                n_found = sum(map(len, strata.values()))
                row[column.label] = shown_interval(
                    interquartile_mean(*strata.values()), flip=column.better == "higher"
                ) + (f" ({n_found} of {len(own)})" if n_found < len(own) else "")
        for name, unit in (("steps", ""), ("scored", ""), ("wall_time_s", " s")):
            row[name.removesuffix("_s").replace("_", " ")] = f"{sum(r[name] for r in own) / len(own):,.0f}{unit}"
        rows[label] = row
    titles = ["runs", *(column.label for column in shown.values()), "steps", "scored", "wall time"]
    return markdown_table(rows, titles, first="run")


def improvement_table(group: Group, metric: str) -> str:
    """The probability that the run of a row is better than that of a column, over the tasks that both have.

    Returns:
        A table in Markdown; the cell of two that share no task is empty.
    """
    strata = {label: group.strata(own, metric) for label, own in group.runs.items()}
    strata = {label: own for label, own in strata.items() if own}

    def cell(ours: str, theirs: str) -> str:
        if ours == theirs or not (both := strata[ours].keys() & strata[theirs].keys()):
            return ""
        x, y = ([own for task, own in strata[label].items() if task in both] for label in (theirs, ours))
        return shown_interval(improvement(x, y), digits=2)

    rows = {ours: {theirs: cell(ours, theirs) for theirs in strata} for ours in strata}
    return markdown_table(rows, list(strata), first="is better than")


def shown_interval(interval: Interval, *, flip: bool = False, digits: int = 3) -> str:
    """An interval as text.

    Args:
        interval: the interval.
        flip: whether its sign was changed, so that lower was better.
        digits: after the point.
    """
    value, low, high = (-interval.value, -interval.high, -interval.low) if flip else interval
    return f"{_number(value, digits)} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float, digits: int = 3) -> str:
    """A number as text, without the sign of what is rounded to zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _of_starts(name: str, runs: Iterable[Result]) -> list[float]:
    """A number of the pretrained generators, each once, however many runs began with it."""
    return [value for *_, value in sorted({(run["axes"]["task"], run["seed"], run["start"][name]) for run in runs})]


def _shown(runs: Iterable[Result]) -> Mapping[str, Column]:
    """The columns that at least one run has in its last record, of those that belong in tables."""
    return shown_columns({str(number): run["records"][-1] for number, run in enumerate(runs)})


def failures(results: Sequence[Result]) -> list[str]:
    """A line for each run that failed."""
    return [
        one_line(f"{', '.join(filter(None, result['axes'].values()))}, seed {result['seed']}: {result['error']}")
        for result in results
        if result["status"] != DONE
    ]


def markdown(results: Sequence[Result], metrics: Sequence[str] = ()) -> str:
    """The tables as a document, with the probabilities of improvement by some metrics."""
    parts = ["# Sweep\n"]
    for group in groups_of(results):
        parts.append(
            f"## {one_line(group.name)}\n\n{_INTERVALS}{_RELATIVE if group.is_relative else ''}\n\n{table(group)}"
        )
        for metric in filter(_has_better, metrics):
            title = f"### Probability of improvement, {columns()[metric].label}"
            parts.append(f"{title}\n\n{improvement_table(group, metric)}")
    if failed := failures(results):
        parts.append("## Failed\n\n" + "\n".join(f"- {line}" for line in failed) + "\n")
    return "\n".join(parts)


_INTERVALS = "Interquartile mean over runs, with a 95 % interval of the stratified bootstrap."
_RELATIVE = " Each number is a multiple of that of the pretrained generator: 1 is no change."


def page(results: Sequence[Result], metrics: Sequence[str]) -> list[str]:
    """The same as HTML, with pictures."""
    parts = ["<h1>Sweep</h1>"]
    for group in groups_of(results):
        parts.append(f"<h2>{html.escape(group.name)}</h2><p>{_INTERVALS}{_RELATIVE if group.is_relative else ''}</p>")
        parts.append(_html_table(table(group)))
        for metric in metrics:
            if _has_better(metric):
                title = html.escape(f"Probability of improvement, {columns()[metric].label}")
                parts.append(f"<h3>{title}</h3>{_html_table(improvement_table(group, metric))}")
            parts.append("".join(image(name, png) for name, png in pictures(group, metric)))
    explained = legend(_shown(_done(results)))
    parts.append(f"<p class=legend>{'<br>'.join(map(html.escape, explained))}</p>")
    if failed := failures(results):
        parts.append(f"<h2>Failed</h2><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in failed)}</ul>")
    return parts


def _has_better(metric: str) -> bool:
    """Whether a lower or a higher number is better, so that one run can improve on another."""
    return columns()[metric].better != "neither"


def _done(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result["status"] == DONE]


def _html_table(text: str) -> str:
    """A table in Markdown as HTML."""
    rows = [[html.escape(cell.replace(r"\|", "|")) for cell in line[2:-2].split(" | ")] for line in text.splitlines()]
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f"<table><tr>{head}</tr>{body}</table>"


def measurements(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Every measurement of every run that is done, with the run's names, commit, hardware and memory, as a row each.

    All rows have the same columns; what a run lacks is None.
    """
    made = []
    for run in _done(results):
        environment = run.get("environment", {})
        of_run = {
            **dict.fromkeys(AXES, ""),
            **run["axes"],
            "seed": run["seed"],
            **{name: environment.get(name) for name in ("commit", "processor", "gpu")},
            "peak_memory_mb": run.get("peak_memory_mb"),
        }
        made += [{**of_run, **record} for record in run["records"]]
    names = dict.fromkeys(name for row in made for name in row)
    return [{name: row.get(name) for name in names} for row in made]


def comma_separated(results: Sequence[Result]) -> str:
    """The ``measurements`` as text."""
    made = measurements(results)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(made[0]) if made else [*AXES, "seed"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(made)
    return file.getvalue()


def write_report(source: str | Path, metrics: Sequence[str] = (), *, parquet: bool = False) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``report.csv`` beside the results, also where all runs have failed.

    Args:
        source: a file of results, or the folder of a sweep.
        metrics: of the pictures; by default those that sum a generator up and that say its quality.
        parquet: write ``report.parquet`` too, the numbers of ``report.csv`` with their types.

    Returns:
        The files.

    Raises:
        ValueError: there are no results, a metric is unknown, a file of the report would be written over
            the results, or Parquet needs what is not installed.
    """
    if parquet:
        try:
            arrow, writer = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise ValueError(
                "Parquet needs pyarrow, which is not installed: pip install 'seqgan-env[parquet]'"
            ) from error
    results = read_results(source)
    chosen = chosen_metrics(results, metrics)
    stem = SweepFolder(source).report if Path(source).is_dir() else Path(source).with_suffix("")
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".html", ".md", ".csv", ".parquet")[: 3 + parquet]]
    if any(path.exists() and path.samefile(source) for path in paths):
        raise ValueError(f"the report would be written over {source}: results need another name, as results.jsonl")
    write_page(paths[0], page(results, chosen))
    for path, text in zip(paths[1:3], (markdown(results, chosen), comma_separated(results)), strict=True):
        with atomic_write(path) as file:
            file.write(text.encode())
    if parquet:
        with refusal(source, "file of results"):
            columns_of_types = arrow.Table.from_pylist(measurements(results))
        with atomic_write(paths[-1]) as file:
            writer.write_table(columns_of_types, file)
    return paths
