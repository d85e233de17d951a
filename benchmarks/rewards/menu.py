"""Every reward, shaping and kind of discriminator, and ways of the agent, from one small generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from agents.cli import demo_runs
from agents.runs.comparison import compare
from agents.runs.config import EvaluationConfig, RunConfig
from agents.runs.folder import Record
from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.presets import PRESETS
from agents.runs.report import markdown_table
from benchmarks.harness import DOCS, RESULTS, interquartile_mean, measured_with, write_results, write_section
from benchmarks.rewards.curves import gains_at
from benchmarks.rewards.games import BASELINE

FILE = RESULTS / "menu.json"
PAGE = DOCS / "results.md"

BASE = dataclasses.replace(
    PRESETS["demo"],
    adversary=dataclasses.replace(PRESETS["demo"].adversary, n_rounds=30),
    agent=dataclasses.replace(PRESETS["demo"].agent, n_updates=100),
    evaluation=EvaluationConfig(every=20, n=2_000),
)
"""The preset ``demo``, with fewer updates."""

_Game = Mapping[str, Mapping[str, Any]]


def _reward(name: str, **settings: Any) -> _Game:
    return {"task": {"reward": name, "reward_kwargs": settings}}


def _shaped(*names: str, reward: str = "log_d", **settings: Mapping[str, Any]) -> _Game:
    return {"task": {"reward": reward, "shaping": list(names), "shaping_kwargs": settings}}


def _judged(kind: str, settings: Mapping[str, Any] = MappingProxyType({}), **task: Any) -> _Game:
    return {"task": {"reward": "log_ratio", "discriminator": kind, "discriminator_kwargs": settings, **task}}


def _trained(loss: str, penalty: float = 0.0) -> _Game:
    return {**_reward("log_ratio"), "adversary": {"loss": loss, "gradient_penalty": penalty}}


_WHOLE = {"n_completions": 0, "baseline": "batch", "n_episodes": 512}
_CNN = PRESETS["demo"].task.discriminator_kwargs
_LIKELIHOODS = {"n_members": 1, "dropout": 0.2, "n_epochs": 8, "learning_rate": 0.01, "validation": 0.0}

GROUPS: dict[str, dict[str, _Game]] = {
    "Rewards of the discriminator": {
        "log_d": {},
        "neg_log_one_minus_d": _reward("neg_log_one_minus_d"),
        "d": _reward("d"),
        "centered": _reward("centered"),
        "log_ratio": _reward("log_ratio"),
        "relativistic": _reward("relativistic"),
        "rank": _reward("rank"),
        "both_divergences": _reward("both_divergences"),
        "composite: log_d and bleu": _reward("composite", weights=[["log_d", 1.0], ["bleu", 1.0]]),
    },
    "Divergences, by the same discriminator": {
        f"f_divergence: {name}": _reward("f_divergence", divergence=name)
        for name in (
            "forward_kl",
            "reverse_kl",
            "jensen_shannon",
            "total_variation",
            "chi_squared",
            "squared_hellinger",
        )
    },
    "Rewards without a discriminator that learns": {
        "constant": _reward("constant"),
        "random": _reward("random"),
        "bleu": _reward("bleu"),
        "oracle": _reward("oracle"),
        "exact_log_ratio": _reward("exact_log_ratio"),
    },
    "Shapings, beside log_d": {
        "discriminator": _shaped("discriminator"),
        "increments": _shaped("increments"),
        "prefix, with centered, 512 episodes": {
            **_shaped("prefix", reward="centered"),
            "agent": {**_WHOLE, "baseline": "step"},
        },
        "length +0.05": _shaped("length", length={"weight": 0.05}),
        "length -0.05": _shaped("length", length={"weight": -0.05}),
        "repetition": _shaped("repetition"),
    },
    "Kinds of discriminator, with log_ratio": {
        "three cnn": _judged("ensemble", {"kwargs": _CNN}),
        "gru": _judged("gru", {"dropout": 0.3}),
        "transformer": _judged("transformer", {"dropout": 0.3}),
        "causal": _judged("causal", {"dropout": 0.3}),
        "causal, shaped by its own potential": _judged("causal", {"dropout": 0.3}, shaping="discriminator"),
        "log_ratio": _judged("log_ratio", {"dropout": 0.3}),
        "generative": {
            **_judged("generative", _LIKELIHOODS),
            "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 128},
        },
    },
    "Losses of the discriminator, with log_ratio": {
        "least_squares": _trained("least_squares"),
        "hinge": _trained("hinge"),
        "wasserstein, gradient penalty 10": _trained("wasserstein", 10.0),
        "the relativistic loss": _trained("relativistic"),
    },
    "Ways of the agent, with log_ratio": {
        "MaliGAN's weights, 512 episodes": {**_reward("log_ratio"), "agent": {**_WHOLE, "batch_statistic": "softmax"}},
        "the same without them": {**_reward("log_ratio"), "agent": _WHOLE},
        "LeakGAN's ranks": {**_reward("log_ratio"), "agent": {"batch_statistic": "rank"}},
        "a rollout policy that lags, 0.8": {**_reward("log_ratio"), "agent": {"rollout_lag": 0.8}},
        "three steps of PPO": {**_reward("log_ratio"), "agent": {"n_epochs": 3, "clip_range": 0.2}},
        "a step of teacher forcing": {**_reward("log_ratio"), "agent": {"teacher_forcing_steps": 1}},
        "temperature 1.3 in episodes": {**_reward("log_ratio"), "agent": {"exploration_temperature": 1.3}},
    },
}
"""The games by group and name: the parts in which each differs from ``BASE``."""
LEVEL = 0.5
"""The temperature of maximum likelihood whose ``nll_test`` the curves are compared at."""
KEPT = ("temperature", "nll_oracle", "nll_test", "kl_forward", "kl_reverse", "kl_sum")
_LEARNING = ("step", "nll_oracle", "nll_test", "kl_sum")


def run(
    out: Path = Path("runs/menu"), seeds: int = 5, results: Path = FILE, workers: int = 2, base: RunConfig = BASE
) -> None:
    """Play every game of the menu and write the results.

    Args:
        out: where the runs are kept; those that are done are not done again.
        seeds: how many, from 1; 0 and those from 100 on were looked at when settings were chosen.
        results: the JSON file.
        workers: processes side by side.
        base: the settings that the games share.
    """
    numbers = list(range(1, 1 + seeds))
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in numbers:
        done = compare(games(seed, base), out / str(seed), n_workers=workers)
        rows.setdefault(BASELINE, []).append(_row(next(iter(done.values())), TEMPERATURE))
        for name, records in done.items():
            rows.setdefault(name, []).append(_row(records, FINAL_TEMPERATURE))
    write_results(results, {"seeds": numbers, "config": base.to_dict(), "rows": rows})


def games(seed: int, base: RunConfig = BASE) -> dict[str, RunConfig]:
    """The settings of every game by the number of its group and its name.

    Args:
        seed: everything random follows it.
        base: the settings that they share.
    """
    return demo_runs(seed, base, {_key(group, name): g for group, own in GROUPS.items() for name, g in own.items()})


def _key(group: str, name: str) -> str:
    """The name of a row in the results, and of its folder."""
    plain = "".join(c if c.isalnum() or c in ".+_-" else "-" for c in name)
    return f"{list(GROUPS).index(group)}-{plain}"


def _row(records: Sequence[Record], phase: str) -> dict[str, Any]:
    """The generator of a phase by temperature, and while it learned."""
    game = [r for r in records if r["phase"] == ADVERSARIAL and phase == FINAL_TEMPERATURE]
    return {
        "seconds": game[-1]["wall_time_s"] - game[0]["wall_time_s"] if game else 0.0,
        "records": [{name: r[name] for name in ("phase", *KEPT)} for r in records if r["phase"] == phase],
        "learning": [{name: r[name] for name in _LEARNING} for r in game],
    }


def report(results: Path = FILE, page: Path = PAGE) -> None:
    """Write the tables and the pictures into the docs.

    Args:
        results: the JSON file.
        page: the Markdown file.
    """
    write_section(page, "menu", results, lambda document: tables(document, page.parent))


def tables(document: Mapping[str, Any], pictures: Path | None = None) -> str:
    """The tables of the docs, in Markdown.

    Args:
        document: the results.
        pictures: the folder where the pictures are drawn; None draws none.
    """
    rows, seeds = document["rows"], document["seeds"]
    if pictures is not None:
        draw_learning(rows, pictures / "menu-learning.svg")
        draw_intervals(rows, pictures / "menu-intervals.svg")
    parts = [
        f"Seeds {seeds[0]} to {seeds[-1]}; interquartile mean and its 95 % interval by the bootstrap over seeds. "
        f"Measured with {measured_with(document['environment'])}.\n"
    ]
    for group, own in shown(rows):
        cells = {name: _cells(row, rows[BASELINE]) for name, row in {BASELINE: rows[BASELINE], **own}.items()}
        parts.append(f"### {group}\n\n{markdown_table(cells, list(cells[BASELINE]), first='game')}")
    parts.append(
        "![The sum of both divergences at the best temperature.](menu-intervals.svg)\n\n"
        "![The sum of both divergences while the generator learns.](menu-learning.svg)\n"
    )
    return "\n".join(parts)


def shown(rows: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each group with the rows that it has, by the names of its games."""
    for group, own in GROUPS.items():
        yield group, {name: rows[_key(group, name)] for name in own if _key(group, name) in rows}


def _cells(own: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The text of a row."""
    at_one = [next(r for r in row["records"] if r["temperature"] == 1.0) for row in own]
    gains = gains_at(own, baseline, LEVEL)
    return {
        "KL forward": _cell([r["kl_forward"] for r in at_one]),
        "KL reverse": _cell([r["kl_reverse"] for r in at_one]),
        "KL sum, best T": _cell(_best_sums(own)),
        f"nll oracle at T = {LEVEL:g}": "not reached" if gains is None else _cell(gains, "+"),
        "seconds": f"{np.median([row['seconds'] for row in own]):.0f}",
    }


def _best_sums(own: Sequence[Mapping[str, Any]]) -> list[float]:
    """The sum of both divergences at the temperature that suits each seed best."""
    return [min(r["kl_sum"] for r in row["records"]) for row in own]


def _cell(values: Sequence[float], sign: str = "") -> str:
    mean, low, high = interquartile_mean(values)
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def draw_intervals(rows: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
    """Draw the sum of both divergences at the best temperature of every game, and write the picture.

    Args:
        rows: by the names of the results.
        file: an SVG file.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = [(group, own) for group, own in shown(rows) if own]
    with mpl.rc_context({"svg.hashsalt": "seqgan-env", "font.size": 8}):
        figure = Figure(figsize=(8, 0.22 * sum(len(own) + 1 for _, own in groups) + 1), layout="constrained")
        axes = figure.subplots()
        _, low, high = interquartile_mean(_best_sums(rows[BASELINE]))
        axes.axvspan(low, high, color="0.85", label=f"{BASELINE}, best temperature")
        names: list[str] = []
        for index, (group, own) in enumerate(groups):
            for name, row in own.items():
                mean, low, high = interquartile_mean(_best_sums(row))
                axes.plot([low, high], [len(names)] * 2, color=f"C{index}", lw=2)
                label = group if name == next(iter(own)) else ""
                axes.plot(mean, len(names), "o", color=f"C{index}", ms=4, label=label)
                names.append(name)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set(title="further left is better", xlabel="KL sum at the best temperature (nats per token)")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2)
        figure.savefig(file, format="svg", metadata={"Date": None})


def draw_learning(rows: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
    """Draw the interquartile mean of every game while it is played, a panel a group, and write the picture.

    Args:
        rows: by the names of the results.
        file: an SVG file.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = [(group, own) for group, own in shown(rows) if own]
    with mpl.rc_context({"svg.hashsalt": "seqgan-env", "font.size": 8}):
        figure = Figure(figsize=(11, 3.4 * -(-len(groups) // 2)), layout="constrained")
        panels = figure.subplots(-(-len(groups) // 2), 2, squeeze=False, sharex=True, sharey=True).flat
        for axes, (group, own) in zip(panels, groups, strict=False):
            for name, row in own.items():
                steps = [r["step"] for r in row[0]["learning"]]
                found = [interquartile_mean([each["learning"][i]["kl_sum"] for each in row]) for i in range(len(steps))]
                means, lows, highs = zip(*found, strict=True)
                (line,) = axes.plot(steps, means, "o-", ms=2, lw=1, label=name)
                axes.fill_between(steps, lows, highs, color=line.get_color(), alpha=0.12, lw=0)
            axes.set(title=group, xlabel="updates", ylabel="KL sum (nats per token)")
            axes.grid(alpha=0.3)
            axes.legend(fontsize=6)
        figure.savefig(file, format="svg", metadata={"Date": None})
