"""The worth of a reward: the same run with log D, with a constant, and with the exact log-ratio, over several seeds.

``python -m benchmarks.rewards run`` does the runs (it resumes) and writes ``benchmarks/results/rewards.json``;
``python -m benchmarks.rewards report`` writes the tables of ``docs/results.md`` from that file and trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from agents.cli import demo_runs
from agents.runs.config import RunConfig
from agents.runs.experiment import compare
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table, summary
from benchmarks.harness import DOCS, RESULTS, interval, measured_with, metric_table, write_results, write_section
from seqgan_env.metrics import columns

FILE = RESULTS / "rewards.json"
PAGE = DOCS / "results.md"

SCENARIOS: dict[str, RunConfig] = {"grammar": PRESETS["grammar"]}
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
    for scenario, config in SCENARIOS.items():
        rows: dict[str, list[dict[str, Any]]] = {}
        for seed in range(seeds):
            runs = demo_runs(seed, config)
            done = compare(runs, out / scenario / str(seed))
            records = {runs[name].label: own for name, own in done.items()}
            for row, record in summary(records).items():
                # the best temperature differs from seed to seed
                key = "best temperature" if row.strip().startswith("temperature") else row
                rows.setdefault(key, []).append(dict(record))
        scenarios[scenario] = {"config": config.to_dict(), "rows": rows}
    write_results(results, {"seeds": list(range(seeds)), "scenarios": scenarios})


def report(results: Path = FILE, page: Path = PAGE) -> None:
    """Write the tables into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
    """
    write_section(page, "rewards", results, tables)


def tables(document: Mapping[str, Any]) -> str:
    """The tables of the docs, in Markdown."""
    seeds = document["seeds"]
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; mean ± half the width of a 95 % interval (Student's t). Measured with "
        f"{measured_with(document['environment'])}.\n"
    ]
    for name, scenario in document["scenarios"].items():
        parts.append(f"### {name}\n\n{table(scenario['rows'])}\n{differences(scenario['rows'])}")
    return "\n".join(parts)


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Means and intervals of every column, one line a generator."""
    return metric_table(
        {name: {c: [r[c] for r in records] for c in columns() if c in records[0]} for name, records in rows.items()},
        _cell,
    )


def differences(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Differences within a seed, which share the generator they start from and the held-out sequences."""
    pairs = {
        "log D − max. likelihood": ("SeqGAN log D", "max. likelihood"),
        "constant − max. likelihood": ("SeqGAN constant", "max. likelihood"),
        "exact − max. likelihood": ("SeqGAN exact both KL", "max. likelihood"),
        "exact − best temperature": ("SeqGAN exact both KL", "best temperature"),
        "log D − best temperature": ("SeqGAN log D", "best temperature"),
    }
    cells = {
        name: {
            columns()[c].label: _cell([a[c] - b[c] for a, b in zip(rows[left], rows[right], strict=True)], sign=True)
            for c in DIFFERENCES
        }
        for name, (left, right) in pairs.items()
        if left in rows and right in rows
    }
    return markdown_table(cells, [columns()[c].label for c in DIFFERENCES], first="difference")


def _cell(values: Sequence[float], *, sign: bool = False) -> str:
    mean, half = interval(values)
    return f"{mean:{'+' if sign else ''}.3f} ± {half:.3f}"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "report": report}, prog="python -m benchmarks.rewards")
