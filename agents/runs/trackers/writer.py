"""The trackers of a run, as an output of Stable-Baselines3's logger.

Each evaluation is told together with what the agent and its callback have logged since the last one.
"""

from __future__ import annotations

import copy
import json
import secrets
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter

from agents.runs.folder import Record
from agents.runs.trackers.base import TRACKERS, TrackedRun, Tracker
from seqgan_env.checks import check_names, check_type, shown
from seqgan_env.files import atomic_write, one_line, parse_json, read_bytes, refusal

DEFAULT = ("tensorboard",)
"""The trackers of a run that names none."""


class Trackers(KVWriter):
    """The trackers of a run, as an output of Stable-Baselines3's logger.

    A file remembers the run's id and its trackers, so that a run goes on where it was, and a tracker that is new to it
    hears the earlier evaluations first. After a kill a step may be told again, with the same values. A tracker that
    fails is left alone from then on, with a warning: the run is worth more.

    Args:
        path: the file.
        names: keys of ``TRACKERS``; None takes those of the file, or ``DEFAULT``.
        run_id: of a run that has no file yet; None makes one up.

    Raises:
        ValueError: the file is damaged, a name is unknown or comes twice, or its package is not installed. Construction
            writes nothing.
    """

    def __init__(self, path: Path, names: Sequence[str] | None = None, run_id: str | None = None) -> None:
        self._path = path
        self.run_id = run_id or secrets.token_hex(8)
        self._known: tuple[str, ...] = ()
        if path.exists():
            with refusal(path, "list of trackers"):
                stored = check_type("it", parse_json(read_bytes(path)), dict[str, Any])
                check_names("it", stored, ("id", "names"))
                self.run_id = check_type("id", stored["id"], str)
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

    def begin(
        self, name: str, settings: dict[str, Any], records: Mapping[int, Record], group: str | None = None
    ) -> None:
        """Begin, or go on, after the evaluations that there are.

        Args:
            name: of the run, for people.
            settings: nested.
            records: every evaluation so far, by its step.
            group: the sweep that the run belongs to.

        Raises:
            ValueError: a tracker can't begin.
        """
        run = TrackedRun(self.run_id, name, group, settings, self._path.parent, max(records, default=-1))
        try:
            for tracker in self.names:
                begun = TRACKERS[tracker].begin(copy.deepcopy(run))  # what one does to it is not the next one's
                if not all(callable(getattr(begun, method, None)) for method in ("write", "close")):
                    raise TypeError(f"it must have write and close, got {shown(begun)}")
                self._open[tracker] = begun
        except (Exception, SystemExit) as error:  # of any kind: it is the tracker's own
            failed = self.names[len(self._open)]
            self.close(finished=False)
            self._failed.update(self.names)
            raise ValueError(f"the tracker {failed} can't begin: {one_line(str(error))}") from error
        for step, record in records.items():
            self._tell(values_of(record), step, [tracker for tracker in self.names if tracker not in self._known])

    def keep(self) -> None:
        """Write the file, without the trackers that have failed, once the run has begun too."""
        names = [name for name in self.names if name not in self._failed]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as file:
            file.write(json.dumps({"id": self.run_id, "names": names}).encode())

    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, Any], step: int = 0) -> None:
        """Tell every tracker the numbers among ``key_values``."""
        self._tell(key_values, step, self.names)

    def _tell(self, values: Mapping[str, Any], step: int, names: Collection[str]) -> None:
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, Real)}
        for name in [name for name in self._open if name in names and numbers]:
            with self._or_without(name):
                self._open[name].write(dict(numbers), step)

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
        except (Exception, SystemExit) as error:
            warnings.warn(f"the tracker {name} failed and is told no more: {one_line(str(error))}", stacklevel=4)
            self._open.pop(name, None)
            self._failed.add(name)


def values_of(record: Record) -> dict[str, float]:
    """The numbers of an evaluation, after its phase: ``adversarial/kl_sum``."""
    numbers = {name: value for name, value in record.items() if isinstance(value, Real)}
    return {f"{record['phase']}/{name}": float(value) for name, value in numbers.items()}
