"""The tables and the picture of ``docs/performance.md``, from the committed results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from agents.runs.report import markdown_table
from benchmarks.harness import measured_with, svg_figure

_ITERATION = ("collection", "action values", "policy-gradient step")


def rows(document: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Median seconds of every path, and medians of its ratios to the reference and to the floor."""
    made: dict[str, dict[str, float | None]] = {}
    for name, path in document["paths"].items():
        ours, references = path["ours"], path["reference"]
        floors = [path["flops"] / rate["flops"] + path["bytes"] / rate["bytes"] for rate in path["rates"]]
        made[name] = {
            "seconds": median(ours),
            "floor": median(floors),
            "over_floor": _ratio(ours, floors),
            "reference": median(references) if references else None,
            "speedup": _ratio(references, ours) if references else None,
        }
    return made


def _ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median over the repeats."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def tables(document: dict[str, Any]) -> str:
    """The tables of the docs, in Markdown."""
    environment, size, paths = document["environment"], document["size"], document["paths"]
    speed = {of: median(rate[of] for path in paths.values() for rate in path["rates"]) for of in ("flops", "bytes")}
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    where = environment["gpu"] or f"{environment['processor']}, {environment['threads']} threads"
    measured = rows(document)
    cells = {
        name: {
            "ours": _time(row["seconds"]),
            "floor": _time(row["floor"]),
            "ours / floor": f"{row['over_floor']:.1f}",
            "reference": _time(row["reference"]),
            "reference / ours": "" if row["speedup"] is None else f"**{row['speedup']:.1f}**",
            "target": paths[name]["target"],
        }
        for name, row in measured.items()
    }
    parts = [
        f"Matrix products in **{document['precision']['name']} precision**, measured with {versions}, on {where}. "
        f"V = {size['vocab_size']}, T = {size['max_length']}, "
        f"B = {size['n_episodes']}, N = {size['n_completions']}, {size['n_sequences']:,} sequences. "
        f"A matrix product makes {speed['flops'] / 1e9:.0f} G operations a second, a copy moves "
        f"{speed['bytes'] / 1e9:.1f} GB a second.\n",
        markdown_table(cells, list(next(iter(cells.values()))), first="path"),
    ]
    took = {name: path["ours"] for name, path in paths.items()}
    iterations = [sum(of) for of in zip(*(took[name] for name in _ITERATION), strict=True)]
    bare = [max(0.0, a - b) for a, b in zip(took["collection"], took["reward of the episodes"], strict=True)]
    parts.append(
        f"A policy-gradient step is {_ratio(took['policy-gradient step'], took['maximum-likelihood step']):.2f} "
        f"maximum-likelihood steps, an evaluation {_ratio(took['evaluation'], took['maximum-likelihood epoch']):.2f} "
        f"maximum-likelihood epochs. Collecting the episodes is {_ratio(took['collection'], iterations):.1%} of an "
        f"iteration; without their reward, {_ratio(bare, iterations):.1%}.\n"
    )
    parts += _remarks(document)
    env_cells = {
        env_id: {
            "one environment, µs": f"{times['single']:.1f}",
            "CartPole-v1, µs": f"{times['cartpole']:.1f}",
            "256 environments, µs": f"{times['vector']:.0f}",
            "SyncVectorEnv, µs": f"{times['sync']:.0f}",
            "SyncVectorEnv / ours": f"**{times['sync'] / times['vector']:.0f}**",
        }
        for env_id, times in document["environments"].items()
    }
    parts.append(markdown_table(env_cells, list(next(iter(env_cells.values()))), first="a step without a reward"))
    return "\n".join(parts)


def episode_table(document: dict[str, Any]) -> str:
    """The table of episodes with their reward, in Markdown."""
    cells = {
        env_id: {
            "tokens": f"{times['length']:.0f}",
            "an episode, µs": f"{times['episode']:.0f}",
            "target, µs": f"{times['target']:.0f}",
            "a step of CartPole-v1, µs": f"{times['cartpole']:.1f}",
            "an episode in steps of CartPole-v1": f"{times['episode'] / times['cartpole']:.0f}",
        }
        for env_id, times in document["environments"].items()
    }
    table = markdown_table(cells, list(next(iter(cells.values()))), first="one environment, one thread")
    return f"Measured with {measured_with(document['environment'])}.\n\n{table}"


def _remarks(document: dict[str, Any]) -> list[str]:
    """Sentences on what is left out, on precision and on memory."""
    known, precision = document["lengths"], document["precision"]
    remarks = [
        f"Of sequences of {known['mean']:.0f} of at most {known['horizon']} tokens the rest is left out: scores are "
        f"{known['scoring']:.1f} times as fast as with it, likelihoods {known['likelihood']:.1f} times.\n",
        f"With untrained networks a reward is off by at most {precision['reward_error']:.0e} nats, a token's "
        f"log-probability by at most {precision['log_prob_error']:.0e}.\n",
    ]
    if "memory_mb" in document:
        peak = document["memory_mb"]
        remarks.append(
            f"An estimate raises the peak memory of its process from {peak['before']:.0f} to {peak['peak']:.0f} MB.\n"
        )
    return remarks


def draw(document: dict[str, Any], picture: Path) -> None:
    """Ours beside floor and reference, and how the cost of an estimate grows."""
    measured = {name: row for name, row in rows(document).items() if row["reference"] is not None}
    with svg_figure(picture, (10, 3.6), font_size=9) as figure:
        bars, lines = figure.subplots(1, 2)
        place = np.arange(len(measured))
        for i, (name, colour) in enumerate((("floor", "#bbbbbb"), ("seconds", "#4477aa"), ("reference", "#cc6677"))):
            label = {"seconds": "ours"}.get(name, name)
            bars.barh(place + 0.27 * (i - 1), [row[name] for row in measured.values()], 0.25, color=colour, label=label)
        bars.set_yticks(place, list(measured))
        bars.invert_yaxis()
        bars.set_xscale("log")
        bars.set_xlabel("seconds")
        bars.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)
        letters = {"n_episodes": "B", "n_completions": "N", "vocab_size": "V", "max_length": "T"}
        for name, points in document.get("scaling", {}).items():
            middle = points[1]
            lines.loglog(
                [point["value"] / middle["value"] for point in points],
                [point["seconds"] / middle["seconds"] for point in points],
                "o-",
                label=letters[name],
            )
        around = np.array([0.5, 8.0])
        lines.loglog(around, around, ":", color="#888888", label="linear")
        lines.loglog([0.5, 4.0], [0.25, 16.0], "--", color="#888888", label="square")
        lines.set_xticks([0.5, 1, 2, 4, 8], ["½", "1", "2", "4", "8"])
        lines.set_xticks([], minor=True)
        lines.set_xlabel("times as large")
        lines.set_ylabel("an estimate costs, times as much")
        lines.legend()


def _time(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.1f} ms"
