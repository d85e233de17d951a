"""A search for the settings of maximum likelihood, judged on validation alone.

Optuna proposes settings, each trial makes the run's phase of maximum likelihood with them, and the best validation
likelihood of its epochs is its value. The test half of the held-out sequences is never read. The number of epochs is
the budget and is not searched, since the step size falls over all of them.

Each trial has a number, and what is drawn for it is keyed by the seed and that number. A search that was killed does
the trials that it lacks, and with one worker ends as if nothing had interrupted it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from agents.runs.config import RunConfig
from agents.runs.evaluation import check_corpus
from agents.runs.folder import Record, RunFolder, check_same
from agents.runs.game import Game
from agents.runs.phases import MaximumLikelihood, NoJournal
from agents.runs.search_space import SPACE, Range, Space, check_space, to_plain, with_settings
from agents.runs.tune_report import best_first
from agents.runs.workers import side_by_side
from seqgan_env.checks import PositiveInt, check_type, is_whole
from seqgan_env.files import atomic_write, parse_json, read_bytes, refusal, remove_partial
from seqgan_env.seeding import derived_seed


class SearchFolder:
    """A folder, and the files of a search in it; the folder need not exist.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.log"
        self.results = self.path / "tune.json"
        self.picture = self.path / "tune.png"

    def check(self, asked: Record) -> Record | None:
        """Refuse a folder that holds something else than this search.

        Args:
            asked: the settings, in the form of ``tune.json``.

        Returns:
            The contents of ``tune.json``; None where nothing has begun.

        Raises:
            ValueError: it holds a run or a search with other settings, is not an empty folder, or a file is damaged.
        """
        if not self.results.exists():
            RunFolder(self.path).check_new()
            return None
        with refusal(self.results, "result of a search"):
            stored: Record = parse_json(read_bytes(self.results))
            theirs = {name: stored[name] for name in asked}
        check_same(theirs, asked, f"the search in {self.path}")
        return stored

    def save(self, results: Record) -> None:
        """Write ``tune.json``."""
        with atomic_write(self.results) as file:
            file.write((json.dumps(results, indent=2) + "\n").encode())

    def study(self, config: RunConfig, number: int = 0) -> Any:
        """The study of Optuna, with the sampler of one trial.

        Args:
            config: the settings.
            number: of the trial.
        """
        optuna = load_optuna()
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        name = str(self.journal)
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(name, JournalFileOpenLock(name))),
            sampler=sampler(config.seed, "tune", number),
            # not before the step size has fallen to a half: until then the likelihood says little about the last one
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=config.pretraining.n_epochs // 2),
            study_name="maximum likelihood",
            load_if_exists=True,
        )

    def begin(self, config: RunConfig) -> Any:
        """The study, after a kill too: without the half line and the unfinished trials that it left."""
        remove_partial(self.path)
        with refusal(self.journal, "journal of a search"):
            if self.journal.exists():
                whole, end, half = read_bytes(self.journal).rpartition(b"\n")
                if half or self.journal.is_symlink():  # what a link leads to is only read
                    with atomic_write(self.journal) as file:
                        file.write(whole + end)
            study = self.study(config)
        for trial in study.get_trials(deepcopy=False):
            if not trial.state.is_finished():
                study.tell(trial.number, state=load_optuna().trial.TrialState.FAIL)
        return study


def tune(
    config: RunConfig,
    out: str | Path,
    n_trials: int,
    *,
    space: Space = SPACE,
    n_workers: int = 1,
    progress: bool = True,
) -> Record:
    """Search the settings of maximum likelihood; trials that are done already are not done again.

    Args:
        config: the settings of all that is not searched; ``pretraining.n_epochs`` is the budget of a trial.
        out: the folder of the search; it is made if it is not there.
        n_trials: trials in all, those of earlier calls among them.
        space: the settings to search.
        n_workers: processes that try side by side; with several, a proposal depends on which trials have ended before.
        progress: show a progress bar.

    Returns:
        The contents of ``tune.json``: ``config``, ``space``, ``seed``, ``sha256`` and ``spec`` of the source,
        ``versions``, and ``trials``. A trial has its ``number``, ``state`` (complete or pruned), ``settings``,
        ``nll_validation`` (of the best epoch, nats per token; None where none was finite), ``values`` (of each epoch)
        and ``seconds``.

    Raises:
        ValueError: a value is out of range, a searched setting is unknown, Optuna is not installed, or ``out`` holds
            something else; nothing has been written then.
    """
    check_type("trials", n_trials, PositiveInt)
    check_type("workers", n_workers, PositiveInt)
    check_type("pretraining.n_epochs", config.pretraining.n_epochs, PositiveInt)
    check_space(config, space)
    load_optuna()
    folder, asked = SearchFolder(out), {"config": config.to_dict(), "space": to_plain(space)}
    stored = folder.check(asked)
    task = Game(config).task  # refuses what does not fit the source
    if stored is not None:
        check_corpus(task, stored)
    results = {
        **asked,
        "seed": config.seed,
        "sha256": getattr(task.source, "sha256", None),
        "spec": dataclasses.asdict(task.spec),
        "versions": {module.__name__: module.__version__ for module in (load_optuna(), torch, np)},
    }
    with RunFolder(out).lock():
        folder.check(asked)  # another process may have begun one since
        _search(config, space, folder, results, n_trials, n_workers, progress)
    return results


def _search(
    config: RunConfig,
    space: Space,
    folder: SearchFolder,
    results: Record,
    n_trials: int,
    n_workers: int,
    progress: bool,
) -> None:
    """Make the trials that are left to make, and keep ``results``."""
    study = folder.begin(config)
    done = {trial["number"] for trial in _trials(study)}
    jobs = {number: (config, space, folder, number) for number in range(n_trials) if number not in done}
    with tqdm(desc="trials", total=n_trials, initial=n_trials - len(jobs), disable=not progress) as bar:

        def keep(number: int | None = None) -> None:
            results["trials"] = _trials(study)
            folder.save(results)
            if ranked := best_first(results):
                bar.set_postfix(best=f"{ranked[0]['nll_validation']:.4f}", refresh=False)
            bar.update(number is not None)

        keep()
        side_by_side(_try, jobs, n_workers, keep)


def _try(config: RunConfig, space: Space, folder: SearchFolder, number: int) -> None:
    """Make one trial: a function of the settings, the number and the trials that have ended."""
    optuna = load_optuna()
    study = folder.study(config, number)
    trial = study.ask({name: _distribution(values) for name, values in space.items()})
    # three digits: more don't matter, and a flag stays readable
    settings = {n: float(f"{value:.3g}") if isinstance(value, float) else value for n, value in trial.params.items()}
    trial.set_user_attr("number", number)
    trial.set_user_attr("settings", settings)
    values: list[float] = []

    def report(epoch: int, nll: float) -> None:
        values.append(nll)
        if math.isfinite(nll):
            trial.report(nll, epoch)
        if not math.isfinite(nll) or (epoch < config.pretraining.n_epochs and trial.should_prune()):
            raise optuna.TrialPruned

    try:
        MaximumLikelihood(report).run(Game(with_settings(config, settings)), NoJournal())
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, min(values))


def _distribution(values: Range | tuple[Any, ...]) -> Any:
    distributions = load_optuna().distributions
    if not isinstance(values, Range):
        return distributions.CategoricalDistribution(values)
    if is_whole(values.low) and is_whole(values.high):
        return distributions.IntDistribution(values.low, values.high, log=values.log, step=values.step or 1)
    return distributions.FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _trials(study: Any) -> list[Record]:
    """The trials that have ended, by number; one that was killed has not."""
    return sorted(
        (
            {
                "number": trial.user_attrs["number"],
                "state": trial.state.name.lower(),
                "settings": trial.user_attrs["settings"],
                "nll_validation": min(trial.intermediate_values.values(), default=None),
                "values": list(trial.intermediate_values.values()),
                "seconds": round(trial.duration.total_seconds(), 3),
            }
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name in ("COMPLETE", "PRUNED")
        ),
        key=lambda trial: int(trial["number"]),
    )


def sampler(seed: int, *key: str | int) -> Any:
    """Optuna's sampler of one trial: its proposal is a function of the seed, the key and the trials that it is told.

    Args:
        seed: of the search.
        *key: of the trial.
    """
    return load_optuna().samplers.TPESampler(seed=derived_seed(seed, *key) % 2**32)


def load_optuna() -> Any:
    """The module ``optuna``, which says no more than warnings.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("a search needs Optuna, which is not installed: pip install 'seqgan-env[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
