"""What a reward is worth: the same run with log D, with a constant, and with the exact log-ratio, over several seeds.

``python -m benchmarks.rewards run`` does the runs (it resumes) and writes ``benchmarks/results/rewards.json``;
``python -m benchmarks.rewards report`` writes the tables of ``docs/results.md`` from that file and trains nothing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy import stats

from agents.cli import DEMO_REWARDS
from agents.config import TrainConfig
from agents.experiment import compare
from agents.presets import PRESETS
from agents.report import COLUMNS, markdown_table, summary
from benchmarks.environment import describe
from benchmarks.page import DOCS, RESULTS, replace_section

FILE = RESULTS / "rewards.json"
PAGE = DOCS / "results.md"

SCENARIOS: dict[str, TrainConfig] = {"grammar": PRESETS["grammar"]}
"""The embedded grammar, as in ``make demo``."""

DIFFERENCES = ("kl_reverse", "kl_forward", "nll_test")


def run(out: Path = Path("runs/rewards"), seeds: int = 5, results: Path = FILE) -> None:
    """Do the runs and write the results.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 0.
        results: the JSON file.
    """
    scenarios = {}
    for name, config in SCENARIOS.items():
        rows: dict[str, list[dict[str, Any]]] = {}
        for seed in range(seeds):
            own = dataclasses.replace(config, seed=seed)
            records = compare(own, DEMO_REWARDS, out / name / str(seed))
            for row, record in summary(records).items():
                # the best temperature differs from seed to seed
                key = "best temperature" if row.strip().startswith("temperature") else row
                rows.setdefault(key, []).append(dict(record))
        scenarios[name] = {"config": dataclasses.asdict(config), "rows": rows}
    results.parent.mkdir(exist_ok=True)
    document = {"environment": describe(), "seeds": list(range(seeds)), "scenarios": scenarios}
    results.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {results}", file=sys.stderr)


def report(results: Path = FILE, page: Path = PAGE) -> None:
    """Write the tables into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
    """
    replace_section(page, "rewards", tables(json.loads(results.read_text())))
    print(f"wrote {page}", file=sys.stderr)


def tables(document: Mapping[str, Any]) -> str:
    """The tables of the docs, in Markdown."""
    environment, seeds = document["environment"], document["seeds"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t). Measured with "
        f"{versions}, on {environment['processor']}.\n"
    ]
    for name, scenario in document["scenarios"].items():
        parts.append(f"### {name}\n\n{table(scenario['rows'])}\n{differences(scenario['rows'])}")
    return "\n".join(parts)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a few seeds, and half the width of its 95 % interval by Student's t."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(half)


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Means and intervals of every column, one line a generator."""
    columns = [c for c in COLUMNS if any(c in records[0] for records in rows.values())]
    cells = {
        name: {COLUMNS[c]: _cell([r[c] for r in records]) for c in columns if c in records[0]}
        for name, records in rows.items()
    }
    return markdown_table(cells, [COLUMNS[c] for c in columns])


def differences(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Differences within a seed, which share the generator they start from and the held-out sequences."""
    pairs = {
        "log D − max. likelihood": ("SeqGAN log D", "max. likelihood"),
        "constant − max. likelihood": ("SeqGAN constant", "max. likelihood"),
        "exact − max. likelihood": ("SeqGAN exact", "max. likelihood"),
        "exact − best temperature": ("SeqGAN exact", "best temperature"),
        "log D − best temperature": ("SeqGAN log D", "best temperature"),
    }
    cells = {
        name: {
            COLUMNS[c]: _cell([a[c] - b[c] for a, b in zip(rows[left], rows[right], strict=True)], sign=True)
            for c in DIFFERENCES
        }
        for name, (left, right) in pairs.items()
        if left in rows and right in rows
    }
    return markdown_table(cells, [COLUMNS[c] for c in DIFFERENCES], first="difference")


def _cell(values: Sequence[float], *, sign: bool = False) -> str:
    mean, half = interval(values)
    return f"{mean:{'+' if sign else ''}.3f} ± {half:.3f}"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "report": report}, prog="python -m benchmarks.rewards")
