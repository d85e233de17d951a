"""The runs of a sweep, told to trackers while they play, each by the process that plays it.

A step is a token that was chosen, as the budget counts them. A tracker that is new to a sweep hears the evaluations of
the runs that are done.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agents.runs.folder import Record
from agents.runs.trackers import Trackers


class Tracking(NamedTuple):
    """The trackers of a run, as the process that plays it is told of them."""

    path: Path
    """The file of ``Trackers``, in the folder of the sweep."""
    names: tuple[str, ...]
    """Those that hear of it."""
    run_id: str
    """The name of the run there, the same when it is played again after a kill."""

    @contextlib.contextmanager
    def told(self, header: Mapping[str, Any]) -> Iterator[Trackers]:
        """The trackers of a run, as an output of a logger for as long as it plays; none of them can fail it.

        Args:
            header: of its result.
        """
        trackers, finished = Trackers(self.path, self.names, self.run_id), False
        try:
            with contextlib.suppress(ValueError):  # the sweep says so when it tells the run that has ended
                _begin(trackers, self.path, header, {})
            yield trackers
            finished = True
        finally:
            trackers.close(finished=finished)
            with contextlib.suppress(OSError):
                trackers.keep()


class SweepTrackers:
    """Tells each run of a sweep to each tracker once, however often the sweep goes on.

    Args:
        folder: of the sweep, whose name is the group of its runs.
        names: keys of ``agents.runs.trackers.TRACKERS``.

    Raises:
        ValueError: a name is unknown or comes twice, or its package is not installed.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder.absolute(), tuple(names)
        self._trackers("any")  # refused now, if at all

    def of(self, key: str) -> Tracking | None:
        """The trackers of a run that is about to be played; None if there are none.

        Args:
            key: of the run.
        """
        if not self._names:
            return None
        trackers = self._trackers(key)
        trackers.keep()  # now: the process that plays may see another disk
        return Tracking(self._path(key), self._names, trackers.run_id)

    def tell(self, result: Mapping[str, Any]) -> None:
        """Tell a run that is done to the trackers that do not know it; one that fails is a warning."""
        key = result["key"]
        trackers = self._trackers(key)
        if trackers.knows_all:
            return
        try:
            _begin(trackers, self._path(key), result, {record["steps"]: record for record in result["records"]})
        except ValueError as error:
            warnings.warn(f"a run is not told, and will be when the sweep goes on: {error}", stacklevel=2)
            return
        trackers.close()
        trackers.keep()

    def _path(self, key: str) -> Path:
        return self._folder / "trackers" / key / "trackers.json"

    def _trackers(self, key: str) -> Trackers:
        return Trackers(self._path(key), self._names)


def named(record: Record) -> Record:
    """An evaluation with the name of its phase, so that it is told as ``run/kl_sum``."""
    return {"phase": "run", **record}


def _begin(trackers: Trackers, path: Path, header: Mapping[str, Any], records: Mapping[int, Record]) -> None:
    name = " ".join([*filter(None, header["axes"].values()), str(header["seed"])])
    settings = {each: header[each] for each in ("axes", "seed", "settings", "budget", "config")}
    told = {step: named(record) for step, record in records.items()}
    trackers.begin(name, settings, told, group=path.parents[2].name)
