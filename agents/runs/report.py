"""Results that a person can look at: tables, and a page of plots that needs no other file.

No metric is named here: the columns of tables, the plots and the legend are those that the metrics declare.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from agents.runs.config import RunConfig
from agents.runs.folder import Record
from agents.runs.phases import ADVERSARIAL, DISCRIMINATOR, FINAL_TEMPERATURE, LIKELIHOOD, RANDOM, TEMPERATURE
from seqgan_env.files import atomic_write, printable
from seqgan_env.metrics import Column, columns, columns_of_role
from seqgan_env.metrics.base import trade_offs
from seqgan_env.tokens import Tokens

Records = Mapping[str, Sequence[Record]]
"""The evaluations of several runs, by the name that tables give each."""
Lengths = Mapping[str, Tokens]
"""The lengths of sets of sequences, ``(B,)``, by the name of each."""

_PANELS = (
    (LIKELIHOOD, "Maximum likelihood", "epoch", "generator"),
    (DISCRIMINATOR, "Discriminator's pretraining", "round", "discriminator"),
    (ADVERSARIAL, "Adversarial game", "policy updates", "generator"),
    (ADVERSARIAL, "Adversarial game", "policy updates", "discriminator"),
)
"""The plots: a phase, its title, the unit of its steps, and whose columns change in it."""


def summary(records: Records) -> dict[str, Record]:
    """The rows of a table of results: the generator at each stage, and each at the temperature that suits it best.

    Args:
        records: the first run's stand for what comes before the adversarial game.

    Returns:
        The record of each row by its name.
    """
    first = next(iter(records.values()))
    rows = {"random": _last(first, RANDOM), "max. likelihood": _last(first, TEMPERATURE, temperature=1.0)}
    start = next((r for r in first if r["phase"] == ADVERSARIAL and r["step"] == 0), None)
    if rows["max. likelihood"] is None:  # without temperatures; the game begins with the epoch that is kept
        likelihood = [r for r in first if r["phase"] == LIKELIHOOD]
        rows["max. likelihood"] = start or min(likelihood, key=lambda r: r["nll_validation"], default=None)
    rows |= _best_temperature("max. likelihood", first, TEMPERATURE)
    if start is not None and rows["max. likelihood"] is not None:
        # the same generator, after the pretraining of the discriminator
        of_discriminator = {name for name, column in columns().items() if column.subject == "discriminator"}
        scores = {name: value for name, value in start.items() if name in of_discriminator}
        rows["max. likelihood"] = {**rows["max. likelihood"], **scores}
    for name, own in records.items():
        rows[f"SeqGAN {name}"] = _last(own, ADVERSARIAL)
        rows |= _best_temperature(f"SeqGAN {name}", own, FINAL_TEMPERATURE)
    return {name: row for name, row in rows.items() if row is not None}


def _best_temperature(name: str, records: Sequence[Record], phase: str) -> dict[str, Record | None]:
    """The row of the temperature with the best overall column, if that was measured at several."""
    (overall,) = columns_of_role("overall")
    tempered = [r for r in records if r["phase"] == phase and overall in r]
    if not tempered:
        return {}
    best = min(tempered, key=lambda r: r[overall])
    return {f"{name}, T = {best['temperature']:g}": best}


def shown_columns(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Column]:
    """The columns of a table: those that belong in tables and that at least one row has, by field."""
    return {name: c for name, c in columns().items() if c.in_tables and any(name in row for row in rows.values())}


def legend(shown: Mapping[str, Column]) -> list[str]:
    """A line for each column that is shown."""
    better = {"lower": ", lower is better", "higher": ", higher is better", "neither": ""}
    return [f"{c.label}: {c.help} ({c.unit}{better[c.better]})" for c in shown.values()]


def rich_table(rows: Mapping[str, Record], title: str) -> Table:
    """The rows of ``summary`` for the terminal."""
    shown = {name: column for name, column in shown_columns(rows).items() if column.narrow}
    title_text = Text(printable(title), style="table.title")  # a file's name may look like markup
    table = Table(
        title=title_text, caption="\n".join(legend(shown)), caption_justify="left", box=SIMPLE_HEAD, padding=0
    )
    table.add_column("generator", overflow="fold")  # whose names alone are broken where a terminal is narrow
    for column in shown.values():
        table.add_column(column.narrow, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(Text(name), *(_number(row.get(field)) for field in shown))
    return table


def markdown_table(rows: Mapping[str, Mapping[str, str]], columns: Sequence[str], first: str = "generator") -> str:
    """A table for the docs, from cells that are text already; a line break becomes a space."""
    cells = [[first, *columns], *([name.strip(), *(row.get(c, "") for c in columns)] for name, row in rows.items())]
    lines = ["| " + " | ".join(" ".join(cell.splitlines()).replace("|", r"\|") for cell in row) + " |" for row in cells]
    lines.insert(1, "|---" * len(cells[0]) + "|")
    return "\n".join(lines) + "\n"


def write_report(
    path: Path, config: RunConfig, records: Sequence[Record], samples: Sequence[str], lengths: Lengths
) -> None:
    """Write the page of one run.

    Args:
        path: of the HTML file.
        config: the run's settings.
        records: its evaluations.
        samples: generated sequences to show.
        lengths: of generated and of real sequences.
    """
    write_comparison(path, config, {config.label: records}, {config.label: samples}, lengths)


def write_comparison(
    path: Path, config: RunConfig, records: Records, samples: Mapping[str, Sequence[str]], lengths: Lengths
) -> None:
    """Write the page of several runs.

    Args:
        path: of the HTML file.
        config: the settings of the first.
        records: the evaluations of each.
        samples: generated sequences of each.
        lengths: of some sets of sequences, to compare; none may be given.
    """
    rows = summary(records)
    shown = shown_columns(rows)
    head = "".join(f"<th>{html.escape(column.label)}</th>" for column in shown.values())
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{_number(row.get(field))}</td>" for field in shown)
        + "</tr>"
        for name, row in rows.items()
    )
    explained = "<br>".join(map(html.escape, legend(shown)))
    parts = [
        f"<h1>SeqGAN on {html.escape(Path(config.task.source).name)}</h1>",
        f"<table><tr><th>generator</th>{head}</tr>{body}</table><p class=legend>{explained}</p>",
        "".join(image(name, png) for name, png in _plots(records, lengths)),
    ]
    for name, lines in samples.items():
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        parts.append(f"<h2>Generated after training with the reward {html.escape(name)}</h2><ol>{items}</ol>")
    settings = html.escape(json.dumps(config.to_dict(), indent=2))
    parts.append(f"<details><summary>Settings</summary><pre>{settings}</pre></details>")
    write_page(path, parts)


def write_page(path: Path, parts: Sequence[str]) -> None:
    """Write a page that needs no other file.

    Args:
        path: of the HTML file.
        parts: of its body, as HTML.
    """
    with atomic_write(path) as file:
        file.write(_PAGE.format(body="\n".join(parts)).encode())


def image(name: str, png: str) -> str:
    """A picture as HTML.

    Args:
        name: its title, for those who cannot see it.
        png: as ``encoded_png`` gives it.
    """
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{png}">'


def _plots(records: Records, lengths: Lengths) -> Iterator[tuple[str, str]]:
    """The title and the picture of each plot that has something to show."""
    for phase, title, x_label, subject in _PANELS:
        # what comes before the adversarial game is the same for all, or the first run's alone
        own = records if phase == ADVERSARIAL else dict(itertools.islice(records.items(), 1))
        panels = dict.fromkeys(c.panel for c in columns().values() if c.subject == subject and c.panel)
        for panel in panels:
            fields = {name: c for name, c in columns().items() if (c.subject, c.panel) == (subject, panel)}
            if picture := _panel(own, phase, fields, f"{title}: {panel}", x_label):
                yield f"{title}: {panel}", picture
    for pair in trade_offs():
        if picture := _trade_off(records, *pair):
            yield f"Quality against diversity: {', '.join(columns()[name].label for name in pair)}", picture
    if len({int(length) for length_B in lengths.values() for length in length_B}) > 1:
        yield "Lengths", _length_plot(lengths)


def _length_plot(lengths: Lengths) -> str:
    """The share of each length in each set."""
    figure, axes = _empty(3.6)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for name, length_B in lengths.items():
        axes.plot(np.bincount(length_B) / len(length_B), "o-", markersize=3, label=name)
    return _finished(figure, axes, "Lengths", "tokens of a sequence, with its end", "share of the sequences")


def _panel(records: Records, phase: str, fields: Mapping[str, Column], title: str, x_label: str) -> str | None:
    """One plot: several runs have a colour each and a style for each quantity; one run a colour for each quantity."""
    figure, axes = _empty(3.6)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for run, (name, own) in enumerate(records.items()):
        for index, (field, column) in enumerate(fields.items()):
            points = [(r["step"], r[field]) for r in own if r["phase"] == phase and field in r]
            if points:
                label = column.label + (f", {name}" if len(records) > 1 else "")
                style = ("-", "--", ":", "-.")[index % 4] if len(points) > 1 else "o"
                color = f"C{run if len(records) > 1 else index}"
                axes.plot(*zip(*points, strict=True), style, color=color, label=label.replace("$", r"\$"))
    if not axes.lines:
        return None
    return _finished(figure, axes, title, x_label, next(iter(fields.values())).unit)


def _trade_off(records: Records, quality: str, diversity: str) -> str | None:
    """Quality against diversity: a curve over temperatures for maximum likelihood and for the end of each game."""
    across, up, fields = columns()[quality], columns()[diversity], (quality, diversity, "temperature")
    curves = {"maximum likelihood": (next(iter(records.values())), TEMPERATURE)}
    curves |= {f"SeqGAN, {name}": (own, FINAL_TEMPERATURE) for name, own in records.items()}
    figure, axes = _empty(4.6)
    for index, (label, (own, phase)) in enumerate(curves.items()):
        points = [tuple(r[name] for name in fields) for r in own if r["phase"] == phase and {*fields} <= r.keys()]
        if not points:
            continue
        color = "0.4" if phase == TEMPERATURE else f"C{index - 1}"
        x, y, _ = zip(*points, strict=True)
        axes.plot(x, y, "o-", color=color, label=label.replace("$", r"\$"), markersize=3)
        for at_one in [point[:2] for point in points if point[2] == 1]:  # none where a metric is undefined there
            axes.plot(*at_one, "s", color=color, markersize=8)
    if not axes.lines:
        return None
    better = f"{'up' if up.better == 'higher' else 'down'} and {'right' if across.better == 'higher' else 'left'}"
    title = f"Quality against diversity by temperature: {better} is better (a square is temperature 1)"
    return _finished(figure, axes, title, *(f"{column.label} ({column.unit})" for column in (across, up)))


def _empty(height: float) -> tuple[Any, Any]:
    """A figure of a height in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots()


def _finished(figure: Any, axes: Any, title: str, x_label: str, y_label: str) -> str:
    """A plot with its words: all of them are read, and none lies over a curve, however many runs there are."""
    wrapped = partial(fill, break_on_hyphens=False)
    axes.set(title=wrapped(title, 64), xlabel=wrapped(x_label, 72), ylabel=wrapped(y_label, 40))
    axes.grid(alpha=0.3)
    legend = figure.legend(fontsize=7, loc="outside lower center", ncols=2)
    figure.set_figheight(figure.get_figheight() + 0.16 * math.ceil(len(legend.texts) / 2))
    return encoded_png(figure)


def encoded_png(figure: Any) -> str:
    """A figure of matplotlib as PNG in base64."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _last(records: Sequence[Record], phase: str, **fields: Any) -> Record | None:
    matching = [r for r in records if r["phase"] == phase and all(r.get(k) == v for k, v in fields.items())]
    return matching[-1] if matching else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>SeqGAN</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76em; margin: 2em auto; padding: 0 1em; color: #222 }}
h1, h2, h3, li {{ overflow-wrap: anywhere }} pre {{ overflow-x: auto }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left; white-space: pre }} .legend {{ color: #555; max-width: 60em }}
img {{ max-width: 36em; width: 49%; min-width: min(24em, 100%) }} li {{ margin: .1em 0 }}
</style></head><body>
{body}
</body></html>
"""
