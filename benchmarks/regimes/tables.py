"""The table and the picture of the map, made from its JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs.report import markdown_table
from benchmarks.curves import BASELINE, below_cell, best_sum, curves_of, gains_at
from benchmarks.harness import interval, mean_cell, measured_with, svg_figure
from benchmarks.pages import reporter
from benchmarks.regimes.cells import CONTROLS, FILE, GAMES, TASKS

WAYS = (*GAMES, *CONTROLS)
"""The ways to go on from maximum likelihood."""
_IN_A_LINE = 4  # panels of the picture
LEVEL = 0.7
"""The temperature of maximum likelihood whose ``nll_test`` the curves are compared at."""


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The table of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the picture is drawn; None draws none.
    """
    seeds, cells = document["seeds"], document["cells"]
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t). Measured with "
        f"{measured_with(document['environment'])}. The first row of a generator is its maximum likelihood, the others "
        "are what goes on from it.\n\n"
        "- `KL sum, best T`: the sum of both divergences at the best temperature, less that of maximum likelihood.\n"
        f"- `nll oracle`: at the `nll test` of maximum likelihood's temperature {LEVEL:g}, less that one's.\n"
        "- `below`: the temperatures of maximum likelihood at whose `nll test` the curve lies below, in all seeds, and "
        "the seeds in which it does at every one.\n"
        "- `share`: of the optimum, by the discriminator when the game begins; blank where a seed has none.\n"
    ]
    for task, own in _shown(cells).items():
        rows = {
            f"{units} units, {n_real}{name}": row
            for n_real in TASKS[task].n_real
            for units in TASKS[task].units
            for name, row in _cells(_select(own, units, n_real)).items()
        }
        table = markdown_table(rows, ["KL sum, best T", "nll oracle", "below", "share"], first="cell")
        parts.append(f"### Regimes, {task}\n\nSource `{own[0]['source']}`.\n\n{table}")
    if pictures is not None:
        draw(cells, pictures / "regimes.svg")
    parts.append("![What each game gains, by generator, data and task.](regimes.svg)\n")
    return "\n".join(parts)


def _shown(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The tasks that have been done, each with its cells."""
    found = {task: [cell for cell in cells if cell["task"] == task] for task in TASKS}
    return {task: own for task, own in found.items() if own}


def _select(cells: Sequence[Mapping[str, Any]], units: int, n_real: str) -> list[Mapping[str, Any]]:
    return [c for c in cells if (c["units"], c["n_real"]) == (units, n_real)]


def _cells(own: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The text of a cell's rows, by the end of their names; none where it has not been measured."""
    if not own:
        return {}
    baseline = [c["rows"][BASELINE] for c in own]
    found = {"": {"KL sum, best T": mean_cell([best_sum(row) for row in baseline])}}
    for name in _ways(own):
        rows = [c["rows"][name] for c in own]
        shares = [row["share"] for row in rows]
        found[f": {name}"] = {
            "KL sum, best T": mean_cell(gained(own, name), "+"),
            "nll oracle": mean_cell(gains_at(rows, baseline, LEVEL), "+"),
            "below": below_cell(curves_of(rows), curves_of(baseline)),
            # it is missing where too little can be known, most often of the best seeds
            "share": "" if None in shares else mean_cell(shares),
        }
    return found


def _ways(own: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that every seed of a cell has, as earlier results lack some."""
    return [name for name in WAYS if all(name in c["rows"] for c in own)]


def gained(own: Sequence[Mapping[str, Any]], way: str) -> list[float]:
    """The least sum of both divergences over temperatures less that of maximum likelihood, of each seed of a cell."""
    return [best_sum(c["rows"][way]) - best_sum(c["rows"][BASELINE]) for c in own]


def draw(cells: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw a map for each task and way, in shares of what maximum likelihood leaves, and write the picture.

    Args:
        cells: the results.
        file: an SVG file.
    """
    shown = _shown(cells)
    n_lines = -(-len(WAYS) // _IN_A_LINE)
    with svg_figure(file, (3.4 * _IN_A_LINE, 2.3 * n_lines * len(shown) + 0.4)) as figure:
        panels = figure.subplots(n_lines * len(shown), _IN_A_LINE, squeeze=False)
        for axes_W, (task, of_task) in zip(panels.reshape(len(shown), -1), shown.items(), strict=True):
            region = TASKS[task]
            for axes, way in zip(axes_W, WAYS, strict=False):  # the last line may be shorter
                share_NU = np.full((len(region.n_real), len(region.units)), np.nan)
                for i, n_real in enumerate(region.n_real):
                    for j, units in enumerate(region.units):
                        own = _select(of_task, units, n_real)
                        if not own or way not in _ways(own):
                            continue
                        mean, half = interval(gained(own, way))
                        share_NU[i, j] = mean / np.mean([best_sum(c["rows"][BASELINE]) for c in own])
                        sure = "" if abs(mean) > half else "?"
                        axes.text(j, i, f"{share_NU[i, j]:+.0%}{sure}", ha="center", va="center")
                axes.imshow(share_NU, cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect="auto")
                axes.set(title=f"{task}: {way}", xlabel="units of the generator", ylabel="real sequences")
                axes.set_xticks(range(len(region.units)), list(map(str, region.units)))
                axes.set_yticks(range(len(region.n_real)), list(region.n_real))
        figure.suptitle("the sum of both divergences at the best temperature, against that of maximum likelihood")


report = reporter("regimes", FILE, tables)
