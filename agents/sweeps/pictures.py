"""The pictures of a sweep: learning curves over both budgets, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from agents.runs.report import encoded_png
from agents.sweeps.folder import Result
from agents.sweeps.groups import Group
from agents.sweeps.statistics import Floats, interquartile_mean, profile
from seqgan_env.metrics import columns

_N_POINTS = 15
_N_INSIDE = 6  # lines whose names have room beside them
_BUDGETS = {"steps": "steps: tokens chosen", "scored": "scored sequences"}


def pictures(group: Group, metric: str) -> Iterator[tuple[str, str]]:
    """The title and the picture of each plot of a metric that has something to show.

    Args:
        group: the runs.
        metric: a column.
    """
    label = columns()[metric].label
    if not group.is_relative:
        for budget in _BUDGETS:
            if picture := _curves(group.runs, metric, budget):
                yield f"{label} over {budget}", picture
    if picture := _profiles(group, metric):
        yield f"profile of {label}", picture


def curve(runs: Sequence[Result], metric: str, budget: str) -> tuple[Floats, Floats]:
    """The measurements of several runs at the same places of a budget, linear in between.

    Args:
        runs: with different seeds.
        metric: the column; runs that lack it are left out.
        budget: ``"steps"`` or ``"scored"``.

    Returns:
        The places, shape ``(K,)``, as far as all runs went, and the values, shape ``(K, number of runs)``.
    """
    found = [
        [(record[budget], record[metric]) for record in run["records"] if math.isfinite(record.get(metric, math.nan))]
        for run in runs
        if math.isfinite(run["records"][-1].get(metric, math.nan))
    ]
    if not found:
        return np.zeros(0), np.zeros((0, 0))
    end = min(points[-1][0] for points in found)
    places = np.linspace(0, end, _N_POINTS) if end else np.zeros(1)
    points_ = [np.array(points, dtype=np.float64).T for points in found]
    return places, np.stack([np.interp(places, x, y) for x, y in points_], axis=1)


def _curves(runs: Mapping[str, Sequence[Result]], metric: str, budget: str) -> str | None:
    figure, axes = _axes()
    for label, own in runs.items():
        places, values = curve(own, metric, budget)
        if not len(places):
            continue
        estimates = np.array([interquartile_mean(row, n_resamples=500) for row in values])
        (line,) = axes.plot(places, estimates[:, 0], marker="" if len(places) > 1 else "o", label=label)
        if values.shape[1] > 1:
            axes.fill_between(places, estimates[:, 1], estimates[:, 2], alpha=0.2, color=line.get_color(), lw=0)
    column = columns()[metric]
    return _finished(figure, axes, column.label, _BUDGETS[budget], f"{column.label} ({column.unit})")


def _profiles(group: Group, metric: str) -> str | None:
    strata = {label: group.strata(own, metric) for label, own in group.runs.items()}
    scores = np.array([value for own in strata.values() for each in own.values() for value in each])
    if not len(scores):
        return None
    margin = 0.05 * (np.ptp(scores) or 1.0)
    thresholds = np.linspace(scores.min() - margin, scores.max() + margin, 200)
    figure, axes = _axes()
    for label, own in strata.items():
        if own:
            axes.plot(thresholds, profile([*own.values()], thresholds), label=label)
    column = columns()[metric]
    what = "a multiple of the pretrained generator's" if group.is_relative else column.unit
    sign = "−" if column.better == "higher" else ""
    return _finished(figure, axes, "Performance profile", f"{sign}{column.label} at most ({what})", "share of runs")


def _axes() -> tuple[Any, Any]:
    from cycler import cycler
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(cycler(linestyle=["-", "--", ":", "-."]) * rcParams["axes.prop_cycle"])  # ten colours each
    return figure, axes


def _finished(figure: Any, axes: Any, title: str, x_label: str, y_label: str) -> str | None:
    if not axes.lines:
        return None
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    if len(axes.lines) <= _N_INSIDE:
        legend = axes.legend(fontsize=7)
    else:
        figure.set_figheight(figure.get_figheight() + 0.16 * len(axes.lines))
        legend = figure.legend(fontsize=7, loc="outside lower left")
    for text in legend.texts:
        text.set_parse_math(False)  # a name may have a $
    axes.grid(alpha=0.3)
    return encoded_png(figure)
