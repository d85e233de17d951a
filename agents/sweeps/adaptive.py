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
"""A column of a metric at the end of a run, so that lower is better; infinite of a run that failed, None before."""


def trials_of(
    search: Search, trial: Callable[[Mapping[str, Any]], Cell], seeds: Sequence[int], score: Score
) -> list[Cell]:
    """The trials so far, whatever their seed: those that are done, and those that can be played.

    Args:
        search: an adaptive one.
        trial: its run with some settings.
        seeds: over which a trial is judged, by the mean.
        score: of a run.

    Raises:
        ValueError: an end of a range can't be played, or its run does not measure the metric.
    """
    metric = search.metric
    assert metric is not None

    def worth(settings: Mapping[str, Any]) -> float | None:
        scores = [score(trial(settings).with_seed(seed), metric) for seed in seeds]
        return None if None in scores else fmean(each for each in scores if each is not None)

    for settings in search.ends():  # refused now, if at all
        _check_measured(metric, trial(settings))
    return [trial(settings) for settings in proposals(search, worth)]


def proposals(search: Search, worth: Callable[[Mapping[str, Any]], float | None]) -> list[dict[str, Any]]:
    """The settings of the trials so far, up to the first batch that is not done, or of which all have failed.

    Args:
        search: an adaptive one.
        worth: the number that settings are judged by, as ``Score`` has it.
    """
    study = load_optuna().create_study()
    space = {key: _distribution(choice) for key, choice in search.choices.items()}
    found: list[dict[str, Any]] = []
    while len(found) < search.trials:
        trials, batch = [], []
        for number in range(len(found), min(search.trials, len(found) + (search.at_once or _AT_ONCE))):
            study.sampler = sampler(search.seed, "sweep", "search", number)
            trials.append(study.ask(space))
            batch.append({key: _value(search.choices[key], value) for key, value in trials[-1].params.items()})
        found += batch
        values = [worth(settings) for settings in batch]
        if None in values or all(value == math.inf for value in values):
            break
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, value)
    return found


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
