"""The folder of a sweep: one file for each piece of work that is done, and the results of all runs in one.

A file is named by the hash of its work, and is written at once or not at all.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from numbers import Real
from pathlib import Path
from typing import Any

from agents.runs.lock import exclusive
from agents.sweeps.cells import Cell
from agents.sweeps.graph import Node
from seqgan_env.checks import check_choice, check_type, shown
from seqgan_env.files import atomic_write, is_partial, parse_json, read_bytes, refusal, remove_partial

Result = dict[str, Any]
"""One run: a line of ``results.jsonl``."""
DONE, FAILED = "done", "failed"
_NAME, _VERSION = "seqgan-env sweep", 1
_SUFFIXES = {"pretraining": ".zip", "discriminator": ".zip", "run": ".json"}
_ROOM = 16 << 20, 8 << 20, 1 << 16  # bytes that must be free: at all, for each checkpoint, for each run


class SweepFolder:
    """A folder, and the files of a sweep in it; the folder need not exist.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.mark = self.path / "sweep.json"
        self.results = self.path / "results.jsonl"
        self.report = self.path / "report"

    def check(self, nodes: Sequence[Node]) -> None:
        """Refuse a folder of something else, and a disk that is too full, before anything is done.

        Args:
            nodes: the work.

        Raises:
            ValueError: see above; or a file in it is damaged.
        """
        if self.mark.exists():
            self._planned()
        elif self.path.exists() and (not self.path.is_dir() or any(map(self._is_content, self.path.iterdir()))):
            raise ValueError(f"{self.path} is neither a sweep nor an empty folder")
        missing = [node for node in nodes if not self.is_done(node)]
        n_runs = sum(node.kind == "run" for node in missing)
        needed = _ROOM[0] + _ROOM[1] * (len(missing) - n_runs) + _ROOM[2] * n_runs
        there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if missing and (free := shutil.disk_usage(there).free) < needed:
            raise ValueError(f"{self.path} needs {needed >> 20} MB on the disk for what is left, and has {free >> 20}")

    def _is_content(self, path: Path) -> bool:
        return path.name != ".lock" and not is_partial(path)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from running the sweep for as long as the context lasts; the folder is made.

        Raises:
            ValueError: another one does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        return exclusive(self.path / ".lock")

    def begin(self, spec: Mapping[str, Any], nodes: Sequence[Node]) -> None:
        """Write what the sweep is, and remove what a killed one left half written.

        Args:
            spec: the tables of its file.
            nodes: the work; its runs are the results of the folder from now on, by their names in it.
        """
        for kind in _SUFFIXES:
            (self.path / kind).mkdir(exist_ok=True)
            remove_partial(self.path / kind)
        remove_partial(self.path)
        runs = {node.key: node.work.axes for node in nodes if isinstance(node.work, Cell)}
        mark = {"name": _NAME, "version": _VERSION, "spec": spec, "runs": runs}
        self._write(self.mark, json.dumps(mark, indent=2).encode())

    def is_done(self, node: Node) -> bool:
        """Whether a piece of work is done; a run that failed is not, and is tried again by the next command.

        Nor is a checkpoint that is cut off, which is made again.

        Raises:
            ValueError: the file of a run is damaged.
        """
        path = self._path(*node.id)
        if node.kind != "run":
            return zipfile.is_zipfile(path)
        return path.exists() and _read_result(path)["status"] == DONE

    def read(self, node_id: tuple[str, str]) -> bytes:
        """The output of a piece of work that is done, by its ``id``."""
        return read_bytes(self._path(*node_id))

    def write(self, node: Node, output: bytes) -> None:
        """Keep the output of a piece of work; only what failed or is damaged is ever written over.

        Raises:
            OSError: the disk is full, or the like; what was there before is still there.
        """
        self._write(self._path(*node.id), output)

    def result(self, key: str) -> Result | None:
        """A run by its key, whether it is done or has failed; None if it is neither.

        Raises:
            ValueError: its file is damaged.
        """
        path = self._path("run", key)
        return _read_result(path) if path.exists() else None

    def gather(self) -> list[Result]:
        """Write ``results.jsonl`` from the files of ``runs``.

        Returns:
            The results, in the order of their names on the axes and the seeds.
        """
        results = self.runs()
        self._write(self.results, "".join(json.dumps(result) + "\n" for result in results).encode())
        return results

    def runs(self) -> list[Result]:
        """The results so far of the runs of the last command, also while it goes on; others in the folder are left out.

        A run has its names of that command, whatever it was called when it was played.

        Raises:
            ValueError: the file of a run, or that of the sweep, is damaged.
        """
        planned = self._planned() if self.mark.exists() else None
        results = []
        for path in (self.path / "run").glob("*.json"):
            if planned is None:
                results.append(_read_result(path))
            elif path.stem in planned:
                results.append({**_read_result(path), "axes": planned[path.stem]})
        return sorted(results, key=lambda result: (*result["axes"].values(), result["seed"]))

    def _planned(self) -> Mapping[str, Mapping[str, str]] | None:
        """The names on the axes of each run of the last command by its key; None in a folder of an earlier version."""
        with refusal(self.mark, "sweep"):
            mark = parse_json(read_bytes(self.mark))
            check_choice("name", mark["name"], (_NAME,))
            check_choice("version", mark["version"], (_VERSION,))
            kind = Mapping[str, Mapping[str, str]] | None
            runs: Mapping[str, Mapping[str, str]] | None = check_type("runs", mark.get("runs"), kind)
            return runs

    def _path(self, kind: str, key: str) -> Path:
        return self.path / kind / f"{key}{_SUFFIXES[kind]}"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        with atomic_write(path) as file:
            file.write(content)


def read_results(path: str | Path) -> list[Result]:
    """The runs in a file of results; one that stands in it twice counts once, as it stands there last.

    Args:
        path: of the file, or the folder of a sweep.

    Raises:
        ValueError: it is missing, damaged, or holds none.
    """
    path = Path(path)
    with refusal(path, "file of results"):
        results = SweepFolder(path).runs() if path.is_dir() else _lines(read_bytes(path))
        if not results:
            raise ValueError("it holds no run")
        return results


def _lines(content: bytes) -> list[Result]:
    results = [_checked(parse_json(line)) for line in content.splitlines()]
    return list({result.get("key", number): result for number, result in enumerate(results)}.values())


def _read_result(path: Path) -> Result:
    with refusal(path, "result of a run"):
        return _checked(parse_json(read_bytes(path)))


def _checked(result: Any) -> Result:
    """Refuse what is not the result of a run."""
    if not isinstance(result, dict) or not isinstance(result.get("axes"), dict) or "seed" not in result:
        raise ValueError(f"a run must have its axes and its seed, got {shown(result)}")
    check_type("axes", {"task": None, **result["axes"]}, Mapping[str, str])
    check_type("seed", result["seed"], int)
    check_type("key", result.get("key", ""), str)
    check_choice("the status of a run", result.get("status"), (DONE, FAILED))
    if result["status"] == FAILED:
        check_type("error", result.get("error"), str)
        return result
    check_type("start", result.get("start"), Mapping[str, Real])
    check_type("peak_memory_mb", result.get("peak_memory_mb"), Real | None)
    environment = check_type("environment", result.get("environment", {}), Mapping[str, Any])
    for name in ("commit", "processor", "gpu"):
        check_type(name, environment.get(name), str | None)
    if not (records := check_type("records", result.get("records"), Sequence[Mapping[str, Real]])):
        raise ValueError("a run that is done must have records")
    for record in (result, *records):
        for name in ("steps", "scored", "wall_time_s"):
            check_type(name, record.get(name), Real)
    return result
