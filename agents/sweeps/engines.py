"""The engines that do the work of a sweep: processes of this machine, or a Ray cluster.

An engine takes a piece of work with the bytes that it begins with, and gives back bytes or an error. It knows nothing
of folders and of what depends on what, so that another one is a class of this size.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

from agents.runs.workers import DeadWorkerError, Outcome, Workers, import_for_workers, imported
from agents.sweeps.graph import Node
from agents.sweeps.work import do
from seqgan_env.checks import check_choice


class Engine(Protocol):
    """Does several pieces of work at once, each with one thread."""

    n_slots: int
    """The pieces that it does at once."""

    def __enter__(self) -> Engine:
        """Begin."""

    def __exit__(self, *exception: object) -> None:
        """End whatever is still being done."""

    def submit(self, node: Node, *inputs: bytes) -> None:
        """Begin a piece of work, of at most ``n_slots`` at once."""

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The pieces that have ended, by their ``id``; none after a time. A dead process is a ``DeadWorkerError``."""


class LocalEngine:
    """Processes of this machine; they end with the one that started them.

    Args:
        n_slots: processes.
    """

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self._workers: Workers[Any] = Workers(n_slots)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__()

    def submit(self, node: Node, *inputs: bytes) -> None:
        """See ``Engine``."""
        self._workers.submit(node.id, do, node, *inputs)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """See ``Engine``."""
        return self._workers.wait(timeout_s)


class RayEngine:
    """A Ray cluster, each piece of work a task of one processor; files that a task names must be there on every node.

    Args:
        address: of a cluster, as ``"auto"``; None starts one on this machine.

    Raises:
        ValueError: Ray is not installed.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ValueError("the engine ray needs Ray, which is not installed: pip install 'ray>=2'") from error
        self._ray = ray
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, configure_logging=False)
        self.n_slots = int(ray.cluster_resources().get("CPU", 1))
        self._work: Any = ray.remote(num_cpus=1, max_retries=0)(_do_elsewhere)
        self._ids: dict[Any, Any] = {}

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        for reference in self._ids:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def submit(self, node: Node, *inputs: bytes) -> None:
        """See ``Engine``."""
        self._ids[self._work.remote(imported(), node, *inputs)] = node.id

    def wait(self, timeout_s: float) -> list[Outcome]:
        """See ``Engine``."""
        ended = []
        for reference in self._ray.wait(list(self._ids), timeout=timeout_s)[0]:
            key = self._ids.pop(reference)
            try:
                ended.append(Outcome(key, self._ray.get(reference), None))
            except self._ray.exceptions.RayTaskError as error:
                ended.append(Outcome(key, None, error.cause))
            except self._ray.exceptions.RayError as error:
                ended.append(Outcome(key, None, DeadWorkerError(str(error).splitlines()[0])))
        return ended


def _do_elsewhere(modules: tuple[str, ...], node: Node, *inputs: bytes) -> bytes:
    """Do a piece of work in a process that knows the modules of the user's own."""
    import_for_workers(modules)
    return do(node, *inputs)


ENGINES: dict[str, Callable[[int, str | None], Engine]] = {
    "local": lambda n_workers, address: LocalEngine(n_workers),
    "ray": lambda n_workers, address: RayEngine(address),
}
"""The engines by name."""


def build_engine(name: str, n_workers: int, address: str | None = None) -> Engine:
    """An engine.

    Args:
        name: a key of ``ENGINES``.
        n_workers: processes of ``local``.
        address: of the cluster of ``ray``.

    Raises:
        ValueError: an unknown name, an address for ``local``, or Ray is not installed.
    """
    check_choice("engine", name, ENGINES)
    if address is not None and name == "local":
        raise ValueError(f"an address is for the engine ray, got {address!r} with local")
    return ENGINES[name](n_workers, address)
