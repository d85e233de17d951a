"""Ray: the same results as on this machine, whatever is lost on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from agents.cli import main
from agents.sweeps import ALGORITHMS, Contest, driver, ray_engine, run_sweep
from agents.sweeps.algorithms import build_learner
from agents.sweeps.budget import Watch
from agents.sweeps.engines import LocalEngine, build_engine
from agents.sweeps.folder import Result, SweepFolder
from agents.sweeps.graph import graph_of
from agents.sweeps.spec import Resources, cells_of
from tests.support.sweeps import spec_with
from tests.support.waiting import wait_for

HERE = "tests.agents.sweeps.test_ray_engine"
PATIENCE_S = 400.0
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_niceness": "0",  # by default whatever else a machine does comes first
}


class HeldUp:
    """A2C that says where it is, the first time, and then does nothing until it is ended with its node."""

    def __init__(self, contest: Contest) -> None:
        settings = ALGORITHMS["a2c"].complete({}, contest.game.config, "a2c")
        self._mark = Path(contest.settings["mark"])
        self._learner = build_learner("a2c", dataclasses.replace(contest, settings=settings))
        self.sequences = self._learner.sequences

    def learn(self, watch: Watch) -> None:
        if not self._mark.exists():
            import ray

            self._mark.with_suffix(".new").write_text(ray.get_runtime_context().get_node_id())
            self._mark.with_suffix(".new").rename(self._mark)
            time.sleep(PATIENCE_S)
        self._learner.learn(watch)


class Dying:
    """An algorithm whose process ends."""

    def __init__(self, contest: Contest) -> None:
        self.sequences = contest.game.agent.generator

    def learn(self, watch: Watch) -> None:
        os._exit(9)


def lasting(results: list[Result]) -> list[dict[str, Any]]:
    """Results without times, and without what depends on the machine."""
    own = ("wall_time_s", "total_time_s", "peak_memory_mb", "environment", "traceback")
    kept = [{name: value for name, value in result.items() if name not in own} for result in results]
    for result in kept:
        for record in result.get("records", []):
            del record["wall_time_s"]
    return kept


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors, which drivers connect to, and two nodes with one each."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray import _raylet
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    start = Node.start_raylet

    def start_raylet(self: Any, *arguments: Any, **named: Any) -> None:
        """A node ends where its agent takes more than 15 s to tell the ports that it has none of."""
        for port in ("DASHBOARD_AGENT_LISTEN", "METRICS_AGENT", "METRICS_EXPORT"):
            _raylet.persist_port(self._session_dir, self._node_id, getattr(_raylet, f"{port}_PORT_NAME"), -1)
        start(self, *arguments, **named)

    monkeypatch.setattr(Node, "start_raylet", start_raylet)
    made = Cluster()
    small = {"object_store_memory": 80 << 20, "include_log_monitor": False, "num_gpus": 0}
    try:
        made.add_node(num_cpus=0, no_monitor=True, include_dashboard=False, runtime_env_agent_port=free_port(), **small)
        for _ in range(2):
            made.add_node(num_cpus=1, runtime_env_agent_port=free_port(), **small)
        yield made
    finally:
        made.shutdown()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("", 0))
        port: int = bound.getsockname()[1]
        return port


class Pretended(ModuleType):
    """Ray with the nodes that are wanted; it does no work."""

    exceptions = ModuleType("ray.exceptions")

    def __init__(self, *nodes: dict[str, float]) -> None:
        super().__init__("ray")
        self.alive, self.put_objects, self.tasks = list(nodes), list[bytes](), list[tuple[Any, ...]]()
        self.is_up, self.refuses, self.options = False, "", dict[str, Any]()

    def init(self, address: str, **settings: Any) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.is_up = True

    def shutdown(self) -> None:
        self.is_up = False

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": bool(resources), "Resources": resources} for resources in self.alive]

    def put(self, content: bytes) -> str:
        self.put_objects.append(content)
        return f"reference to {content!r}"

    def remote(self, **options: Any) -> Callable[..., Any]:
        self.options = options

        def submit(*arguments: Any) -> int:
            self.tasks.append(arguments)
            return len(self.tasks)

        return lambda function: SimpleNamespace(remote=submit)

    def wait(self, references: list[Any], **settings: Any) -> tuple[list[Any], list[Any]]:
        return [], references


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    ray = Pretended({"CPU": 4.0, "GPU": 1.0, "memory": 3000 * 2**20}, {}, {"CPU": 3.0})
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


@pytest.mark.parametrize(
    ("resources", "n_slots"),
    [
        ({}, 7),
        ({"cpus": 2}, 3),
        ({"gpus": 1}, 1),
        ({"gpus": 0.3}, 3),
        ({"cpus": 4, "gpus": 0.1}, 1),
        ({"gpus": 0.1, "memory_mb": 1000}, 3),
    ],
)
def test_the_work_at_once_is_that_for_which_nodes_have_room(
    pretended: Pretended, resources: dict[str, Any], n_slots: int
) -> None:
    with build_engine("ray", 1, None, Resources(**resources)) as engine:
        assert engine.n_slots == n_slots
    asked = {"cpus": 1, "gpus": 0.0, "memory_mb": None} | resources
    assert pretended.options == {
        "num_cpus": asked["cpus"],
        "num_gpus": asked["gpus"],
        "memory": asked["memory_mb"] and asked["memory_mb"] * 2**20,
        "max_retries": 0,  # the driver counts them
    }


def test_the_work_at_once_follows_the_nodes(pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_LOOK_S", 0.0)
    with build_engine("ray", 1, None, Resources()) as engine:
        for alive, n_slots in (([{"CPU": 9.0}], 9), ([{}], 1), ([{"CPU": 2.0}], 2)):
            pretended.alive = alive
            engine.wait(0)
            assert engine.n_slots == n_slots


def test_what_no_node_has_room_for_is_refused(pretended: Pretended) -> None:
    with (
        pytest.raises(ValueError, match=r"^no node of the Ray cluster has room for Resources\(cpus=5, "),
        build_engine("ray", 1, None, Resources(cpus=5)),
    ):
        pass
    assert not pretended.is_up


def test_runs_share_what_they_begin_with(pretended: Pretended) -> None:
    nodes = graph_of(cells_of(spec_with(seeds=[0, 1], algorithm=["a2c", "ppo"], reward=["constant"])))
    pretraining = [node for node in nodes if node.kind == "pretraining"]
    runs = [node for node in nodes if node.kind == "run"]
    with build_engine("ray", 1, None, Resources()) as engine:
        for node in runs:
            engine.submit(node, node.needs[0][1].encode())
    assert pretended.put_objects == [node.key.encode() for node in pretraining]
    assert [task[2:] for task in pretended.tasks] == [
        (node, f"reference to {node.needs[0][1].encode()!r}") for node in runs
    ]


def test_a_node_finds_modules_where_the_driver_does(
    pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_the_driver_knows.py").write_text("def play(contest): return contest.game.agent")
    with pytest.MonkeyPatch.context() as driver_alone, build_engine("ray", 1, None, Resources()) as engine:
        driver_alone.setattr(sys, "path", [*sys.path, str(tmp_path)])
        nodes = graph_of(cells_of(spec_with(algorithm=["only_the_driver_knows:play"], reward=["constant"])))
        for node in nodes:
            engine.submit(node, *(b"" for _ in node.needs))
    del sys.modules["only_the_driver_knows"]
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folders, modules, pretraining), (*_, run, _) = pretended.tasks
    output = ray_engine._do_elsewhere(folders, modules, pretraining)
    assert b'"status": "done"' in ray_engine._do_elsewhere(folders, modules, run, output)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1: Connection refused"),
        ("nowhere", "the address of a Ray cluster must be auto or HOST:PORT, got 'nowhere'"),
        ("ray://nowhere:10001", "the address of a Ray cluster must be auto or HOST:PORT, got 'ray://nowhere:10001'"),
        ("127.0.0.1:65536", "the address of a Ray cluster must be auto or HOST:PORT, got '127.0.0.1:65536'"),
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_without_a_cluster_is_refused_before_any_work(
    address: str,
    says: str,
    by_variable: bool,
    pretended: Pretended,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", address)
    Path("sweep.py").write_text(f"SPEC = {spec_with()!r}")
    assert main(["sweep", "sweep.py", "--engine", "ray", "--address", "auto" if by_variable else address]) == 2
    assert capsys.readouterr().err.startswith(f"seqgan: error: {says}")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.py"]


@pytest.mark.parametrize(
    ("greeting", "says"),
    [
        (None, "timed out"),
        (b"", "something else listens there"),
        (b"SSH-2.0-OpenSSH_9.6", "something else listens there"),
        (b"HTTP/1.1 400 Bad Request", "something else listens there"),
        (b"\0\0\0\x04", "something else listens there"),
        (b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x40\0\0", None),
    ],
    ids=str,
)
def test_what_listens_at_an_address_must_be_a_cluster(
    greeting: bytes | None, says: str | None, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would wait for minutes; a server of gRPC speaks first, with a frame of settings."""
    monkeypatch.setattr(ray_engine, "_CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        built = pool.submit(build_engine, "ray", 1, address, Resources())
        with server.accept()[0] as connection:
            if greeting is not None:
                connection.sendall(greeting)
                with contextlib.suppress(OSError):  # who has heard enough may have gone already
                    connection.shutdown(socket.SHUT_WR)
            error = built.exception()
    assert str(error) == (f"no Ray cluster answers at {address}: {says}" if says else "None")


def test_what_ray_refuses_is_one_line_before_any_work(pretended: Pretended, tmp_path: Path) -> None:
    pretended.refuses = "Version mismatch:\n  the cluster has another Python"
    engine = build_engine("ray", 1, "auto", Resources())
    with pytest.raises(ValueError, match=r"^no Ray cluster at auto: Version mismatch: the cluster has"):
        run_sweep(spec_with(), tmp_path / "new", engine=engine, progress=False)
    assert not (tmp_path / "new").exists()


def test_ray_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="the engine ray needs Ray, which is not installed: pip install 'seqgan-env"):
        build_engine("ray", 1, None, Resources())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_that_loses_a_driver_and_a_node_gives_the_same_results(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MAX_ATTEMPTS", 2)
    mark = tmp_path / "mark"
    held_up = {"name": f"{HERE}:HeldUp", "mark": str(mark)}
    others = ["seqgan", {"name": "ppo", "n_epochs": 1}, {"name": "dqn", "learning_starts": 8, "gradient_steps": 1}]
    spec = spec_with(algorithm=[held_up, "a2c", *others, "tests.agents.sweeps.test_algorithms:out_of_luck"])
    wider = {**spec, "algorithm": [*spec["algorithm"], f"{HERE}:Dying"]}
    mark.touch()
    expected = run_sweep(spec, tmp_path / "local", engine=LocalEngine(1), progress=False)
    mark.unlink()

    (tmp_path / "sweep.py").write_text(f"SPEC = {spec!r}")
    out = tmp_path / "ray"
    command = [sys.executable, "-m", "agents.cli", "sweep", str(tmp_path / "sweep.py"), "--out", str(out)]
    with subprocess.Popen([*command, "--engine", "ray", "--address", cluster.address]) as killed:
        try:
            wait_for(
                lambda: killed.poll() is not None or (mark.exists() and len(SweepFolder(out).runs()) == 5), PATIENCE_S
            )
        finally:
            killed.kill()
    assert killed.returncode < 0
    done = {path: path.stat().st_mtime_ns for path in out.glob("*/*.*")}
    assert len(done) == 2 + 5
    mark.unlink()

    def lose_the_node() -> None:
        wait_for(mark.exists, PATIENCE_S)
        (node,) = (node for node in cluster.worker_nodes if node.node_id == mark.read_text())
        cluster.remove_node(node, allow_graceful=False)

    with ThreadPoolExecutor() as pool:
        losing = pool.submit(lose_the_node)
        engine = build_engine("ray", 1, cluster.address, Resources())
        results = run_sweep(wider, out, engine=engine, progress=False)
        losing.result()
    (dead,) = (result for result in results if result["axes"]["algorithm"] == f"{HERE}:Dying")
    assert dead["error"].startswith("The worker died")
    assert lasting([result for result in results if result is not dead]) == lasting(expected)
    (unlucky,) = (result for result in results if result.get("error") == "no luck")
    assert 'raise ZeroDivisionError("no luck")' in unlucky["traceback"]
