"""The engines that do the work of a sweep: processes of this machine, or a Ray cluster.

An engine takes a piece of work with the bytes that it begins with, and gives back bytes or an error. It knows nothing
of folders and of what depends on what, so that another one is a class of this size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from agents.runs.workers import Outcome, Workers
from agents.sweeps.graph import Node
from agents.sweeps.ray_engine import RayEngine
from agents.sweeps.spec import Resources
from agents.sweeps.work import do
from seqgan_env.checks import check_choice


class Engine(Protocol):
    """Does several pieces of work at once."""

    n_slots: int
    """The pieces that it does at once, as soon as it has begun; the number may change."""

    def __enter__(self) -> Engine:
        """Begin; a ``ValueError`` if that is not possible."""

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


ENGINES: dict[str, Callable[[int, str | None, Resources], Engine]] = {
    "local": lambda n_workers, address, resources: LocalEngine(n_workers),
    "ray": lambda n_workers, address, resources: RayEngine(address, resources),
}
"""The engines by name."""


def build_engine(name: str, n_workers: int, address: str | None, resources: Resources) -> Engine:
    """An engine.

    Args:
        name: a key of ``ENGINES``.
        n_workers: processes of ``local``.
        address: of the cluster of ``ray``.
        resources: of each piece of work of ``ray``.

    Raises:
        ValueError: an unknown name, an address for ``local``, one at which no cluster is, or Ray is not installed.
    """
    check_choice("engine", name, ENGINES)
    if address is not None and name == "local":
        raise ValueError(f"an address is for the engine ray, got {address!r} with local")
    return ENGINES[name](n_workers, address, resources)
