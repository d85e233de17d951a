"""Trackers: the evaluations of a run, told to TensorBoard, Weights & Biases, MLflow, trackio or one of the user's own.

They are an output of Stable-Baselines3's logger: each evaluation is told together with what the agent and its callback
have logged since the last one. A step is the number of an evaluation in ``metrics.jsonl``, from 1.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stable_baselines3.common.logger import KVWriter
from torch.utils.tensorboard import SummaryWriter

from agents.runs.folder import Record, flat_settings
from seqgan_env.checks import check_names, check_type
from seqgan_env.files import atomic_write, one_line, parse_json, read_bytes, refusal
from seqgan_env.registry import Registry

PROJECT = "seqgan-env"
"""The project, or experiment, of runs where the environment variable of the tracker names none."""
DEFAULT = ("tensorboard",)
"""The trackers of a run that names none."""


class TrackedRun(NamedTuple):
    """All that a tracker is told of a run when it begins, or goes on."""

    id: str
    """Unique, and the same when the run goes on: 16 hexadecimal digits."""
    name: str
    """For people."""
    group: str | None
    """The sweep that it belongs to."""
    settings: dict[str, Any]
    """Nested, as in ``config.json``."""
    folder: Path
    """The run's own."""
    n_kept: int
    """The steps that are valid: a run that was killed after a later one tells it again."""


class Tracker(Protocol):
    """A place where a run's evaluations are told."""

    def write(self, values: dict[str, float], step: int) -> None:
        """Tell an evaluation: numbers by name, as ``adversarial/kl_sum``."""

    def close(self, *, finished: bool) -> None:
        """End; a run that is not ``finished`` may go on later."""


class TensorBoard:
    """Events in the run's folder, for ``tensorboard --logdir``."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._writer: SummaryWriter | None = None

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        if self._writer is None:  # only now: a run that can't begin leaves no files
            self._writer = SummaryWriter(str(self._run.folder / "tensorboard"), purge_step=self._run.n_kept + 1)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Weights & Biases; ``WANDB_MODE=offline`` needs no account, and ``WANDB_PROJECT`` names another project."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            group=run.group,
            config=run.settings,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off"),  # a progress bar is no log
        )

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self._run.log(values, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """MLflow, at ``MLFLOW_TRACKING_URI``; ``MLFLOW_EXPERIMENT_NAME`` names another experiment."""

    _TAG = "seqgan.run"

    def __init__(self, run: TrackedRun) -> None:
        import mlflow

        self._client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        begun = self._client.search_runs([experiment], f"tags.`{self._TAG}` = '{run.id}'", max_results=1)
        if begun:
            self._id = begun[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {self._TAG: run.id} | ({"group": run.group} if run.group else {})
        self._id = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        for key, value in flat_settings(run.settings).items():
            self._client.log_param(self._id, key, value)

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


class Trackio:
    """Trackio, in its local folder, ``TRACKIO_DIR``; ``TRACKIO_PROJECT`` names another project."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{run.name}-{run.id[:6]}",  # by which it goes on
            group=run.group,
            config=flat_settings(run.settings),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self._run.log(values, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._run.finish()


class TrackerEntry(NamedTuple):
    """The declaration of a tracker."""

    begin: Callable[[TrackedRun], Tracker]
    """Begins a run, or goes on with it."""
    package: str | None
    """The package that it needs beyond the project's own."""


TRACKERS: Registry[TrackerEntry] = Registry("tracker")
"""The trackers by name."""


def register_tracker(name: str, begin: Callable[[TrackedRun], Tracker], *, package: str | None = None) -> None:
    """Make a tracker available to every run.

    Args:
        name: an identifier.
        begin: begins a run, or goes on with it.
        package: the name of a package that it imports, whose absence is then an error before any work.

    Raises:
        ValueError: the name is taken or no identifier.
        TypeError: ``begin`` can't be called.
    """
    if not callable(begin):
        raise TypeError(f"a tracker must be a function of a TrackedRun, got {begin!r}")
    TRACKERS.register(name, TrackerEntry(begin, package))


register_tracker("tensorboard", TensorBoard)
register_tracker("wandb", WeightsAndBiases, package="wandb")
register_tracker("mlflow", MLflow, package="mlflow")
register_tracker("trackio", Trackio, package="trackio")


class Trackers(KVWriter):
    """The trackers of a run, as an output of Stable-Baselines3's logger.

    A file remembers the run's id and its trackers, so that a run goes on where it was, and a tracker that is new to it
    hears the earlier evaluations first. After a kill a step may be told again, with the same values. A tracker that
    fails is left alone from then on, with a warning: the run is worth more.

    Args:
        path: the file.
        names: keys of ``TRACKERS``; None takes those of the file, or ``DEFAULT``.

    Raises:
        ValueError: the file is damaged, a name is unknown or comes twice, or its package is not installed. Construction
            writes nothing.
    """

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self._path = path
        self._id, self._known = secrets.token_hex(8), tuple[str, ...]()
        if path.exists():
            with refusal(path, "list of trackers"):
                stored = check_type("it", parse_json(read_bytes(path)), dict[str, Any])
                check_names("it", stored, ("id", "names"))
                self._id = check_type("id", stored["id"], str)
                self._known = tuple(check_type("names", stored["names"], list[str]))
        self.names = tuple(names if names is not None else self._known or DEFAULT)
        for name in self.names:
            package = TRACKERS.lookup(name).package
            if package is not None and find_spec(package) is None:
                raise ValueError(f"the tracker {name} needs the package {package}: pip install {package}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a tracker may be named once, got {', '.join(self.names)}")
        self._open: dict[str, Tracker] = {}
        self._failed: set[str] = set()

    @property
    def knows_all(self) -> bool:
        """Whether no tracker is new to the run."""
        return set(self.names) <= set(self._known)

    def begin(self, name: str, settings: dict[str, Any], records: Sequence[Record], group: str | None = None) -> None:
        """Begin, or go on, after the evaluations that there are.

        Args:
            name: of the run, for people.
            settings: nested.
            records: every evaluation so far.
            group: the sweep that the run belongs to.

        Raises:
            ValueError: a tracker can't begin.
        """
        run = TrackedRun(self._id, name, group, settings, self._path.parent, len(records))
        try:
            for tracker in self.names:
                self._open[tracker] = TRACKERS[tracker].begin(run)
        except Exception as error:  # of any kind: it is the tracker's own
            failed = self.names[len(self._open)]
            self.close(finished=False)
            raise ValueError(f"the tracker {failed} can't begin: {one_line(str(error))}") from error
        for step, record in enumerate(records, 1):
            self._tell(values_of(record), step, [tracker for tracker in self.names if tracker not in self._known])

    def keep(self) -> None:
        """Write the file, without the trackers that have failed, once the run has begun too."""
        names = [name for name in self.names if name not in self._failed]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as file:
            file.write(json.dumps({"id": self._id, "names": names}).encode())

    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, Any], step: int = 0) -> None:
        """Tell every tracker the numbers among ``key_values``."""
        self._tell(key_values, step, self.names)

    def _tell(self, values: Mapping[str, Any], step: int, names: Collection[str]) -> None:
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, Real)}
        for name in [name for name in self._open if name in names]:
            with self._or_without(name):
                self._open[name].write(numbers, step)

    def close(self, *, finished: bool = True) -> None:
        """End them all."""
        while self._open:
            name, tracker = self._open.popitem()
            with self._or_without(name):
                tracker.close(finished=finished)

    @contextmanager
    def _or_without(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            warnings.warn(f"the tracker {name} failed and is told no more: {one_line(str(error))}", stacklevel=4)
            self._open.pop(name, None)
            self._failed.add(name)


def values_of(record: Record) -> dict[str, float]:
    """The numbers of an evaluation, after its phase: ``adversarial/kl_sum``."""
    numbers = {name: value for name, value in record.items() if isinstance(value, Real)}
    return {f"{record['phase']}/{name}": float(value) for name, value in numbers.items()}
