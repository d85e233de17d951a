"""Processes that work side by side."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from seqgan_env.checks import PositiveInt, check_arguments

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_imported: list[str] = []
"""The modules of the user's own that this process has imported, in order."""


def import_for_workers(modules: Iterable[str]) -> None:
    """Import modules, as those that register a reward, here and in each worker that starts later.

    Args:
        modules: their names.

    Raises:
        ImportError: one is not there.
    """
    for module in modules:
        if module.startswith("."):
            raise ImportError(f"the name {module!r} is relative to nothing")
        importlib.import_module(module)
        if module not in _imported:
            _imported.append(module)


@check_arguments
def side_by_side(
    work: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    n_workers: PositiveInt,
    on_result: Callable[[Key], None] = lambda key: None,
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
    before = set(active_children())
    with ProcessPoolExecutor(
        max(1, min(n_workers, len(jobs))), get_context("spawn"), _begin, (list(_imported),)
    ) as pool:
        # workers inherit the mask: Ctrl-C, which a terminal sends to all, is for this process alone
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            futures = {pool.submit(work, *job): key for key, job in jobs.items()}
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                on_result(futures[future])
        except BaseException:
            for process in set(active_children()) - before:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise
    return {key: results[key] for key in jobs}


def _begin(modules: list[str]) -> None:
    """Begin a worker: it ends with its parent, and knows what that has imported."""
    _end_with_parent()
    import_for_workers(modules)


def _end_with_parent() -> None:
    """Let this process die when the one that started it does, also of a kill."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
