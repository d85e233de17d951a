"""The runs of a sweep, told to trackers as each of them ends."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from agents.runs.trackers import Trackers
from agents.sweeps.folder import DONE, Result

PHASE = "run"
"""The phase of its evaluations, as in ``run/kl_sum``."""


class SweepTrackers:
    """Tells each run of a sweep to each tracker once, however often the sweep goes on.

    Args:
        folder: of the sweep, whose name is the group of its runs.
        names: keys of ``agents.runs.trackers.TRACKERS``.

    Raises:
        ValueError: a name is unknown or comes twice, or its package is not installed.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names
        self._trackers("any")  # refused now, if at all

    def tell(self, result: Result) -> None:
        """Tell a run, if it is done and a tracker does not know it; a tracker that fails is a warning."""
        trackers = self._trackers(result["key"])
        if result["status"] != DONE or trackers.knows_all:
            return
        name = " ".join([*filter(None, result["axes"].values()), str(result["seed"])])
        settings = {each: result[each] for each in ("axes", "seed", "settings", "budget", "config")}
        records = [{"phase": PHASE, **record} for record in result["records"]]
        try:
            trackers.begin(name, settings, records, group=self._folder.absolute().name)
        except ValueError as error:
            warnings.warn(f"a run is not told, and will be when the sweep goes on: {error}", stacklevel=2)
            return
        trackers.close()
        trackers.keep()

    def _trackers(self, key: str) -> Trackers:
        return Trackers(self._folder / "trackers" / key / "trackers.json", self._names)
