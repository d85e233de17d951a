"""Games in groups, played from one generator over several seeds: run, tables and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs.comparison import compare
from agents.runs.config import Parts, RunConfig
from agents.runs.experiment import Experiment
from agents.runs.folder import Record
from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE, TEMPERATURE
from agents.runs.report import markdown_table
from agents.runs.workers import side_by_side
from agents.sweeps.statistics import interquartile_mean
from benchmarks.curves import BASELINE, KEPT, best_sum, gains_at, game_seconds, record_at
from benchmarks.harness import (
    NOT_REACHED,
    RESULTS,
    begin_results,
    measured_with,
    svg_figure,
    write_results,
)
from benchmarks.pages import reporter
from seqgan_env.checks import PositiveInt

LEVEL = 0.5
"""The temperature of maximum likelihood whose ``nll_test`` the curves are compared at."""
_LEARNING = ("step", "nll_oracle", "nll_test", "kl_sum")


@dataclass(frozen=True)
class Study:
    """Games that are compared with each other and with maximum likelihood."""

    name: str
    """Of its file, its section of the docs and its pictures."""
    base: RunConfig
    """The settings that the games share."""
    groups: Mapping[str, Mapping[str, Parts]]
    """The games by group and name: the parts in which each differs from the base."""
    bases: Mapping[str, Parts] = field(default_factory=dict)
    """Groups with a maximum likelihood of their own: the parts in which their base differs."""

    @property
    def file(self) -> Path:
        """Its committed results."""
        return RESULTS / f"{self.name}.json"

    def run(
        self, out: Path | None = None, seeds: PositiveInt = 5, results: Path | None = None, workers: PositiveInt = 2
    ) -> None:
        """Play every game and write the results.

        Args:
            out: where the runs are kept, by default ``runs/NAME``; those that are done are not done again.
            seeds: how many, from 1; 0 and those from 100 on were looked at when settings were chosen.
            results: the JSON file; by default the one that is committed.
            workers: processes side by side.
        """
        begin_results(results := results or self.file)
        out, numbers = out or Path("runs") / self.name, list(range(1, 1 + seeds))
        sets = {out / str(seed) / group: (group, own) for seed in numbers for group, own in self.games(seed).items()}
        starts = {folder: next(iter(games.items())) for folder, (_, games) in sets.items()}
        side_by_side(_pretrain, {folder: (game, folder / name) for folder, (name, game) in starts.items()}, workers)
        rows: dict[str, list[dict[str, Any]]] = {}
        for folder, (group, games) in sets.items():
            first = {name: next(o for o, other in games.items() if other == game) for name, game in games.items()}
            different = {name: games[name] for name in first.values()}
            done = compare(different, folder, n_workers=workers)
            rows.setdefault(f"{group}{BASELINE}", []).append(_row(next(iter(done.values())), TEMPERATURE))
            for name in games:
                rows.setdefault(name, []).append(_row(done[first[name]], FINAL_TEMPERATURE))
        write_results(results, {"seeds": numbers, "config": self.base.to_dict(), "rows": rows})

    def games(self, seed: int) -> dict[str, dict[str, RunConfig]]:
        """The settings of every game by its key, in sets that share their maximum likelihood.

        Args:
            seed: everything random follows it.

        Returns:
            The sets by the key of the group that has one of its own; that of all others is called "".
        """
        found: dict[str, dict[str, RunConfig]] = {}
        base = dataclasses.replace(self.base, seed=seed)
        for group, own in self.groups.items():
            shared = found.setdefault(self._key(group) if group in self.bases else "", {})
            for name, game in own.items():
                shared[self._key(group, name)] = base.changed(self.bases.get(group, {}), game)
        return found

    def _key(self, group: str, name: str = "") -> str:
        """The name of a row in the results, and of its folder; of a group without ``name``."""
        plain = "".join(c if c.isalnum() or c in ".+_-" else "-" for c in name)
        return f"{list(self.groups).index(group)}-{plain}"

    @property
    def report(self) -> Callable[..., None]:
        """The command that writes its tables and pictures into the docs."""
        return reporter(self.name, self.file, self.tables)

    def tables(self, document: Mapping[str, Any], pictures: Path | None = None) -> str:
        """The tables of the docs, in Markdown.

        Args:
            document: the results.
            pictures: the folder where the pictures are drawn; None draws none.
        """
        rows, seeds = document["rows"], document["seeds"]
        intervals, learning = f"{self.name}-intervals.svg", f"{self.name}-learning.svg"
        if pictures is not None:
            self.draw_learning(rows, pictures / learning)
            self.draw_intervals(rows, pictures / intervals)
        parts = [
            f"Seeds {seeds[0]} to {seeds[-1]}; interquartile mean and its 95 % interval by the bootstrap over seeds. "
            f"Measured with {measured_with(document['environment'])}.\n"
        ]
        for group, baseline, own in self._shown(rows):
            cells = {name: _cells(row, baseline) for name, row in {BASELINE: baseline, **own}.items()}
            parts.append(f"### {group}\n\n{markdown_table(cells, list(cells[BASELINE]), first='game')}")
        parts.append(
            f"![The sum of both divergences against that of maximum likelihood.]({intervals})\n\n"
            f"![The sum of both divergences while the generator learns.]({learning})\n"
        )
        return "\n".join(parts)

    def _shown(self, rows: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """Each group with its maximum likelihood and the rows that it has, by the names of its games."""
        for group, own in self.groups.items():
            baseline = f"{self._key(group) if group in self.bases else ''}{BASELINE}"
            found = {name: rows[self._key(group, name)] for name in own if self._key(group, name) in rows}
            if found:
                yield group, rows[baseline], found

    def draw_intervals(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
        """Draw what every game gained over maximum likelihood with the same seed, a panel a group; write the picture.

        It is the sum of both divergences, each at its best temperature.

        Args:
            rows: by the names of the results.
            file: an SVG file.
        """
        groups = list(self._shown(rows))
        sizes = [len(own) + 1 for *_, own in groups]
        with svg_figure(file, (8, 0.25 * sum(sizes) + 0.3 * len(groups) + 0.7)) as figure:
            panels = figure.subplots(len(groups), squeeze=False, sharex=True, height_ratios=sizes).flat
            for axes, (group, baseline, own) in zip(panels, groups, strict=True):
                for place, row in enumerate(own.values()):
                    mean, low, high = interquartile_mean(_gained(row, baseline))
                    axes.plot([low, high], [place] * 2, color="C0", lw=2)
                    axes.plot(mean, place, "o", color="C0", ms=4)
                axes.set(title=group, ylim=(len(own) - 0.5, -0.5))
                axes.set_yticks(range(len(own)), list(own))
                axes.axvline(0, color="0.4", lw=0.8)
                axes.grid(alpha=0.3)
            figure.suptitle(f"left of 0 is better than {BASELINE}, each at its best temperature")
            figure.supxlabel("KL sum less that of maximum likelihood (nats per token)")

    def draw_learning(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
        """Draw how the sum of both divergences changes while a game is played, a panel a group; write the picture.

        Args:
            rows: by the names of the results.
            file: an SVG file.
        """
        groups = list(self._shown(rows))
        with svg_figure(file, (11, 3.4 * -(-len(groups) // 2))) as figure:
            panels = figure.subplots(-(-len(groups) // 2), 2, squeeze=False, sharey=True).flatten()
            for axes in panels[len(groups) :]:
                axes.remove()
            for axes, (group, _, own) in zip(panels, groups, strict=False):
                for name, row in own.items():
                    steps = [r["step"] for r in row[0]["learning"]]
                    changes = [[r["kl_sum"] - each["learning"][0]["kl_sum"] for r in each["learning"]] for each in row]
                    found = [interquartile_mean(own_S) for own_S in zip(*changes, strict=True)]
                    means, lows, highs = zip(*found, strict=True)
                    (line,) = axes.plot(steps, means, "o-", ms=2, lw=1, label=name)
                    axes.fill_between(steps, lows, highs, color=line.get_color(), alpha=0.12, lw=0)
                axes.set(title=group, xlabel="updates", ylabel="change of the KL sum (nats per token)")
                axes.grid(alpha=0.3)
                axes.legend(fontsize=6)


def _pretrain(config: RunConfig, folder: Path) -> None:
    """Do the maximum likelihood that games start from, or what is left of it."""
    Experiment.begin_or_resume(config, folder, progress=False).run(pretraining_only=True)


def _row(records: Sequence[Record], phase: str) -> dict[str, Any]:
    """The generator of a phase by temperature, and while it learned."""
    game = [r for r in records if r["phase"] == ADVERSARIAL and phase == FINAL_TEMPERATURE]
    return {
        "seconds": game_seconds(game),
        "records": [_rounded(r, ("phase", *KEPT)) for r in records if r["phase"] == phase],
        "learning": [_rounded(r, _LEARNING) for r in game],
    }


def _rounded(record: Record, names: Sequence[str]) -> Record:
    """Some fields of a record, rounded below the standard error of any of them."""
    return {name: round(record[name], 5) if isinstance(record[name], float) else record[name] for name in names}


def _cells(own: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The text of a row."""
    at_one = [record_at(row) for row in own]
    gains = [gain for gain in gains_at(own, baseline, LEVEL) if gain is not None]
    return {
        "KL forward": _cell([r["kl_forward"] for r in at_one]),
        "KL reverse": _cell([r["kl_reverse"] for r in at_one]),
        "KL sum, best T": _cell([best_sum(row) for row in own]),
        "less max. likelihood's": _cell(_gained(own, baseline), "+"),
        f"nll oracle at T = {LEVEL:g}": _cell(gains, "+") if len(gains) == len(own) else NOT_REACHED,
        "seconds": f"{np.median([row['seconds'] for row in own]):.0f}",
    }


def _gained(own: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]) -> list[float]:
    """The difference of each ``best_sum`` from maximum likelihood's with the same seed."""
    return [best_sum(game) - best_sum(other) for game, other in zip(own, baseline, strict=True)]


def _cell(values: Sequence[float], sign: str = "") -> str:
    mean, low, high = interquartile_mean(values)
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
