"""The scenarios as data, the search for settings, and the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.sweeps import run_sweep
from agents.sweeps.cells import IRRELEVANT
from agents.sweeps.engines import LocalEngine
from agents.sweeps.folder import DONE, Result
from agents.sweeps.spec import cells_of
from benchmarks.harness import RESULTS, check_some, in_order, parts_that_stay, write_results
from seqgan_env.checks import PositiveInt
from seqgan_env.files import parse_json, read_bytes, refusal

SEARCH, FILE = RESULTS / "search.json", RESULTS / "algorithms.json"
TASKS: dict[str, dict[str, Any]] = {
    "SeqGANGrammar-v0": {"name": "demo", "pretraining": {"learning_rate": 0.02, "n_epochs": 200}},
    "SeqGANSmall-v0": {"name": "small"},
}
"""Each registered task as an entry of a sweep: the grammar with a generator too small for it, and the small oracle with
one of its own size; both after the strongest maximum likelihood known here."""
_RATE = {"low": 1e-5, "high": 1e-2, "log": True}
_ENTROPY = {"ent_coef": [0.0, 0.001, 0.01], "gae_lambda": [0.9, 0.95, 1.0]}
RANGES: dict[str, dict[str, Any]] = {
    "seqgan": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "n_completions": [1, 2, 4, 8, 16]},
    "ppo": {"learning_rate": _RATE, "n_epochs": {"low": 1, "high": 8, "whole": True}, **_ENTROPY},
    "a2c": {"learning_rate": _RATE, **_ENTROPY},
    "trpo": {"target_kl": {"low": 3e-4, "high": 3e-2, "log": True}, "gae_lambda": [0.9, 0.95, 1.0]},
    "maximum_likelihood": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
}
"""The algorithms whose settings are searched, and in which ranges."""
_VALUES = {"exploration_final_eps": 0.05, "train_freq": 16}
FIXED: dict[str, dict[str, Any]] = {
    "trpo": {"sub_sampling_factor": 4, "n_critic_updates": 3},
    "dqn": _VALUES,
    "qrdqn": {**_VALUES, "n_quantiles": 25},
}
"""The settings that are not searched: they take less time than the library's. Those of the value-based algorithms are
not searched at all."""
CONTROL = "random"
REWARDS = ("log_d", "log_ratio", "d", "neg_log_one_minus_d", "constant")
SHAPINGS = ("none", "discriminator", "increments", "length", "repetition", "prefix")
SHAPED = ("seqgan", "ppo")
"""The algorithms that play every shaping too, beside log D."""
BUDGET = {"steps": 160_000, "evaluations": 5}
OVERALL = "kl_sum_best"
"""The metric that algorithms are compared by: what a temperature buys counts for nobody."""
KEPT = (OVERALL, "temperature_best", "kl_sum", "kl_forward", "kl_reverse", "nll_oracle", "nll_test", "js_2", "distinct")
_RUN = {"evaluation": {"n": 5_000, "metrics": ["text", "temperatures"]}}


def algorithms() -> list[str]:
    """Those that play, in the order of the tables."""
    return list(dict.fromkeys((*RANGES, *FIXED)))


def search(
    out: Path = Path("runs/search"),
    seeds: PositiveInt = 3,
    results: Path = SEARCH,
    workers: PositiveInt = 2,
    trials: PositiveInt = 8,
    only: tuple[str, ...] = (),
) -> None:
    """Try settings of every algorithm against log D, and write how they did.

    Args:
        out: the folder of the sweeps; what is done is not done again.
        seeds: how many, from 100.
        results: the JSON file.
        workers: processes side by side.
        trials: settings of each algorithm.
        only: some of ``TASKS``, whose others stay in the file; by default all of them.

    Raises:
        ValueError: an unknown task, or others were searched with other seeds or another budget; nothing has been done
            then.
    """
    own_seeds = list(range(100, 100 + seeds))
    only = only or tuple(TASKS)
    check_some("only", only, TASKS)
    tasks = parts_that_stay(results, "tasks", only, seeds=own_seeds, budget=BUDGET)
    entries = [
        {"name": name, **FIXED.get(name, {}), "search": {"trials": trials, **ranges}} for name, ranges in RANGES.items()
    ]
    for task in only:
        found = _played(task, own_seeds, workers, out, algorithm=entries, reward=["log_d"])
        tasks[task] = {"start": _mean(each["start"][OVERALL] for each in found), "tried": by_settings(found, entries)}
    _write(results, own_seeds, tasks)


def _write(results: Path, seeds: Sequence[int], tasks: Mapping[str, Any]) -> None:
    write_results(results, {"seeds": seeds, "budget": BUDGET, "tasks": in_order(tasks, TASKS)})


def by_settings(found: Sequence[Result], entries: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The settings that were tried with the mean of their scores, of each algorithm the best first.

    Args:
        found: the runs.
        entries: of the sweep, whose searched settings are told.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        name, searched = entry["name"], set(entry["search"]) - {"trials"}
        rows: dict[str, dict[str, Any]] = {}
        for run in found:
            if run["axes"]["algorithm"] == name:
                row = rows.setdefault(
                    run["axes"]["settings"],
                    {"settings": {key: run["settings"][key] for key in sorted(searched)}, "scores": []},
                )
                row["scores"].append(score(run))
        mean = {label: _mean(row["scores"]) for label, row in rows.items()}
        tables[name] = [rows[label] | {"score": mean[label]} for label in sorted(rows, key=lambda each: mean[each])]
    return tables


def score(run: Result) -> float:
    """The number that a search goes by, lower is better: the sum of both divergences at the best temperature.

    A run that failed, or whose number is none, is worst.
    """
    found = float(run["records"][-1][OVERALL]) if run["status"] == DONE else math.inf
    return math.inf if math.isnan(found) else found


def run(
    out: Path = Path("runs/algorithms"),
    seeds: PositiveInt = 5,
    results: Path = FILE,
    workers: PositiveInt = 2,
    searched: Path = SEARCH,
    only: tuple[str, ...] = (),
    rows: tuple[str, ...] = (),
    shapings: tuple[str, ...] = (),
) -> None:
    """Compare the algorithms with their best settings, and write the results, of each task first without shapings.

    Args:
        out: the folder of the sweeps; what is done is not done again.
        seeds: how many, from 1.
        results: the JSON file.
        workers: processes side by side.
        searched: the results of ``search``.
        only: some of ``TASKS``, whose others stay in the file; by default all of them.
        rows: some of the algorithms, by default all of them and the control; the runs of others stay too.
        shapings: some of ``SHAPINGS``, by default all of them, "none" the part with every reward; the runs of others
            stay too.

    Raises:
        ValueError: an unknown task, algorithm or shaping; others were played with other seeds, another budget or other
            settings than the search has found; the search lacks an algorithm, or all its runs have failed; nothing has
            been done then. Or they began with another generator, as on another machine; the file stays as it is then.
    """
    own_seeds = list(range(1, 1 + seeds))
    only = only or tuple(TASKS)
    check_some("only", only, TASKS)
    chosen = rows or (*algorithms(), CONTROL)
    check_some("rows", chosen, (*algorithms(), CONTROL))
    check_some("shapings", shapings or SHAPINGS, SHAPINGS)
    tasks = parts_that_stay(results, "tasks", () if rows or shapings else only, seeds=own_seeds, budget=BUDGET)
    shapings = shapings or SHAPINGS
    if "none" not in shapings:
        chosen = tuple(name for name in chosen if name in SHAPED)
        check_some("rows that play a shaping", chosen, SHAPED)
    best = {task: [*_best(searched, task), {"name": CONTROL}] for task in only}
    anew = {(name, shaping) for name in chosen for shaping in shapings}
    staying = {task: [row for row in tasks.get(task, []) if _part(row) not in anew] for task in only}
    for task, entries in best.items():
        with refusal(results, "file of results"):
            _check_settings(staying[task], task, entries)
    for task, entries in best.items():
        own = [entry for entry in entries if entry["name"] in chosen]
        shaped = [entry for entry in own if entry["name"] in SHAPED]
        parts: tuple[dict[str, list[Any]], ...] = (
            {"algorithm": own, "reward": list(REWARDS), "shaping": [each for each in shapings if each == "none"]},
            {"algorithm": shaped, "reward": ["log_d"], "shaping": [each for each in shapings if each != "none"]},
        )
        for axes in parts:
            if axes["algorithm"] and axes["shaping"]:
                if staying[task]:  # one run shows whether it begins where those do, before hours of work
                    first = {name: values[:1] for name, values in axes.items()}
                    _check_starts(map(_kept, _played(task, own_seeds[:1], workers, out, **first)), staying[task])
                new = [_kept(each) for each in _played(task, own_seeds, workers, out, **axes)]
                _check_starts(new, staying[task])
                played = {_combination(row) for row in new}
                tasks[task] = [*(row for row in tasks.get(task, []) if _combination(row) not in played), *new]
                _write(results, own_seeds, tasks)


def _best(searched: Path, task: str) -> list[dict[str, Any]]:
    """Every algorithm as an entry of a sweep, where there was a search with the best settings that it has found."""
    with refusal(searched, "search"):
        found = parse_json(read_bytes(searched))["tasks"][task]["tried"]
        best = {name: found[name][0] for name in RANGES}
        if failed := [name for name, row in best.items() if not math.isfinite(row["score"])]:
            raise ValueError(f"no run of {', '.join(failed)} has a score")
        searched_settings = {name: row["settings"] for name, row in best.items()}
        return [{"name": name, **FIXED.get(name, {}), **searched_settings.get(name, {})} for name in algorithms()]


def _played(task: str, seeds: Sequence[int], workers: int, out: Path, **axes: Any) -> list[Result]:
    """The results of a sweep, without those of other settings that its folder holds too."""
    spec = {"seeds": list(seeds), "task": [TASKS[task]], "budget": BUDGET, "run": _RUN, **axes}
    keys = {cell.key for cell in cells_of(spec)}
    return [each for each in run_sweep(spec, out / task, engine=LocalEngine(workers)) if each["key"] in keys]


def _kept(each: Result) -> dict[str, Any]:
    """The part of a run's result that is committed."""
    axes = {name: each["axes"][name] for name in ("algorithm", "settings", "reward", "shaping")}
    if each["status"] != DONE:
        return {**axes, "seed": each["seed"], "error": each["error"]}
    names = ("steps", "scored", *KEPT)
    records = [{name: record[name] for name in names if name in record} for record in each["records"]]
    start = {name: each["start"][name] for name in KEPT if name in each["start"]}
    cost = {name: each[name] for name in ("wall_time_s", "peak_memory_mb")}
    made_by = {name: each["environment"][name] for name in ("commit", "versions")}  # of one run, as others may be older
    return {**axes, "seed": each["seed"], **cost, **made_by, "start": start, "records": records}


def _combination(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The part of a kept run that says which it is."""
    return row["algorithm"], row["reward"], row["shaping"], row["seed"]


def _part(row: Mapping[str, Any]) -> tuple[str, str]:
    """The algorithm and the shaping of a kept run, "none" where there is no reward."""
    return row["algorithm"], "none" if row["shaping"] == IRRELEVANT else row["shaping"]


def _check_starts(rows: Iterable[Mapping[str, Any]], staying: Sequence[Mapping[str, Any]]) -> None:
    """Refuse runs that did not begin with the generator of those that stay: a difference from it would be no change."""
    starts = {row["seed"]: row["start"][OVERALL] for row in staying if "error" not in row}
    for row in rows:
        if "error" not in row and row["seed"] in starts and row["start"][OVERALL] != starts[row["seed"]]:
            raise ValueError(
                f"seed {row['seed']} must begin with {OVERALL} {starts[row['seed']]}, as in the runs that stay, got "
                f"{row['start'][OVERALL]}, as of another machine or version: play all of the task anew"
            )


def _check_settings(rows: Sequence[Mapping[str, Any]], task: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse runs that stay with other settings than the entries have; of those that do not tell nothing is known."""
    spec = {
        "seeds": [0],
        "task": [TASKS[task]],
        "budget": BUDGET,
        "run": _RUN,
        "algorithm": entries,
        "reward": ["log_d"],
    }
    ours = {cell.axes["algorithm"]: cell.axes["settings"] for cell in cells_of(spec)}
    for row in rows:
        if row.get("settings") not in (None, ours[row["algorithm"]]):
            raise ValueError(
                f"{row['algorithm']} stays with {row['settings']}; the search has {ours[row['algorithm']]}"
            )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
