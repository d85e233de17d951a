"""The lock on a run's folder: one holder, who is named, and never a stale one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.runs import lock
from agents.runs.experiment import Experiment
from agents.runs.lock import exclusive
from tests.support.runs import SHORT, TINY, stored

pytestmark = pytest.mark.usefixtures("without_pictures")

FORK = multiprocessing.get_context("fork")  # a fresh interpreter would take seconds to import torch


class Holder:
    """Another process that holds the lock of ``run`` until it is told to end."""

    def __init__(self, folder: Path) -> None:
        self._lock, self._holds, self._ends = folder / "run" / ".lock", FORK.Event(), FORK.Event()
        self._lock.parent.mkdir()
        self.process = FORK.Process(target=self._hold)
        self.process.start()
        assert self._holds.wait(60)

    def _hold(self) -> None:
        with exclusive(self._lock):
            self._holds.set()
            self._ends.wait()

    def end(self, by: signal.Signals | None = None) -> None:
        """End, by a signal or by itself."""
        if by is None:
            self._ends.set()
        else:
            assert self.process.pid is not None
            os.kill(self.process.pid, by)
        self.process.join(60)
        assert self.process.exitcode == (0 if by is None else -by)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    holder = Holder(tmp_path)
    yield holder
    holder.process.kill()
    holder.process.join()


def test_a_second_process_is_refused_and_told_who_holds_it(holder: Holder, tmp_path: Path) -> None:
    says = (
        rf"^{tmp_path}/run is in use by process {holder.process.pid} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\S+$"
    )
    for _ in range(2):  # the refused one has changed nothing
        with pytest.raises(ValueError, match=says), exclusive(tmp_path / "run" / ".lock"):
            pytest.fail("both have it")
    with pytest.raises(ValueError, match=says):
        Experiment(TINY, tmp_path / "run", progress=False).run()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_is_free_however_its_holder_ends(end: signal.Signals | None, holder: Holder, tmp_path: Path) -> None:
    holder.end(end)
    with exclusive(tmp_path / "run" / ".lock"):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / ".lock").read_text()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_refused_and_its_target_left_alone(is_there: bool, tmp_path: Path) -> None:
    target = tmp_path / "thesis.tex"
    if is_there:
        target.write_text("precious")
    (tmp_path / ".lock").symlink_to(target)
    with pytest.raises(ValueError, match=r"/\.lock is not a readable lock: "), exclusive(tmp_path / ".lock"):
        pytest.fail("followed")
    assert (target.read_text() if target.exists() else None) == ("precious" if is_there else None)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_else_than_a_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / ".lock")
    with pytest.raises(ValueError, match=r"^\S+/\.lock is not a readable lock: "), exclusive(tmp_path / ".lock"):
        pytest.fail("taken")


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), exclusive(tmp_path / ".lock"):
            raise KeyError


def test_one_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".lock"),
        pytest.raises(ValueError, match=f"is in use by process {os.getpid()} on"),
        exclusive(tmp_path / ".lock"),
    ):
        pytest.fail("both have it")


def test_where_there_are_no_locks_one_goes_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with exclusive(tmp_path / ".lock"):
        pass
    monkeypatch.setattr(lock, "fcntl", None)
    with exclusive(tmp_path / ".lock"):
        pass


def test_a_run_that_was_read_before_another_process_went_on_with_it_is_refused(tmp_path: Path) -> None:
    first, second = (Experiment(SHORT, tmp_path / "run", progress=False) for _ in range(2))
    first.run()
    before = stored(tmp_path / "run")
    with pytest.raises(ValueError, match="run has changed since the run was read; resume it again"):
        second.run()
    assert stored(tmp_path / "run") == before
    Experiment(SHORT, tmp_path / "run", resume=True, progress=False).run()
    assert stored(tmp_path / "run") == before


def test_a_killed_start_leaves_a_folder_in_which_a_run_can_begin(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.1.ab.partial").touch()
    Experiment(SHORT, tmp_path, progress=False).run()
    assert not list(tmp_path.glob(".*.partial"))
