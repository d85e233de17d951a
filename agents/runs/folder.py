"""The folder of a run: the names of its files, and reading and writing them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.runs.config import RunConfig
from agents.runs.lock import exclusive
from seqgan_env.files import atomic_write, is_partial, parse_json, read_bytes, refusal, remove_partial
from seqgan_env.vocabulary import Vocabulary

Record = dict[str, Any]
"""One evaluation: a line of ``metrics.jsonl``."""


class RunFolder:
    """A folder, and the files of a run in it; the folder need not exist.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples.txt"
        self.vocabulary = self.path / "vocabulary.json"
        self.report = self.path / "report.html"
        self.trackers = self.path / "trackers.json"
        self.checkpoint = self.path / "checkpoint.zip"
        self.pretrained = self.path / "pretrained.zip"
        self.agent = self.path / "agent.zip"
        self._lock = self.path / ".lock"

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return self.config.exists() or self.checkpoint.exists()

    def check_new(self) -> None:
        """Refuse a folder that a new run must not write to.

        Raises:
            ValueError: it holds a run, or is not an empty folder.
        """
        if self.path.exists() and (not self.path.is_dir() or any(map(self._is_content, self.path.iterdir()))):
            holds = "holds a run; resume it (--resume) or choose another folder"
            raise ValueError(f"{self.path} {holds if self.holds_run else 'is not an empty folder'}")

    def _is_content(self, path: Path) -> bool:
        """Whether a file is more than what a run that was killed at once leaves behind."""
        return path != self._lock and not is_partial(path)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from training here for as long as the context lasts; the folder is made.

        Raises:
            ValueError: another one does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        return exclusive(self._lock)

    @property
    def version(self) -> tuple[Any, ...]:
        """A mark of the run as it is on the disk, which changes when a process goes on with it."""
        found = (path.stat() if path.exists() else None for path in (self.config, self.checkpoint))
        return tuple(each and (each.st_ino, each.st_mtime_ns, each.st_size) for each in found)

    def check_run(self, file: Path) -> None:
        """Refuse a folder without one of the files of a run.

        Raises:
            ValueError: there is none.
        """
        if not file.exists():
            raise ValueError(f"there is no run in {self.path}")

    def check_beginning(self) -> None:
        """Refuse a run without a checkpoint that had one, since beginning anew would write over what is left of it.

        Raises:
            ValueError: it has been measured more than the once that comes before the first checkpoint.
        """
        if self.metrics.exists():
            with refusal(self.metrics, "list of evaluations"):
                n_records = read_bytes(self.metrics).count(b"\n")
            if n_records > 1:
                raise ValueError(f"{self.checkpoint} is missing, of a run that was measured {n_records} times")

    def begin(
        self,
        config: RunConfig,
        vocabulary: Vocabulary | None,
        records: Sequence[Record],
        state: dict[str, Any] | None = None,
    ) -> None:
        """Write what is known when a run begins, or goes on; settings that are the same are left alone.

        A run that was killed may have measured more than its checkpoint knows; it will measure the same again.

        Args:
            config: the settings.
            vocabulary: the map between text and ids, if there is one.
            records: the evaluations so far.
            state: of a run that begins where another one was, or goes on; None begins at the beginning.
        """
        remove_partial(self.path)
        if state is not None and (not self.checkpoint.exists() or self.load_state()[0] != config):
            self.save_state(state)  # first: from the settings alone the run would begin anew
        config.save(self.config)
        if vocabulary is not None:
            vocabulary.save(self.vocabulary)
        with atomic_write(self.metrics) as file:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())

    def load_config(self) -> RunConfig:
        """Read the settings: ``config.json``, or where a run was killed before it wrote them, those of its checkpoint.

        Raises:
            ValueError: they are missing or damaged.
        """
        if not self.config.exists() and self.checkpoint.exists():
            return self.load_state()[0]
        return RunConfig.load(self.config)

    def append(self, record: Record) -> None:
        """Add an evaluation."""
        with open(self.metrics, "a") as file:
            file.write(json.dumps(record) + "\n")

    def save_state(self, state: dict[str, Any], *, pretrained: bool = False) -> None:
        """Write a checkpoint, or the one at the end of maximum likelihood, that other runs can start from."""
        save_checkpoint(self.pretrained if pretrained else self.checkpoint, state)

    def load_state(self, *, pretrained: bool = False) -> tuple[RunConfig, dict[str, Any]]:
        """Read a checkpoint and the settings in it.

        Raises:
            ValueError: it is missing, damaged or not of a run.
        """
        path = self.pretrained if pretrained else self.checkpoint
        state = load_checkpoint(path)
        with refusal(path, "checkpoint of a run"):
            return RunConfig.from_dict(parse_json(state["config"])), state


def check_same(stored: Mapping[str, Any], given: Mapping[str, Any], what: str, free: Collection[str] = ()) -> None:
    """Refuse settings that are not the stored ones.

    Args:
        stored: nested settings.
        given: those asked for.
        what: the thing in the folder, for an error.
        free: the dotted names of settings that may be others.

    Raises:
        ValueError: they differ; the message names each difference.
    """
    theirs, ours = flat_settings(stored), flat_settings(given)
    differing = [
        f"{name} {ours.get(name)!r} instead of {theirs.get(name)!r}"
        for name in {**theirs, **ours}
        if ours.get(name) != theirs.get(name) and name not in free
    ]
    if differing:
        raise ValueError(f"{what} has other settings: {', '.join(differing)}")


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flat_settings(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
