"""The algorithms of a sweep by name, and the interface between an algorithm and a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.runs.config import RunConfig
from agents.runs.evaluation import Drawable
from agents.runs.game import Game
from agents.runs.report import markdown_table
from agents.seqgan import SeqGAN
from agents.sweeps.budget import Budget, Watch, WatchCallback
from agents.sweeps.sequences import sequences_of
from seqgan_env.checks import NoConfig, build_config, check_choice, shown
from seqgan_env.functions import load_function
from seqgan_env.registry import Registry

Shares = Literal["generator", "features", "nothing"]
Plays = Literal["any", "discriminator", "none"]
_NEVER = 10**9  # iterations, or episodes, until a model tells its logger to write: the watch does
SHARES: tuple[Shares, ...] = ("generator", "features", "nothing")
PLAYS: tuple[Plays, ...] = ("any", "discriminator", "none")


@dataclass(frozen=True)
class Contest:
    """One run, as the algorithm that plays it is given it."""

    game: Game
    """The task, its environments, an agent that has the pretrained generator, and the discriminator's trainer."""
    settings: Mapping[str, Any]
    """The algorithm's settings by name."""
    budget: Budget
    """The limits."""

    @property
    def n_steps(self) -> int:
        """The steps that the run makes at most, for schedules that go by it."""
        return self.budget.most_steps(self.game.task.spec.max_length)


@runtime_checkable
class Learner(Protocol):
    """An algorithm that is ready to learn."""

    @property
    def sequences(self) -> Drawable:
        """The distribution that it has learnt so far, at any time."""

    def learn(self, watch: Watch) -> None:
        """Learn until the watch says that the budget is spent; it counts by ``spend`` and is asked by ``goes_on``."""


class ModelLearner:
    """A model of Stable-Baselines3 against a discriminator that is retrained on schedule.

    Args:
        contest: the run.
        model: the model, which acts in the environments of the game.

    Raises:
        ValueError: there is no telling the distribution of the model.
    """

    def __init__(self, contest: Contest, model: BaseAlgorithm) -> None:
        self.sequences: Drawable = sequences_of(model, contest.game.task.spec)
        self._contest, self._model = contest, model

    def learn(self, watch: Watch) -> None:
        """See ``Learner``."""
        callback, is_adversarial = self._contest.game.callback, self._contest.game.config.is_adversarial
        callbacks = [callback, WatchCallback(watch)] if is_adversarial else [WatchCallback(watch)]
        # SeqGAN counts environments that idle too, so the watch alone ends it
        n_steps = 1e12 if isinstance(self._model, SeqGAN) else self._contest.n_steps
        self._model.set_logger(watch.logger)
        self._model.learn(n_steps, callback=callbacks, log_interval=_NEVER)  # type: ignore[arg-type]
        if is_adversarial:
            callback.retrain_if_due()


@dataclass(frozen=True)
class AlgorithmEntry:
    """An algorithm as the registry knows it."""

    build: Callable[[Contest], Learner | BaseAlgorithm]
    """Makes it ready to learn."""
    label: str
    """The name in tables and pictures."""
    summary: str
    """A sentence on what it is."""
    source: str
    """The paper."""
    shares: Shares
    """The part of the pretrained generator that it begins with: all of it, what it reads of a prefix, or none."""
    plays: Plays = "any"
    """The rewards that it can learn from: any, none but what the discriminator itself knows, or none."""
    has_likelihood: bool = True
    """Whether the log-probability of a sequence under its policy is known."""
    settings: Callable[[], type[Any]] = lambda: NoConfig
    """Gives the dataclass of its settings; late, since an optional library may lack."""
    from_run: Callable[[RunConfig], Mapping[str, Any]] = lambda run: {}
    """The settings that a task chooses for it."""
    check: Callable[[RunConfig, Mapping[str, Any]], None] = lambda run, settings: None
    """Refuses settings that don't fit a task."""

    def complete(self, given: Mapping[str, Any], run: RunConfig, name: str) -> dict[str, Any]:
        """All settings by name.

        Args:
            given: those that are not the defaults.
            run: the task.
            name: of the algorithm, for an error.

        Raises:
            ValueError: an unknown setting, a value of another type, or a combination that cannot work.
        """
        kind = self.settings()
        if kind is dict:  # a function of a user's own takes what it likes
            return dict(given)
        known = {field.name for field in dataclasses.fields(kind)}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"algorithm {name!r} takes {', '.join(sorted(known)) or 'no settings'}; got {unknown[0]}")
        settings = vars(build_config(kind, {**self.from_run(run), **given}, f"algorithm {name!r}"))
        self.check(run, settings)
        return dict(settings)


ALGORITHMS: Registry[AlgorithmEntry] = Registry("algorithm")
"""The algorithms by name."""


def register_algorithm(name: str, build: Callable[[Contest], Learner | BaseAlgorithm], **declared: Any) -> None:
    """Make an algorithm available to every sweep.

    Args:
        name: an identifier.
        build: makes it ready to learn.
        **declared: the other fields of ``AlgorithmEntry``.

    Raises:
        ValueError: the name is taken or no identifier, or the declaration is not complete.
    """
    entry = build_config(AlgorithmEntry, {"build": build, **declared}, f"algorithm {name!r}")
    check_choice("shares", entry.shares, SHARES)
    check_choice("plays", entry.plays, PLAYS)
    if not all((entry.label.strip(), entry.summary.strip(), entry.source.strip())):
        raise ValueError(f"algorithm {name!r} must declare label, summary and source")
    ALGORITHMS.register(name, entry)


def algorithm_entry(name: str) -> AlgorithmEntry:
    """The declaration of a key of ``ALGORITHMS``, or of ``"module:function"``, which is given a ``Contest``.

    Raises:
        ValueError: it is neither.
    """
    if ":" not in name:
        return ALGORITHMS.lookup(name)
    function = load_function("algorithm", name)
    summary = (function.__doc__ or name).splitlines()[0]
    return AlgorithmEntry(function, name, summary, "its own", "generator", settings=lambda: dict)


def build_learner(name: str, contest: Contest) -> Learner:
    """The learner of an algorithm, ready to learn.

    Raises:
        ValueError: it is none, a library is not installed, or see the algorithm.
    """
    built = algorithm_entry(name).build(contest)
    if isinstance(built, BaseAlgorithm):
        return ModelLearner(contest, built)
    if not (isinstance(built, Learner) and isinstance(built.sequences, Drawable)):
        raise ValueError(f"algorithm {name!r} must give a Learner or a model of Stable-Baselines3, got {shown(built)}")
    return built


def algorithm_table() -> str:
    """The registered algorithms, in Markdown."""
    likelihood = {True: "yes", False: "no"}
    lessons = {"any": "any reward", "discriminator": "the discriminator", "none": "no reward"}
    rows = {
        f"`{name}`": {
            "what it is": entry.summary,
            "begins with": entry.shares,
            "learns from": lessons[entry.plays],
            "likelihood": likelihood[entry.has_likelihood],
            "source": entry.source,
        }
        for name, entry in ALGORITHMS.items()
    }
    return markdown_table(rows, list(next(iter(rows.values()))), first="algorithm")
