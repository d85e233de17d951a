"""The result of a search that a person can look at: a table of the best trials, their flags, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.runs.flags import flag_with
from agents.runs.folder import Record

_STATES = {"complete": ("o", "C0"), "pruned": ("x", "0.6")}
"""The marker and the colour of the trials in each state."""


def best_first(results: Record) -> list[Record]:
    """The trials that have made all their epochs, the best first.

    Args:
        results: the contents of ``tune.json``.
    """
    return sorted((t for t in results["trials"] if t["state"] == "complete"), key=lambda t: float(t["nll_validation"]))


def train_flags(results: Record) -> list[str]:
    """The flags of ``seqgan train`` that give what was searched the values of the best trial; none without a trial."""
    best = best_first(results)[:1]
    return [word for trial in best for name, value in trial["settings"].items() for word in flag_with(name, value)]


def search_table(results: Record, n: int = 6) -> Table:
    """The best trials for the terminal, one beside the other.

    Args:
        results: the contents of ``tune.json``.
        n: of them, at most.
    """
    trials, ranked = results["trials"], best_first(results)
    n_pruned = len(trials) - len(ranked)
    table = Table(
        title=f"Maximum likelihood: the best of {len(trials)} trials",
        caption=f"validation NLL in nats per token, of the best epoch; {n_pruned} trials were ended early",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
    )
    best = ranked[:n]
    table.add_column("trial", no_wrap=True)
    for trial in best:
        table.add_column(str(trial["number"]), justify="right")
    table.add_row("NLL", *(f"{trial['nll_validation']:.4f}" for trial in best))
    table.add_row("epoch", *(str(trial["values"].index(trial["nll_validation"]) + 1) for trial in best))
    for name in results["space"]:
        table.add_row(_short(name).replace("_", " "), *(_text(trial["settings"][name]) for trial in best))
    table.add_row("seconds", *(f"{trial['seconds']:.0f}" for trial in best))
    return table


def draw(results: Record, path: Path) -> None:
    """Draw the validation likelihood of every trial against each setting.

    Args:
        results: the contents of ``tune.json``.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    space = results["space"]
    n_columns = min(3, len(space))
    n_rows = -(-len(space) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.2 * n_rows + 0.6), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    trials = [trial for trial in results["trials"] if trial["nll_validation"] is not None]
    # the better three quarters fill the height
    top = float(np.quantile([trial["nll_validation"] for trial in trials], 0.75)) if trials else 1.0
    for axes, (name, values) in zip(grid.flat, space.items(), strict=False):
        for state, (marker, color) in _STATES.items():
            own = [trial for trial in trials if trial["state"] == state]
            x = [trial["settings"][name] for trial in own]
            y = [min(trial["nll_validation"], top) for trial in own]
            axes.plot(x if isinstance(values, dict) else list(map(str, x)), y, marker, color=color, label=state)
        if isinstance(values, dict) and values["log"]:
            axes.set_xscale("log")
        axes.set(xlabel=_short(name).replace("_", " "))
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(space) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set(ylabel="validation NLL (nats per token)")
    grid[0, 0].legend(fontsize=7, loc="upper right")
    figure.suptitle("Validation likelihood of each trial; the worst quarter is drawn at the upper edge", fontsize=10)
    figure.savefig(path, dpi=110)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
