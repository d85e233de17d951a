"""The engine of a Ray cluster: each piece of work is a task, which a node that has room for it does in a process.

The driver alone holds what has been done, so a node may be lost with all that it has; it also holds what runs begin
with, each piece once in the store of objects, from where every node fetches it once.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from typing import Any

from agents.runs.workers import DeadWorkerError, Outcome, import_for_workers, imported, portable
from agents.sweeps.graph import Node
from agents.sweeps.spec import Resources
from agents.sweeps.work import do
from seqgan_env.files import one_line, printable

_CONNECT_S = 5.0  # until an address, or what listens there, counts as silent
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"  # a frame of HTTP/2: its length, the kind 4, no flags, no stream
_LOOK_S = 5.0  # between two looks at the nodes
_N_STORED = 64  # inputs that stay in the store of objects after the runs that use them


class RayEngine:
    """A Ray cluster; files that a task names must be there on every node, and so must this package.

    Args:
        address: ``"HOST:PORT"`` of a cluster, or ``"auto"`` for that of this machine or of ``RAY_ADDRESS``; None starts
            one on this machine for as long as the context lasts.
        resources: of each piece of work.

    Raises:
        ValueError: Ray is not installed, or nothing answers at the address.
    """

    n_slots = 0
    """The pieces of work that the nodes have room for; it follows nodes that come and go, and is 1 at least."""

    def __init__(self, address: str | None, resources: Resources) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ValueError(
                "the engine ray needs Ray, which is not installed: pip install 'seqgan-env[sweep]'"
            ) from error
        self._address, self._resources = _reachable(address), resources
        self._ids: dict[Any, Any] = {}
        self._stored: dict[Any, Any] = {}
        self._looked = 0.0

    def __enter__(self) -> RayEngine:
        """Connect to the cluster.

        Raises:
            ValueError: Ray refuses, as for another version of it, or no node is large enough.
        """
        ray, resources = self._ray, self._resources
        starts = {"include_dashboard": False} if self._address is None else {}
        try:
            ray.init(self._address or "local", log_to_driver=False, configure_logging=False, **starts)
        except Exception as error:  # of any kind
            raise ValueError(one_line(f"no Ray cluster at {self._address or 'this machine'}: {error}")) from error
        memory = resources.memory_mb and resources.memory_mb << 20
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "memory": memory}
        self._work: Any = ray.remote(**options, max_retries=0)(_do_elsewhere)
        if not self._room():
            self.__exit__()
            raise ValueError(f"no node of the Ray cluster has room for {resources}")
        self.n_slots, self._looked = self._room(), time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        """Disconnect, which ends the work that is being done."""
        self._ray.shutdown()

    def submit(self, node: Node, *inputs: bytes) -> None:
        """See ``Engine``."""
        references = []
        for need, content in zip(node.needs, inputs, strict=True):
            if need not in self._stored:
                self._stored[need] = self._ray.put(content)
            references.append(self._stored[need])
        self._ids[self._work.remote(tuple(sys.path), imported(), node, *references)] = node.id
        while len(self._stored) > _N_STORED:
            del self._stored[next(iter(self._stored))]

    def wait(self, timeout_s: float) -> list[Outcome]:
        """See ``Engine``; a lost node is a dead process too."""
        running = list(self._ids)
        if self._ray.wait(running, timeout=timeout_s)[0]:
            ended = self._ray.wait(running, num_returns=len(running), timeout=0)[0]
        else:
            ended = []
        if time.monotonic() - self._looked > _LOOK_S:
            self.n_slots, self._looked = max(1, self._room()), time.monotonic()
        return [self._outcome(reference) for reference in ended]

    def _outcome(self, reference: Any) -> Outcome:
        """The end of a task that has ended."""
        key = self._ids.pop(reference)
        exceptions = self._ray.exceptions
        try:
            return Outcome(key, self._ray.get(reference), None)
        except exceptions.RayTaskError as error:
            error.cause.__cause__ = RuntimeError(f"in another process:\n{printable(str(error))}")
            return Outcome(key, None, error.cause)
        except exceptions.RayError as error:
            return Outcome(key, None, DeadWorkerError(one_line(str(error))))

    def _room(self) -> int:
        """The pieces of work that fit on the nodes that are alive."""
        resources = self._resources
        needs = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": (resources.memory_mb or 0) << 20}
        return sum(
            min(int(node["Resources"].get(name, 0) / need + 1e-6) for name, need in needs.items() if need)
            for node in self._ray.nodes()
            if node["Alive"]
        )


def _do_elsewhere(folders: tuple[str, ...], modules: tuple[str, ...], node: Node, *inputs: bytes) -> bytes:
    """Do a piece of work in a process that finds modules where the driver does, and knows those of the user's own."""
    try:
        sys.path += [folder for folder in folders if folder not in sys.path]
        import_for_workers(modules)
        return do(node, *inputs)
    except (Exception, SystemExit) as error:
        raise portable(error) from error


def _reachable(address: str | None) -> str | None:
    """An address at which a cluster answers; Ray itself would wait for it for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address in (None, "auto"):
        return address
    host, _, port = str(address).rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"the address of a Ray cluster must be auto or HOST:PORT, got {address!r}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as connection:
            is_cluster = _speaks_grpc(connection)
    except OSError as error:
        raise ValueError(f"no Ray cluster answers at {address}: {error.strerror or error}") from error
    if not is_cluster:
        raise ValueError(f"no Ray cluster answers at {address}: something else listens there")
    return address


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server begins as that of a cluster does: with a frame of settings (RFC 9113, section 3.4)."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True  # Ray knows the certificates
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS)
    start = b""
    while len(start) < len(_SETTINGS) and (more := connection.recv(len(_SETTINGS) - len(start))):
        start += more
    return start[3:4] == _SETTINGS[3:4] and len(start) == len(_SETTINGS)
