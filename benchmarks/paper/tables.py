"""The tables and pictures of the experiment, made from its JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs.phases import TEMPERATURES
from agents.runs.report import markdown_table
from benchmarks.curves import BASELINE, best_sum, curves_of, diversity_at, record_at
from benchmarks.harness import mean_cell, svg_figure
from benchmarks.pages import DOCS, write_section
from benchmarks.paper.experiment import FILE
from benchmarks.paper.grid import measured_on
from benchmarks.paper.rows import ROWS
from seqgan_env.checks import check_type
from seqgan_env.files import parse_json, read_bytes, refusal

PAGE = DOCS / "results.md"
QUALITIES = (8.736, 8.0)
"""Values of ``nll_oracle`` at which curves are compared; the first is that of SeqGAN in its paper."""
AT_ONE = {
    "nll_oracle": "nll oracle",
    "nll_test": "nll test",
    "entropy": "entropy",
    "kl_forward": "KL forward",
    "kl_reverse": "KL reverse",
    "jensen_shannon": "JS",
    "distinct": "distinct",
    "tokens_used": "tokens used",
}
"""The measurements at temperature 1 that the first table has."""

Row = Sequence[Mapping[str, Any]]
"""The results of one row, one for each seed."""


def report(results: Path = FILE, page: Path = PAGE, published: Path | None = None) -> None:
    """Write the tables and the pictures into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
        published: a JSON file of published curves to draw below the others: ``quality_diversity_curves.curves`` by
            name, each a list of inverse temperature, ``nll_oracle`` and ``nll_test``; points without one of them
            are left out.
    """
    curves = {}
    if published is not None:
        with refusal(published, "file of published curves"):
            stored = parse_json(read_bytes(published))["quality_diversity_curves"]["curves"]
            found = check_type("curves", stored, dict[str, list[tuple[float | None, float | None, float | None]]])
            curves = {name: [point for point in curve if None not in point] for name, curve in found.items()}
    write_section(page, "paper", results, lambda document: tables(document, page.parent, curves))


def tables(
    document: Mapping[str, Any],
    pictures: Path | None = None,
    published: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> str:
    """The tables of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the pictures are drawn; None draws none.
        published: curves by name, each of inverse temperature, ``nll_oracle`` and ``nll_test``.
    """
    machines = measured_on(row for size in document["sizes"].values() for row in size["rows"].values())
    parts = [f"Measured on {machines}.\n"]
    for size, found in document["sizes"].items():
        rows: Mapping[str, Row] = {name: found["rows"][name] for name in ROWS if name in found["rows"]}
        seeds = found["seeds"]
        of_one = record_at(rows[BASELINE][0]) if BASELINE in rows else {}
        errors = [f"{of_one[f'{name}_se']:.4f}" for name in ("nll_oracle", "nll_test") if f"{name}_se" in of_one]
        parts.append(
            f"### The paper's experiment, {size}\n\nOracle `{found['oracle']}`, seeds {seeds[0]} to {seeds[-1]}, "
            f"{found['n']:,} sequences in each measurement (standard errors of one: nll oracle and nll test "
            f"{' and '.join(errors)}). Mean ± half the width of a 95 % interval (Student's t) over seeds; temperature "
            "1.\n\n" + markdown_table({name: _at_one(row) for name, row in rows.items()}, _COLUMNS, first="row")
        )
        parts.append(
            "The same over temperature: `nll test` where `nll oracle` is as low as that, and the least sum of both "
            "divergences.\n\n"
            + markdown_table(
                {name: {**_over_temperature(row), "source": ROWS[name].source} for name, row in rows.items()},
                _CURVE_COLUMNS,
                first="row",
            )
        )
        if pictures is not None:
            draw(rows, pictures / f"paper-{size}.svg", published or {})
        parts.append(f"![Quality against diversity by temperature, the mean of the seeds.](paper-{size}.svg)\n")
    return "\n".join(parts)


def _at_one(row: Row) -> dict[str, str]:
    """The cells of a row at temperature 1."""
    at_one = [record_at(each) for each in row]
    cells = {
        label: mean_cell([r[name] for r in at_one], digits=0 if name == "tokens_used" else 3)
        for name, label in AT_ONE.items()
    }
    shares = [each["share"] for each in row if each["share"] is not None]
    cells["D share of optimum"] = mean_cell(shares) if len(shares) == len(row) else ""
    cells["minutes"] = f"{np.median([each['seconds'] for each in row]) / 60:.1f}"
    return cells


_COLUMNS = [*AT_ONE.values(), "D share of optimum", "minutes"]
_CURVE_COLUMNS = [*(f"nll test at {quality:g}" for quality in QUALITIES), "KL sum, best T", "source"]


def _over_temperature(row: Row) -> dict[str, str]:
    """The cells of a row's curves."""
    cells = {}
    for quality, column in zip(QUALITIES, _CURVE_COLUMNS, strict=False):
        cells[column] = mean_cell([diversity_at(curve, quality) for curve in curves_of(row)])
    cells["KL sum, best T"] = mean_cell([best_sum(each) for each in row])
    return cells


def draw(rows: Mapping[str, Row], file: Path, published: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Draw the mean curve of every row over the published ones, near that of maximum likelihood and whole.

    Args:
        rows: by name.
        file: an SVG file.
        published: curves by name, each of inverse temperature, ``nll_oracle`` and ``nll_test``.
    """
    with svg_figure(file, (14, 6.5)) as figure:
        near, whole = panels = figure.subplots(1, 2)
        for axes in panels:
            for index, (name, row) in enumerate(rows.items()):
                points = np.mean([[point[1:] for point in curve] for curve in curves_of(row)], axis=0)
                color = "black" if name == BASELINE else f"C{index % 10}"
                axes.plot(*points.T, "o-" if index < 10 else "s--", ms=2, lw=1, color=color, label=name)
            for index, (name, curve) in enumerate(published.items()):
                _, x, y = np.array(curve).T
                style = (0, (1 + 2 * (index % 3), 2, *(1, 2) * (index // 3)))
                label = f"published: {name.replace('_', ' ')}"
                axes.plot(x, y, ls=style, lw=1, color="0.6", zorder=1, label=label)
            axes.set(xlabel="nll oracle (nats per token)", ylabel="nll test (nats per token)")
            axes.grid(alpha=0.3, which="both")
        if BASELINE in rows:
            low = min(y for curve in curves_of(rows[BASELINE]) for _, _, y in curve)
            near.set(xlim=(5.7, 10.2), ylim=(low - 0.2, low + 1.2))
        near.set_title(f"near {BASELINE}: down and left is better")
        whole.set_title("all of it")
        whole.set_yscale("log")
        whole.yaxis.set_major_formatter("{x:g}")
        whole.yaxis.set_minor_formatter("{x:g}")
        handles = whole.get_legend_handles_labels()
        title = f"temperatures {max(TEMPERATURES):g} to {min(TEMPERATURES):g}"
        figure.legend(*handles, title=title, loc="outside right upper", fontsize=6)
