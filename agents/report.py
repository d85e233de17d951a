"""Results that a person can look at: tables, and a page of plots that needs no other file."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.config import EXACT_REWARD, TrainConfig

Record = Mapping[str, Any]

COLUMNS = {
    "nll_oracle": "nll oracle",
    "nll_test": "nll test",
    "entropy": "entropy",
    "kl_forward": "KL forward",
    "kl_reverse": "KL reverse",
    "grammatical": "grammatical",
    "distinct": "distinct",
    "discriminator_accuracy": "D accuracy",
    "optimal_accuracy": "D* accuracy",
    "discriminator_log_loss": "D log-loss",
    "optimal_log_loss": "D* log-loss",
}
"""The columns of a table of results, by the field of a record."""

_NARROW = {
    "nll_oracle": "nll\noracle",
    "nll_test": "nll\ntest",
    "entropy": "entr-\nopy",
    "kl_forward": "KL\nfwd",
    "kl_reverse": "KL\nrev",
    "grammatical": "gram-\nmar",
    "discriminator_accuracy": "D\nacc",
    "optimal_accuracy": "D*\nacc",
    "discriminator_log_loss": "D\nloss",
    "optimal_log_loss": "D*\nloss",
}
"""Those of a terminal, 80 characters wide."""

LEGEND = (
    "nll, entropy and KL in nats per token. nll_oracle: generated sequences under the true law; nll_test: held-out "
    "real sequences under the generator; lower is better, but either alone can be gamed. KL reverse grows where the "
    "generator makes what is not real, KL forward where it misses what is. distinct: share of different sequences. "
    "D: accuracy and log-loss (nats; 0.693 is guessing) of the trained discriminator on held-out sequences; D*: the "
    "same of the best possible one, p/(p + G)."
)

REWARD_NAMES = {"log_d": "log D", "constant": "constant", EXACT_REWARD: "exact"}


def summary(records: Mapping[str, Sequence[Record]]) -> dict[str, Record]:
    """The rows of a table of results: the generator at each stage.

    Args:
        records: those of each run by reward; the first run's stand for what comes before the adversarial game.

    Returns:
        The record of each row by its name.
    """
    first = next(iter(records.values()))
    rows = {"random": _last(first, "random"), "max. likelihood": _last(first, "temperature", temperature=1.0)}
    if rows["max. likelihood"] is None:
        likelihood = [r for r in first if r["phase"] == "maximum_likelihood"]
        rows["max. likelihood"] = min(likelihood, key=lambda r: r["nll_validation"], default=None)
    tempered = [r for r in first if r["phase"] == "temperature"]
    if tempered:
        best = min(tempered, key=lambda r: r["kl_reverse"])
        rows[f"  temperature {best['temperature']:g}"] = best
    for reward, own in records.items():
        start = next((r for r in own if r["phase"] == "adversarial" and r["step"] == 0), None)
        if start is not None and reward == next(iter(records)) and rows["max. likelihood"] is not None:
            # the temperature sweep measures no discriminator; the first adversarial record is the same generator
            scores = {name: value for name, value in start.items() if name.startswith(("discriminator_", "optimal_"))}
            rows["max. likelihood"] = {**rows["max. likelihood"], **scores}
        rows[f"SeqGAN {REWARD_NAMES.get(reward, reward)}"] = _last(own, "adversarial")
    return {name: row for name, row in rows.items() if row is not None}


def rich_table(rows: Mapping[str, Record], title: str) -> Table:
    """The rows of ``summary`` for the terminal."""
    columns = [column for column in _present(rows) if column in _NARROW]
    table = Table(title=title, caption=LEGEND, caption_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("generator", no_wrap=True)
    for column in columns:
        table.add_column(_NARROW[column], justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(_number(row.get(column)) for column in columns))
    return table


def markdown_table(rows: Mapping[str, Mapping[str, str]], columns: Sequence[str], first: str = "generator") -> str:
    """A table for the docs, from cells that are text already."""
    lines = [f"| {first} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name.strip()} | " + " | ".join(row.get(c, "") for c in columns) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def write_report(path: Path, config: TrainConfig, records: Sequence[Record], samples: Sequence[str]) -> None:
    """Write the page of one run.

    Args:
        path: of the HTML file.
        config: the run's settings.
        records: its evaluations.
        samples: generated sequences to show.
    """
    write_comparison(path, config, {config.reward: records}, {config.reward: samples})


def write_comparison(
    path: Path,
    config: TrainConfig,
    records: Mapping[str, Sequence[Record]],
    samples: Mapping[str, Sequence[str]],
) -> None:
    """Write the page of several runs that differ in their reward.

    Args:
        path: of the HTML file.
        config: the settings of the first.
        records: the evaluations of each by reward.
        samples: generated sequences of each by reward.
    """
    rows = summary(records)
    columns = _present(rows)
    head = "".join(f"<th>{html.escape(COLUMNS[c])}</th>" for c in columns)
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{_number(row.get(c))}</td>" for c in columns) + "</tr>"
        for name, row in rows.items()
    )
    parts = [
        f"<h1>SeqGAN on {html.escape(Path(config.source).name)}</h1>",
        f"<table><tr><th>generator</th>{head}</tr>{body}</table><p class=legend>{html.escape(LEGEND)}</p>",
        "".join(f'<img alt="{html.escape(name)}" src="data:image/png;base64,{png}">' for name, png in _plots(records)),
    ]
    for reward, lines in samples.items():
        title = REWARD_NAMES.get(reward, reward)
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        parts.append(f"<h2>Generated after training with {html.escape(title)}</h2><ol>{items}</ol>")
    settings = "".join(
        f"<tr><td>{name}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in dataclasses.asdict(config).items()
    )
    parts.append(f"<details><summary>Settings</summary><table>{settings}</table></details>")
    path.write_text(_PAGE.format(body="\n".join(parts)), encoding="utf-8")


def _plots(records: Mapping[str, Sequence[Record]]) -> list[tuple[str, str]]:
    from matplotlib.figure import Figure

    plots = []
    for title, phases, fields in _PANELS:
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        drawn = False
        for color, (reward, own) in enumerate(_shown(records, phases).items()):
            for index, (field, style) in enumerate(fields):
                points = [(r["step"], r[field]) for r in own if r["phase"] in phases and field in r]
                if points:
                    # several runs: a colour each, and a style for each quantity; one run: a colour for each quantity
                    label = field if len(records) == 1 else f"{field}, {REWARD_NAMES.get(reward, reward)}"
                    line = f"C{color if 'adversarial' in phases and len(records) > 1 else index}{style}"
                    axes.plot(*zip(*points, strict=True), line, label=label)
                    drawn = True
        if drawn:
            axes.set(title=title, xlabel=_XLABELS[phases[0]])
            axes.legend(fontsize=7)
            axes.grid(alpha=0.3)
            plots.append((title, _png(figure)))
    scatter = _trade_off(records)
    return plots + ([scatter] if scatter else [])


def _shown(records: Mapping[str, Sequence[Record]], phases: Sequence[str]) -> Mapping[str, Sequence[Record]]:
    """The runs of a panel: what comes before the adversarial game is the same for all, or the first one's alone."""
    first = next(iter(records))
    return records if "adversarial" in phases else {first: records[first]}


def _trade_off(records: Mapping[str, Sequence[Record]]) -> tuple[str, str] | None:
    """Quality against diversity: maximum likelihood at several temperatures, and the way of each adversarial run."""
    from matplotlib.figure import Figure

    first = next(iter(records.values()))
    sweep = [(r["nll_oracle"], r["nll_test"]) for r in first if r["phase"] == "temperature"]
    if not sweep:
        return None
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*sweep, strict=True), "o-", color="0.5", label="maximum likelihood, by temperature", markersize=4)
    for reward, own in records.items():
        way = [(r["nll_oracle"], r["nll_test"]) for r in own if r["phase"] == "adversarial"]
        if way:
            (line,) = axes.plot(
                *zip(*way, strict=True), "-", alpha=0.6, label=f"SeqGAN, {REWARD_NAMES.get(reward, reward)}"
            )
            axes.plot(*way[-1], "s", color=line.get_color())
    title = "Quality against diversity: down and left is better"
    axes.set(title=title, xlabel="nll_oracle (nats per token)", ylabel="nll_test (nats per token)")
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    return title, _png(figure)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _last(records: Sequence[Record], phase: str, **fields: Any) -> Record | None:
    matching = [r for r in records if r["phase"] == phase and all(r.get(k) == v for k, v in fields.items())]
    return matching[-1] if matching else None


def _present(rows: Mapping[str, Record]) -> list[str]:
    return [column for column in COLUMNS if any(column in row for row in rows.values())]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_XLABELS = {"maximum_likelihood": "epoch", "discriminator": "round", "adversarial": "policy updates"}
_PANELS: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        "Maximum likelihood (nats per token)",
        ("maximum_likelihood",),
        (("nll_test", "-"), ("nll_validation", ":"), ("nll_oracle", "-"), ("entropy", "-")),
    ),
    (
        "Discriminator's pretraining: log-loss on held-out sequences",
        ("discriminator",),
        (("discriminator_log_loss", "-"), ("optimal_log_loss", "--")),
    ),
    ("Adversarial game: divergences (nats per token)", ("adversarial",), (("kl_reverse", "-"), ("kl_forward", "--"))),
    ("Adversarial game: likelihoods (nats per token)", ("adversarial",), (("nll_test", "-"), ("entropy", ":"))),
    (
        "Adversarial game: the discriminator's log-loss on held-out sequences",
        ("adversarial",),
        (("discriminator_log_loss", "-"), ("optimal_log_loss", "--")),
    ),
)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>SeqGAN</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76em; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left; white-space: pre }} .legend {{ color: #555; max-width: 60em }}
img {{ max-width: 36em; width: 49%; min-width: 24em }} li {{ margin: .1em 0 }}
</style></head><body>
{body}
</body></html>
"""
