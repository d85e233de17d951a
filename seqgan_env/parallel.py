"""Independent parts of a computation, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from seqgan_env.progress import progress

Part = TypeVar("Part")
Result = TypeVar("Result")

_MOST_WORKERS = 8  # what one Python interpreter can keep busy
_LEAST_WORK = 1 << 26  # tens of milliseconds: for some of them torch's own threads still wait for work in vain
_MOST_WORK = 1 << 30  # about a second: a part can't be interrupted


def parallel_map(
    function: Callable[[Part], Result], parts: Sequence[Part], device: torch.device, what: str = ""
) -> list[Result]:
    """``function`` of each part, in the parts' order.

    Torch shares each single operation out among its threads. They wait for each other after every one of them, and what
    one core has written another reads in the next operation, which is slow where they have no cache in common. Here a
    thread takes a whole part instead, and torch computes it with that thread alone (of more than eight, some help it).
    On a GPU, with one thread or with one part, the caller computes them one after the other.

    The parts must not depend on each other. Whether gradients are recorded is as with the caller.

    Args:
        function: may be called from several threads at once.
        parts: its arguments.
        device: where it computes.
        what: is done, for a bar that counts the parts where that takes long; empty shows none.
    """
    if not what or len(parts) < 2:
        return _map(function, parts, device)
    with progress(len(parts), what, "part") as bar:

        def counted(part: Part) -> Result:
            result = function(part)
            bar.update()
            return result

        return _map(counted, parts, device)


def _map(function: Callable[[Part], Result], parts: Sequence[Part], device: torch.device) -> list[Result]:
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(parts), _MOST_WORKERS)
    if n_workers < 2 or device.type != "cpu":
        return [function(part) for part in parts]
    records, is_inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()  # a thread has modes of its own

    def call(part: Part) -> Result:
        with torch.inference_mode(is_inference), torch.set_grad_enabled(records):
            return function(part)

    pool = ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(n_threads // n_workers,))
    try:
        return list(pool.map(call, parts))
    finally:
        pool.shutdown(cancel_futures=True)  # which waits for what has begun
        torch.set_num_threads(n_threads)  # for threads that begin later: they take the number that was set last


def row_parts(n_rows: int, work: float) -> list[slice]:
    """Rows cut into parts of nearly the same size that are worth ``parallel_map``.

    Args:
        n_rows: how many there are.
        work: what one of them costs, in elements of a tensor that some operations are applied to.
    """
    if not n_rows:
        return []
    n_threads = torch.get_num_threads()
    n_parts = max(1, min(n_threads, int(n_rows * work / _LEAST_WORK)))
    n_parts *= max(1, round(n_rows * work / (n_parts * _MOST_WORK)))  # as many for each thread
    size = -(-n_rows // n_parts)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
