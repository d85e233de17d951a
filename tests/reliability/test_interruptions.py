"""Runs that are killed, that two processes write, or whose disk is full: nothing that was finished is lost.

``SEQGAN_KILLS`` says at how many random points a run is killed; the default is fifty.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.checkpoint import load_checkpoint
from agents.runs.experiment import Experiment
from agents.runs.folder import RunFolder
from agents.seqgan import SeqGAN
from seqgan_env.files import is_partial
from tests.support.hostile import same
from tests.support.runs import SHORT, stored

N_KILLS = int(os.environ.get("SEQGAN_KILLS", "50"))
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir"}
"""The operations on files that Python tells its audit hooks; what replaces a file is a rename."""
N_OPERATIONS = 100
"""About so many of them has a run of ``SHORT``."""
KILLS_OF_A_RUN = 10

pytestmark = pytest.mark.usefixtures("quick_runs")

FORK = multiprocessing.get_context("fork")  # a fresh interpreter would take seconds to import torch


def go_on(folder: Path) -> None:
    """What a person does after an interruption: resume, or begin where nothing had begun."""
    Experiment(SHORT, folder, resume=RunFolder(folder).holds_run, progress=False).run()


def started(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process of its own, whose status is 3 after a refusal and 4 after an error of the operating system."""

    def guarded() -> None:
        torch.set_num_threads(1)
        try:
            function(*arguments)
        except ValueError:
            os._exit(3)
        except OSError:
            os._exit(4)
        os._exit(0)

    sys.stdout.flush()
    process = FORK.Process(target=guarded)
    process.start()
    return process


def finished(process: BaseProcess) -> int | None:
    """The status of a process that ends by itself."""
    process.join(120)
    assert not process.is_alive()
    return process.exitcode


def assert_equal_to(folder: Path, whole: Path) -> None:
    """A run that was interrupted has the files of one that was not."""
    assert stored(folder) == stored(whole)
    for name in ("agent.zip", "pretrained.zip"):
        assert same(load_checkpoint(folder / name)["agent"], load_checkpoint(whole / name)["agent"])
    for name in ("config.json", "samples.txt"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert not any(map(is_partial, folder.iterdir()))


def _go_on_until_killed(folder: Path, n_operations: int) -> None:
    """Go on with a run, and kill this process just before so many operations on files of its folder have been begun."""
    left = n_operations

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)  # which ends with this process
    go_on(folder)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_at_any_time_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path) -> None:
    """Each run is killed again and again, by turns before some operation on a file and after some time."""
    began = time.monotonic()
    assert finished(started(go_on, tmp_path / "timed")) == 0
    duration = time.monotonic() - began
    rng = random.Random()
    print("seed", seed := rng.randrange(2**32))
    rng.seed(seed)
    n_kills = n_runs = 0
    while n_kills < N_KILLS:
        folder, status, n_runs = tmp_path / str(n_runs), -1, n_runs + 1
        for _ in range(KILLS_OF_A_RUN):
            if rng.random() < 0.7:
                status = finished(started(_go_on_until_killed, folder, rng.randint(1, N_OPERATIONS // 2)))
            else:
                process = started(go_on, folder)
                process.join(rng.uniform(0, duration / 2))
                process.kill()  # with SIGKILL, unless it has ended
                status = finished(process)
            assert status in (0, -signal.SIGKILL)
            if status == 0:
                break
            n_kills += 1
        if status:
            assert finished(started(go_on, folder)) == 0
        assert_equal_to(folder, whole)
    print(f"{n_kills} kills in {n_runs} runs")


def test_of_two_processes_that_resume_a_run_one_does(whole: Path, tmp_path: Path) -> None:
    began = started(go_on, tmp_path / "run")
    while not (tmp_path / "run" / "checkpoint.zip").exists():
        assert began.is_alive()
        time.sleep(0.005)
    second = started(go_on, tmp_path / "run")
    assert finished(second) == 3
    assert finished(began) == 0
    assert_equal_to(tmp_path / "run", whole)


def _on_a_full_disk(folder: Path, n_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    go_on(folder)


@pytest.mark.parametrize("n_bytes", [0, 2_500, 5_000])
def test_a_full_disk_loses_nothing_that_was_finished(whole: Path, tmp_path: Path, n_bytes: int) -> None:
    """No file can grow beyond so many bytes, in the middle of a run and when a finished one is taken up again."""

    class Interrupted(Experiment):
        def keep(self) -> None:
            super().keep()
            if len(self.records) == 2:
                raise KeyboardInterrupt

    begun = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt):
        Interrupted(SHORT, begun, progress=False).run()
    for folder in (begun, shutil.copytree(whole, tmp_path / "whole")):
        before = {name: (folder / name).read_bytes() for name in ("config.json", "checkpoint.zip")}
        assert finished(started(_on_a_full_disk, folder, n_bytes)) == 4
        assert {name: (folder / name).read_bytes() for name in before} == before
        assert SeqGAN.load(folder / "agent.zip", device="cpu").n_updates >= 0  # the old one, or a newer one
        assert not [path for path in folder.iterdir() if is_partial(path)]
        go_on(folder)
        assert_equal_to(folder, whole)


def test_a_full_disk_at_the_beginning_leaves_a_folder_to_begin_in(whole: Path, tmp_path: Path) -> None:
    assert finished(started(_on_a_full_disk, tmp_path / "run", 0)) == 4
    go_on(tmp_path / "run")
    assert_equal_to(tmp_path / "run", whole)
