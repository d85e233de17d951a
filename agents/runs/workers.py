"""Processes that work side by side."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from multiprocessing import connection, forkserver, get_context, parent_process, resource_tracker
from threading import RLock, Thread
from typing import Any, Generic, NamedTuple, TypeVar

from tqdm import tqdm

from seqgan_env.checks import PositiveInt, check_arguments, check_type

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
# A process that only imports, and is forked again and again, starts each worker in an instant; a fresh interpreter
# would import torch for seconds. Elsewhere system libraries do not survive a fork.
_CONTEXT: Any = get_context("forkserver" if sys.platform == "linux" else "spawn")
PRELOAD = ["agents.runs.experiment", "agents.sb3", "torch._dynamo"]
"""The modules that it imports; torch would import the last, for seconds, with the first optimiser of each process."""

_imported: list[str] = []


def imported() -> tuple[str, ...]:
    """The modules of the user's own that this process has imported, in order."""
    return tuple(_imported)


def import_for_workers(modules: Iterable[str]) -> None:
    """Import modules, as those that register a reward, here and in each worker that starts later.

    Args:
        modules: their names.

    Raises:
        ImportError: one is not there, or raises.
    """
    for module in modules:
        if module.startswith("."):
            raise ImportError(f"the name {module!r} is relative to nothing")
        try:
            importlib.import_module(module)
        except ImportError:
            raise
        except (Exception, SystemExit) as error:
            raise ImportError(f"{module!r} cannot be imported: {portable(error)!r}") from error
        if module not in _imported:
            _imported.append(module)


def portable(error: BaseException) -> Exception:
    """An error that can be sent to another process and printed: itself, or one that says the same.

    Args:
        error: an exception of whichever class, as that of a user's own that only pretends to be picklable; the end of
            a program, ``SystemExit``, is the error of having called it.
    """
    try:
        if isinstance(pickle.loads(pickle.dumps(error)), Exception):
            str(error)
            return error  # type: ignore[return-value]
    except Exception:  # of the class's own code
        pass
    return RuntimeError("".join(traceback.format_exception_only(error)).strip())


class DeadWorkerError(RuntimeError):
    """A process ended before its job did, as by a kill or for lack of memory."""


class Outcome(NamedTuple):
    """The end of a job."""

    key: Any
    """Its name."""
    result: Any
    """The value that it returned; None after an error."""
    error: Exception | None
    """The exception that it raised, or ``DeadWorkerError``."""


class Workers(Generic[Key]):
    """Processes that do one job after another; leaving the context ends them, whatever they are doing.

    Args:
        n_slots: jobs that can be done at once; a process is started when it is first needed.

    Raises:
        ValueError: none can be done, so that waiting for one would have no end.
    """

    def __init__(self, n_slots: int) -> None:
        self.n_slots: int = check_type("workers", n_slots, PositiveInt)
        self._idle: list[_Process] = []
        self._busy: dict[Any, tuple[Key, _Process]] = {}

    def __enter__(self) -> Workers[Key]:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._idle:
            process.end(wait_s=5)
        for _, process in self._busy.values():
            process.end()
        self._idle, self._busy = [], {}

    @property
    def n_free(self) -> int:
        """The number of jobs that can be begun."""
        return self.n_slots - len(self._busy)

    def submit(self, key: Key, work: Callable[..., Any], *arguments: Any) -> None:
        """Begin a job.

        Args:
            key: its name.
            work: a function of a module.
            arguments: of the function.
        """
        process = self._idle.pop() if self._idle else _Process()
        self._busy[process.pipe] = (key, process)
        process.begin(work, arguments)

    def wait(self, timeout_s: float | None = None) -> list[Outcome]:
        """The jobs that have ended since, at least one of those that have begun, or none after a time."""
        ended = []
        for pipe in connection.wait(list(self._busy), timeout_s):
            key, process = self._busy[pipe]
            try:
                result, error = process.answer()
                self._idle.append(process)
            except (EOFError, OSError):
                process.end()
                result, error = None, DeadWorkerError(f"its process ended with the exit code {process.exit_code}")
            del self._busy[pipe]
            ended.append(Outcome(key, result, error))
        return ended


class _Process:
    """A process, and the pipe to it."""

    def __init__(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, list(_imported)))
        forkserver.set_forkserver_preload(PRELOAD)
        # it inherits the mask: Ctrl-C, which a terminal sends to all, is for this process alone
        resource_tracker.ensure_running()  # which would lift the mask if the first process started it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        theirs.close()

    def begin(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Send a job; a process that has ended is noticed when its answer is read."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send((work, arguments))

    def answer(self) -> tuple[Any, Exception | None]:
        """The result of the job, or its error."""
        result, error, trace = self.pipe.recv()
        if error is not None:
            error.__cause__ = RuntimeError(f"in another process:\n{trace}")
        return result, error

    @property
    def exit_code(self) -> int | None:
        """The exit code; negative is a signal."""
        code: int | None = self._process.exitcode
        return code

    def end(self, wait_s: float = 0) -> None:
        """End the process; an idle one ends by itself, as its pipe is closed, in less than ``wait_s``."""
        self.pipe.close()
        self._process.join(wait_s)
        self._process.terminate()
        self._process.join()


@check_arguments
def side_by_side(
    work: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    n_workers: PositiveInt,
    on_result: Callable[[Key], object] = lambda key: None,
) -> dict[Key, Result]:
    """Do jobs in processes of their own; an interrupt or an error ends them all at once.

    Args:
        work: a function of a module; with one worker it runs in this process.
        jobs: the arguments of each by name.
        n_workers: processes, at most.
        on_result: called in this process after each job, with its name.

    Returns:
        The result of each, in the order of ``jobs``.
    """
    results: dict[Key, Result] = {}
    if n_workers == 1:
        for key, job in jobs.items():
            results[key] = work(*job)
            on_result(key)
        return results
    waiting = deque(jobs)
    with Workers[Key](n_workers) as workers:
        while len(results) < len(jobs):
            while waiting and workers.n_free:
                key = waiting.popleft()
                workers.submit(key, work, *jobs[key])
            for outcome in workers.wait():
                if outcome.error is not None:
                    raise outcome.error
                results[outcome.key] = outcome.result
                on_result(outcome.key)
    return {key: results[key] for key in jobs}


def _serve(pipe: connection.Connection, modules: list[str]) -> None:
    """Do the jobs that come, in a process that ends with its parent and knows the modules that it has imported."""
    _end_with_parent()
    tqdm.set_lock(RLock())  # its own is a semaphore, which is left behind where the process is ended
    import_for_workers(modules)
    while True:
        answer: tuple[Any, Exception | None, str]
        try:
            work, arguments = pipe.recv()
            answer = work(*arguments), None, ""
        except EOFError:
            return
        except (Exception, SystemExit) as error:
            answer = None, portable(error), traceback.format_exc()
        try:
            pipe.send(answer)
        except (AttributeError, TypeError, pickle.PicklingError) as error:  # a result that can't travel
            pipe.send((None, portable(error), ""))


def _end_with_parent() -> None:
    """Let this process die when the one that started it does, also of a kill."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
