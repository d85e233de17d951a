"""Processes side by side: the same results as in one, and none of them outlives its parent or an error."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import pytest

from agents.runs.workers import DeadWorkerError, Workers, import_for_workers, portable, side_by_side
from tests.support.waiting import wait_for

SLEEPERS = """
from agents.runs.workers import side_by_side
from tests.agents.runs.test_workers import note_and_sleep
if __name__ == "__main__":
    side_by_side(note_and_sleep, {name: (FOLDER, name) for name in "abcd"}, 2)
"""


def divide(a: int, b: int) -> float:
    return a / b


def note_and_sleep(folder: str, name: str) -> None:
    """Leave the id of this process in a file, then work for longer than a test."""
    (Path(folder) / f"{name}.partial").write_text(str(os.getpid()))
    (Path(folder) / f"{name}.partial").rename(Path(folder) / name)
    time.sleep(300)


def end_once(folder: str) -> int:
    """The id of this process, which kills itself the first time."""
    mark = Path(folder) / "killed"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


class OddError(Exception):
    """It is pickled, but not read back."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("there are no words for it")


def raise_an_error_of_here(name: str) -> None:
    class LocalError(Exception): ...

    raise {
        "odd": lambda: OddError("all", "sea"),
        "mute": MuteError,
        "local": lambda: LocalError("here"),
        "exit": SystemExit,
    }[name]()


def give_a_lambda() -> Callable[[], int]:
    return lambda: 1


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("n_workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(n_workers: int) -> None:
    done: list[str] = []
    jobs = {"half": (1, 2), "third": (1, 3), "one": (1, 1)}
    results = side_by_side(divide, jobs, n_workers, done.append)
    assert list(results.items()) == [("half", 1 / 2), ("third", 1 / 3), ("one", 1.0)]
    assert sorted(done) == sorted(jobs)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_error_in_one_ends_all(n_workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(divide, {"good": (1, 2), "bad": (1, 0)}, n_workers)
    assert active_children() == []


def test_a_process_that_dies_takes_its_own_job_alone(tmp_path: Path) -> None:
    with Workers[str](1) as workers:
        workers.submit("dies", end_once, str(tmp_path))
        assert workers.n_free == 0
        (outcome,) = workers.wait()
        assert (outcome.key, outcome.result, str(outcome.error)) == (
            "dies",
            None,
            "its process ended with the exit code -9",
        )
        assert isinstance(outcome.error, DeadWorkerError)
        workers.submit("lives", end_once, str(tmp_path))
        (outcome,) = workers.wait()
        assert (outcome.key, outcome.error) == ("lives", None)
        assert is_alive(outcome.result)
        workers.submit("does not travel", give_a_lambda)
        (outcome,) = workers.wait()
        assert "local object" in str(outcome.error)
        workers.submit("fails", divide, 1, 0)
        (outcome,) = workers.wait()
        assert isinstance(outcome.error, ZeroDivisionError)
        assert "return a / b" in str(outcome.error.__cause__)
        assert workers.wait(0.01) == []
        assert len(active_children()) == 1
    assert active_children() == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("odd", "OddError: all at sea"),
        ("mute", "MuteError: <exception str() failed>"),
        ("local", "LocalError: here"),
        ("exit", "SystemExit"),
    ],
)
def test_an_error_is_said_whatever_its_class(name: str, says: str) -> None:
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        raise_an_error_of_here(name)
    error = portable(raised.value)
    assert str(pickle.loads(pickle.dumps(error))).endswith(says)
    assert portable(error) is error


def test_a_process_outlives_every_error() -> None:
    names = ["odd", "mute", "local", "exit"]
    with Workers[str](1) as workers:
        pids = []
        for name in names:
            workers.submit(name, raise_an_error_of_here, name)
            (outcome,) = workers.wait()
            assert type(outcome.error) is RuntimeError
            assert "raise_an_error_of_here" in str(outcome.error.__cause__)
            pids.append([process.pid for process in active_children()])
        assert pids == [pids[0]] * len(names)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process is a new interpreter")
def test_a_process_begins_with_what_torch_loads_late() -> None:
    """An optimiser of torch loads it for seconds, in each process anew."""
    with Workers[str](1) as workers:
        workers.submit("dynamo", eval, "'torch._dynamo' in __import__('sys').modules")
        assert [outcome.result for outcome in workers.wait()] == [True]


@pytest.mark.parametrize("content", ["1 / 0", "raise SystemExit(3)", "import no_such_module", "x ="])
def test_a_module_that_cannot_be_imported_is_an_import_error(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_for_workers.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"broken_for_workers|no_such_module"):
        import_for_workers(["broken_for_workers"])


def names_of_a_worker() -> list[str]:
    return [name for name in sys.modules if name.startswith("imported_for")]


def test_what_a_module_of_the_user_registers_is_known_to_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_for_workers.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("agents.runs.workers._imported", [])
    import_for_workers(["imported_for_workers"])
    assert side_by_side(names_of_a_worker, {"a": (), "b": ()}, 2) == {name: ["imported_for_workers"] for name in "ab"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc to see which processes are alive")
@pytest.mark.parametrize(
    ("kill", "sent"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGKILL)], ids=["Ctrl-C", "killed parent"]
)
def test_no_worker_outlives_its_parent(tmp_path: Path, kill: Callable[[int, int], None], sent: signal.Signals) -> None:
    """A terminal sends Ctrl-C to the whole group; a kill reaches the parent alone."""
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS.replace("FOLDER", repr(str(tmp_path))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    with open(tmp_path / "stderr", "w") as stderr:
        parent = subprocess.Popen([sys.executable, str(script)], stderr=stderr, env=environment, start_new_session=True)
    try:
        wait_for(lambda: parent.poll() is not None or ((tmp_path / "a").exists() and (tmp_path / "b").exists()))
        workers = [int((tmp_path / name).read_text()) for name in "ab"]
        assert all(map(is_alive, workers))
        kill(parent.pid, sent)
        parent.wait(60)
        wait_for(lambda: not any(map(is_alive, workers)))
    finally:
        parent.kill()
        parent.wait()
    assert not (tmp_path / "c").exists()
    # that of the script alone: the workers are silent
    assert (tmp_path / "stderr").read_text().count("Traceback") == (sent is signal.SIGINT)


@pytest.mark.parametrize("n_slots", [0, -1, True])
def test_no_worker_at_all_would_never_end(n_slots: int) -> None:
    with pytest.raises(ValueError, match="workers must be a whole number of at least 1"):
        Workers(n_slots)
