"""The tables that describe a sweep, and the runs that they mean.

An entry of an axis is a name, or a table with ``name``, settings, ``grid``, a table of lists whose every combination is
an entry of its own, and ``search``, a table of ranges from which so many entries are drawn.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agents.runs.config import RunConfig
from agents.runs.presets import PRESETS
from agents.runs.search_space import with_settings
from agents.sweeps.adaptive import Score, Trials
from agents.sweeps.budget import Budget
from agents.sweeps.cells import Cell, build_cell, listed, name_with
from agents.sweeps.search import Search, search_of
from seqgan_env.checks import PositiveInt, Seed, Share, build_config, check_fields, check_type, shown
from seqgan_env.discriminators import DISCRIMINATORS
from seqgan_env.files import one_line
from seqgan_env.registration import TASKS
from seqgan_env.task_config import TaskConfig

_AXES = ("task", "algorithm", "reward", "shaping", "discriminator")
_KEYS = ("seeds", *_AXES, "budget", "run", "grid", "resources")
_PARTS = ("generator", "pretraining", "adversary", "agent", "evaluation", "runtime")
_MOOT = {
    "seed": "seeds lists them",
    "agent.n_updates": "the budget ends a run",
    "agent.final_learning_rate": "step sizes have no schedule",
    **dict.fromkeys(("runtime.device", "runtime.n_threads"), "it decides no result, so it belongs in run.runtime"),
}
_REQUIRED = ("task", "algorithm", "budget")


@dataclass(frozen=True)
class Resources:
    """The part of a node of a cluster that a piece of work asks for; it does not change the result.

    Raises:
        ValueError: a value is out of range.
    """

    cpus: PositiveInt = 1
    """Processors; ``runtime.n_threads`` of a run says how many of them torch uses."""
    gpus: Share = 0.0
    """The part of a GPU."""
    memory_mb: PositiveInt | None = None
    """Memory, MB, by which pieces of work are kept apart; None is no limit."""

    def __post_init__(self) -> None:
        check_fields(self)


class Entry(NamedTuple):
    """One value of an axis."""

    name: Any
    """Its name; a list of names for shapings that add up."""
    settings: dict[str, Any]
    """Its settings."""
    search: Search | None = None
    """Proposes more of them, where that needs the results of runs."""

    @property
    def label(self) -> str:
        """Its name in results."""
        name = " + ".join(map(str, self.name)) if isinstance(self.name, list) else str(self.name)
        return name_with(name, self.settings)


def resources_of(spec: Mapping[str, Any]) -> Resources:
    """The share of a node that a sweep's file asks for.

    Args:
        spec: the tables of the file.

    Raises:
        ValueError: an unknown name, or a value out of range.
    """
    return build_config(Resources, check_type("resources", spec.get("resources", {}), Mapping[str, Any]), "resources")


def cells_of(spec: Mapping[str, Any]) -> list[Cell]:
    """The runs of a sweep that are known before any is done; see ``Plan``."""
    return Plan(spec).cells()


class Plan:
    """The combinations of a sweep.

    Args:
        spec: the tables of its file.

    Raises:
        ValueError: an unknown key, or a value out of range.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        if unknown := sorted(map(str, set(spec) - set(_KEYS))):
            raise ValueError(f"a sweep takes {', '.join(_KEYS)}; got {', '.join(unknown)}")
        if missing := [name for name in _REQUIRED if not spec.get(name)]:
            raise ValueError(f"a sweep must have {', '.join(_REQUIRED)}; it lacks {', '.join(missing)}")
        seeds = _some("seeds", check_type("seeds", spec.get("seeds", [0]), Sequence[Seed]))
        self._seeds = list(dict.fromkeys(seeds))
        self._parts = check_type("run", spec.get("run", {}), Mapping[str, Mapping[str, Any]])
        self._budget = build_config(Budget, spec["budget"], "the budget")
        resources_of(spec)
        self._axes = [list(_entries(name, spec.get(name, [None]))) for name in _AXES]
        self._variants = list(_combinations("grid", spec.get("grid", {})))
        self._runs: dict[str, RunConfig] = {}
        self._made: dict[str, Cell] = {}
        self._searches: dict[str, Trials] = {}
        self._given: set[str] = set()

    def cells(self, score: Score = lambda cell, metric: None) -> list[Cell]:
        """The runs that it has not given before, those of the first seed first.

        Args:
            score: of a run; the more it knows the more runs there are, if the sweep learns.

        Raises:
            ValueError: an unknown name, a value out of range, or a combination that cannot work; the message begins
                with the combination.
        """
        cells: dict[str, Cell] = {}
        shared: dict[str, Mapping[str, Any]] = {}  # what the variants that are one run have in common
        for variant, *entries in itertools.product(self._variants, *self._axes):
            for cell in self._trials(variant, entries, score):
                if cell.key not in self._given:
                    cells.setdefault(cell.key, cell)
                    common = shared.setdefault(cell.key, variant).items()
                    shared[cell.key] = {name: value for name, value in common if variant[name] == value}
        self._given |= cells.keys()
        named = [cell.with_names(variant=listed(shared[key])) for key, cell in cells.items()]
        return [cell.with_seed(seed) for seed in self._seeds for cell in named]

    def _trials(self, variant: Mapping[str, Any], entries: Sequence[Entry], score: Score) -> list[Cell]:
        """The runs of a combination whatever their seed: one, or more trials of the search that it has."""
        searched = [(place, entry.search) for place, entry in enumerate(entries) if entry.search is not None]
        if not searched:
            return [self._cell(variant, *entries)]
        if len(searched) > 1:
            both = " and ".join(entries[place].label for place, _ in searched)
            raise ValueError(f"one entry of a combination may learn from others, got {both}")
        ((place, search),) = searched

        def trial(settings: Mapping[str, Any]) -> Cell:
            entry = entries[place]
            own = Entry(entry.name, {**entry.settings, **settings})
            return self._cell(variant, *entries[:place], own, *entries[place + 1 :])

        key = repr((variant, entries))
        if key not in self._searches:
            self._searches[key] = Trials(search, trial, self._seeds)
        return self._searches[key].more(score)

    def _cell(self, variant: Mapping[str, Any], *entries: Entry) -> Cell:
        """A run; one that has been asked for before is the same."""
        key = repr((variant, entries))
        if key not in self._made:
            try:
                self._made[key] = self._build(variant, *entries)
                assert self._made[key].key  # a file that a task names is read now
            except (TypeError, ValueError) as error:
                where = ", ".join(entry.label for entry in entries if entry.name is not None)
                raise ValueError(one_line(f"{where}: {error}")) from error
        return self._made[key]

    def _build(
        self,
        variant: Mapping[str, Any],
        task: Entry,
        algorithm: Entry,
        reward: Entry,
        shaping: Entry,
        discriminator: Entry,
    ) -> Cell:
        key = repr((variant, task))
        of_task = self._runs[key] = self._runs.get(key) or _run_of(task, self._parts, variant)
        run = dataclasses.replace(of_task, task=_task_with(of_task.task, reward, shaping, discriminator))
        names = {
            "task": task.label,
            "reward": str(run.task.reward) if reward.name is None else reward.label,
            "shaping": _shaping_name(run.task) if shaping.name is None else shaping.label,
            "discriminator": _stem(run.task) if discriminator.name is None else discriminator.label,
            "variant": listed(variant),
        }
        return build_cell(run, algorithm.name, algorithm.settings, self._budget, names)


def _entries(axis: str, values: Any) -> Iterator[Entry]:
    """The entries of an axis, with one for each combination of a ``grid`` and each trial of a ``search``."""
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"{axis} must be a list of names and tables, got {shown(values)}")
    for value in values:
        table = value if isinstance(value, Mapping) else {"name": value}
        if "name" not in table:
            raise ValueError(f"a table of {axis} must have a name, got {shown(dict(table))}")
        name, grid = table["name"], table.get("grid", {})
        is_several = axis == "shaping" and isinstance(name, (list, tuple)) and name
        is_own = name is None and axis not in _REQUIRED
        if not (isinstance(name, str) or is_own or (is_several and all(isinstance(each, str) for each in name))):
            raise ValueError(f"an entry of {axis} must be a name or a table with a name, got {shown(value)}")
        settings = {key: each for key, each in table.items() if key not in ("name", "grid", "search")}
        title = f"search of {name}"
        search = search_of(title, check_type(title, table["search"], Mapping[str, Any])) if "search" in table else None
        learning = search if search is not None and search.is_adaptive else None
        trials: list[dict[str, Any]] = [{}] if search is None or learning is not None else search.drawn()
        for more, trial in itertools.product(_combinations(f"grid of {name}", grid), trials):
            parts = (settings, more, search.choices if search is not None else {})
            if both := sorted(key for key, n in Counter(itertools.chain(*parts)).items() if n > 1):
                raise ValueError(
                    f"a setting of {name} must be fixed, in its grid or in its search; {', '.join(both)} is both"
                )
            yield Entry(list(name) if is_several else name, {**settings, **more, **trial}, learning)


def _combinations(name: str, grid: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the lists of a table."""
    lists = check_type(name, grid, Mapping[str, Sequence[Any]])
    for values in itertools.product(*(_some(f"{name}[{key!r}]", each) for key, each in lists.items())):
        yield dict(zip(lists, values, strict=True))


def _some(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """Refuse a list of nothing, of which there is no combination."""
    if not values:
        raise ValueError(f"{name} must be a list of at least one value, got an empty one")
    return values


def _run_of(task: Entry, parts: Mapping[str, Any], variant: Mapping[str, Any]) -> RunConfig:
    """The settings of a task, before its reward, shaping and discriminator are chosen."""
    if task.name in PRESETS:
        run = PRESETS[task.name]
    elif task.name in TASKS:
        run = RunConfig(task=TaskConfig(**TASKS[task.name].kwargs))
    else:
        raise ValueError(f"task must be one of {', '.join([*TASKS, *PRESETS])}; got {task.name!r}")
    own = {name: value for name, value in task.settings.items() if name in _PARTS}
    fields = {name: value for name, value in task.settings.items() if name not in _PARTS}
    if unknown := sorted(set(parts) - set(_PARTS)):
        raise ValueError(f"run takes {', '.join(_PARTS)}; got {', '.join(unknown)}")
    if run.task.source is None and "source" not in fields:
        raise ValueError(f"the task needs a text: {{ name = {task.name!r}, source = 'my.txt' }}")
    runtime = dataclasses.replace(run.runtime, n_threads=1, device="cpu")
    run = dataclasses.replace(run, runtime=runtime, task=_replaced(run.task, fields, "task"))
    for name, values in (*parts.items(), *own.items()):
        run = dataclasses.replace(run, **{name: _replaced(getattr(run, name), values, name)})
        _refuse_moot(f"{name}.{field}" for field in values if name != "runtime")
    _refuse_moot(variant)
    return with_settings(run, variant).located() if variant else run.located()


def _refuse_moot(names: Iterable[str]) -> None:
    """Refuse settings of a run that a sweep does not follow."""
    for name in names:
        if name in _MOOT:
            raise ValueError(f"{name} can't be set here: {_MOOT[name]}")


def _replaced(part: Any, values: Any, name: str) -> Any:
    """A part with some fields changed."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be a table, got {shown(values)}")
    names = [each.name for each in dataclasses.fields(part)]
    if unknown := sorted(set(values) - set(names)):
        raise ValueError(f"{name} takes {', '.join(names)}; got {', '.join(unknown)}")
    return dataclasses.replace(part, **values)


def _task_with(task: TaskConfig, reward: Entry, shaping: Entry, discriminator: Entry) -> TaskConfig:
    """A task with another reward, shaping and discriminator, where these are given."""
    changes: dict[str, Any] = {}
    if reward.name is not None:
        changes |= {"reward": reward.name, "reward_kwargs": reward.settings}
    if shaping.name is not None:
        changes |= {"shaping": shaping.name}
        one = isinstance(shaping.name, str) and shaping.settings
        changes |= {"shaping_kwargs": {shaping.name: shaping.settings} if one else shaping.settings}
    if discriminator.name is not None and (discriminator.name != task.discriminator or discriminator.settings):
        if not Path(discriminator.name).is_file():
            DISCRIMINATORS.lookup(discriminator.name)
        changes |= {"discriminator": discriminator.name, "discriminator_kwargs": discriminator.settings}
    return dataclasses.replace(task, **changes)


def _shaping_name(task: TaskConfig) -> str:
    return Entry(task.shaping, {}).label


def _stem(task: TaskConfig) -> str:
    return Path(task.discriminator).stem
