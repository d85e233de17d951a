"""A search whose proposals learn from the trials before them, by Optuna.

Nothing is kept of it but the runs: proposals are keyed by the seed and the number of a trial, and are made in batches,
each from what the trials of the batches before it were worth. So they are the same whatever plays the runs, in any
order, and after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from agents.runs.tune import load_optuna, sampler
from agents.sweeps.cells import Cell
from agents.sweeps.search import Range, Search
from seqgan_env.metrics import METRICS

_AT_ONCE = 4

Score = Callable[[Cell, str], float | None]
"""A column of a metric at the end of a run, so that lower is better: infinite of a run that failed, NaN of one without
the number, and None before its end."""


class Trials:
    """The trials of a search in one combination of the other axes, which become more as they are done.

    Args:
        search: an adaptive one.
        trial: the run of some settings.
        seeds: over which a trial is judged, by the mean.

    Raises:
        ValueError: an end of a range can't be played, or its run does not measure the metric.
    """

    def __init__(self, search: Search, trial: Callable[[Mapping[str, Any]], Cell], seeds: Sequence[int]) -> None:
        assert search.metric is not None
        self._metric, self._trial, self._seeds = search.metric, trial, seeds
        self._proposals = Proposals(search)
        self._ends = [trial(settings) for settings in search.ends()]  # refused now, if at all
        for cell in self._ends:
            _check_measured(search.metric, cell)

    def more(self, score: Score) -> list[Cell]:
        """Those that it has not given before, whatever their seed: all that are done, and those that can be played.

        Args:
            score: of a run; only None may become another answer.

        Raises:
            ValueError: no run has the number.
        """

        def worth(settings: Mapping[str, Any]) -> float | None:
            if (cell := self._playable(settings)) is None:
                return math.inf
            scores = [score(cell.with_seed(seed), self._metric) for seed in self._seeds]
            return None if None in scores else fmean(each for each in scores if each is not None)

        cells = [cell for settings in self._proposals.more(worth) if (cell := self._playable(settings)) is not None]
        if self._proposals.has_no_number:
            names = ", ".join(filter(None, self._ends[0].axes.values()))
            raise ValueError(f"a search by {self._metric} needs runs that have it, unlike {names}")
        return cells

    def _playable(self, settings: Mapping[str, Any]) -> Cell | None:
        """The run of some settings; None where they do not go together, though each is in its range."""
        try:
            return self._trial(settings)
        except ValueError:
            return None


class Proposals:
    """The settings that a search proposes, each batch from what those before it were worth.

    Args:
        search: an adaptive one.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._study = load_optuna().create_study()
        self._space = {key: _distribution(choice) for key, choice in search.choices.items()}
        self._found: list[dict[str, Any]] = []
        self._asked: list[Any] = []  # of Optuna, for those of the last batch, until their values are known
        self._values: list[float] = []

    def more(self, worth: Callable[[Mapping[str, Any]], float | None]) -> list[dict[str, Any]]:
        """Those that it has not given before, up to the first batch that is not done, or until all seem to fail.

        Args:
            worth: the number that settings are judged by, as ``Score`` has it.
        """
        n_given = len(self._found)
        while self._learn(worth) and not self._is_hopeless and len(self._found) < self._search.trials:
            self._propose()
        return self._found[n_given:]

    @property
    def has_no_number(self) -> bool:
        """Whether it has ended since no run has the number that it is judged by."""
        return self._is_hopeless and all(map(math.isnan, self._values))

    @property
    def _is_hopeless(self) -> bool:
        enough = len(self._values) >= min(_AT_ONCE, self._search.trials)
        return enough and not any(value < math.inf for value in self._values)

    def _learn(self, worth: Callable[[Mapping[str, Any]], float | None]) -> bool:
        """Tell Optuna the values of the last batch; False where they are not all known."""
        batch = self._found[len(self._found) - len(self._asked) :]
        values = [value for settings in batch if (value := worth(settings)) is not None]
        if len(values) < len(batch):
            return False
        for trial, value in zip(self._asked, values, strict=True):
            self._study.tell(trial, value if value < math.inf else math.inf)
            self._values.append(value)
        self._asked = []
        return True

    def _propose(self) -> None:
        search, n = self._search, len(self._found)
        for number in range(n, min(search.trials, n + (search.at_once or _AT_ONCE))):
            self._study.sampler = sampler(search.seed, "sweep", "search", number)
            trial = self._study.ask(self._space)
            self._asked.append(trial)
            self._found.append({key: _value(search.choices[key], value) for key, value in trial.params.items()})


def _distribution(choice: Range | Sequence[Any]) -> Any:
    distributions = load_optuna().distributions
    if not isinstance(choice, Range):
        return distributions.CategoricalDistribution(range(len(choice)))
    if choice.whole:
        return distributions.IntDistribution(math.ceil(choice.low), math.floor(choice.high), log=choice.log)
    return distributions.FloatDistribution(choice.low, choice.high, log=choice.log)


def _value(choice: Range | Sequence[Any], value: Any) -> Any:
    if not isinstance(choice, Range):
        return choice[value]
    return value if choice.whole else choice.rounded(value)


def _check_measured(metric: str, cell: Cell) -> None:
    """Refuse a metric that a run would have to ask for."""
    group = next(each.group for each in METRICS.values() if metric in each.metric.columns)
    if group not in (None, *cell.config.evaluation.metrics):
        raise ValueError(f"the metric {metric} is one on request: [run.evaluation] must have metrics = [{group!r}]")
