"""The interface of a tracker, and the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from seqgan_env.registry import Registry


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
    """The last step that is valid, -1 if none is: a run that was killed after a later one tells it again."""


class Tracker(Protocol):
    """A place where a run's evaluations are told."""

    def write(self, values: dict[str, float], step: int) -> None:
        """Tell an evaluation: numbers by name, as ``adversarial/kl_sum``."""

    def close(self, *, finished: bool) -> None:
        """End; a run that is not ``finished`` may go on later."""


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
