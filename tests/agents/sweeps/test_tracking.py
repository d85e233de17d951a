"""Each run of a sweep is told to each tracker once, while it plays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.runs.trackers import TRACKERS, TrackedRun, register_tracker
from agents.runs.workers import DeadWorkerError
from agents.sweeps import driver, run_sweep
from agents.sweeps.engines import LocalEngine
from agents.sweeps.folder import Result
from agents.sweeps.graph import Node
from agents.sweeps.work import do
from tests.support.sweeps import HereEngine, spec_with

SPEC = spec_with(algorithm=["seqgan", {"name": "ppo", "n_epochs": 1}, "maximum_likelihood"], seeds=[3])
ONE = spec_with(seeds=[3])
EXPECTED = {
    "seqgan": {"train/entropy", "train/grad_norm", "rollout/reward_mean", "discriminator/version"},
    "ppo": {"train/loss", "train/entropy_loss", "train/value_loss", "discriminator/version"},
    "maximum_likelihood": {"train/loss"},
}
"""Some of the numbers that each tells beside its evaluations."""


class Listener:
    """Writes down the runs that it is told, and can be out of reach."""

    heard: dict[str, list[tuple[int, dict[str, float]]]] = {}
    runs: list[TrackedRun] = []
    ends: list[bool] = []
    is_reachable = True

    def __init__(self, run: TrackedRun) -> None:
        if not self.is_reachable:
            raise OSError("no route")
        self.runs.append(run)

    def write(self, values: dict[str, float], step: int) -> None:
        self.heard.setdefault(self.runs[-1].name, []).append((step, values))

    def close(self, *, finished: bool) -> None:
        self.ends.append(finished)


@pytest.fixture(autouse=True)
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(driver, "check", lambda cell: None)
    for told in (Listener.heard, Listener.runs, Listener.ends):
        told.clear()
    register_tracker("listener", Listener)
    yield
    TRACKERS.unregister("listener")


def sweep(out: Path, *track: str, spec: dict[str, Any] = ONE, work: Any = do) -> list[Result]:
    return run_sweep(spec, out, engine=HereEngine(work), track=track, progress=False)


def evaluations(told: list[tuple[int, dict[str, float]]]) -> list[tuple[int, float]]:
    return [(step, values["run/kl_sum"]) for step, values in told if "run/kl_sum" in values]


def curve(result: Result) -> list[tuple[int, float]]:
    return [(record["steps"], record["kl_sum"]) for record in result["records"]]


def test_each_run_is_told_while_it_plays_and_never_again(tmp_path: Path) -> None:
    results = sweep(tmp_path / "mine", "listener", spec=SPEC)
    assert sweep(tmp_path / "mine", "listener", spec=SPEC) == results
    assert len(Listener.runs) == len(results) == len({run.id for run in Listener.runs}) == 3
    assert Listener.ends == [True] * 3
    names = {run.name.split()[1]: run for run in Listener.runs}
    for result in results:
        algorithm = result["axes"]["algorithm"]
        run = names[algorithm]
        told = Listener.heard[run.name]
        assert evaluations(told) == curve(result)
        steps = [step for step, _ in told]
        assert steps == sorted(steps)
        assert {name for _, values in told for name in values} >= EXPECTED[algorithm]
        assert run.name.endswith(" 3")
        assert run.group == "mine"
        assert run.settings["config"]["seed"] == 3


def test_every_update_is_told_not_only_those_before_an_evaluation(tmp_path: Path) -> None:
    spec = spec_with(budget={"steps": 128, "evaluations": 1})
    (result,) = sweep(tmp_path, "listener", spec=spec)
    (told,) = Listener.heard.values()
    updates = [values["train/n_updates"] for _, values in told if "train/n_updates" in values]
    assert updates == list(range(1, len(updates) + 1))
    assert len(updates) > len(result["records"])


def test_a_tracker_changes_no_result(tmp_path: Path) -> None:
    plain, tracked = (sweep(tmp_path / name, *track) for name, track in (("a", ()), ("b", ("listener",))))
    kept = [
        [{k: v for k, v in record.items() if k != "wall_time_s"} for record in result["records"]]
        for result in (*plain, *tracked)
    ]
    assert kept[0] == kept[1]


def test_a_tracker_that_comes_later_hears_what_is_done(tmp_path: Path) -> None:
    results = sweep(tmp_path)
    assert Listener.heard == {}
    for _ in range(2):  # the second time it knows
        assert sweep(tmp_path, "listener") == results
    assert [evaluations(told) for told in Listener.heard.values()] == [curve(result) for result in results]


def test_a_tracker_out_of_reach_costs_no_run_and_hears_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Listener, "is_reachable", False)
        with pytest.warns(UserWarning, match="will be when the sweep goes on: .* no route"):
            (result,) = sweep(tmp_path, "listener")
    assert result["status"] == "done"
    sweep(tmp_path, "listener")
    assert list(map(evaluations, Listener.heard.values())) == [curve(result)]


@pytest.mark.parametrize("method", ["write", "close"])
def test_a_tracker_that_fails_in_between_hears_the_evaluations_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Listener, method, fail)
        with pytest.warns(UserWarning, match="the tracker listener failed and is told no more: gone"):
            (result,) = sweep(tmp_path, "listener")
    Listener.heard.clear()
    sweep(tmp_path, "listener")
    assert list(map(evaluations, Listener.heard.values())) == [curve(result)]
    assert len({run.id for run in Listener.runs}) == 1


def dying_once(error: BaseException | type[BaseException]) -> Callable[..., bytes]:
    """Work whose first run is told and then lost."""
    n_plays = 0

    def dying(node: Node, *inputs: bytes) -> bytes:
        nonlocal n_plays
        output = do(node, *inputs)
        if node.kind == "run" and (n_plays := n_plays + 1) == 1:
            raise error
        return output

    return dying


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_run_that_is_killed_while_it_plays_is_the_same_one_there_when_it_is_played_again(
    tmp_path: Path, is_resumed: bool
) -> None:
    """By the same command, or by a later one."""
    dying = dying_once(KeyboardInterrupt if is_resumed else DeadWorkerError("killed"))
    if is_resumed:
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, "listener", work=dying)
    (result,) = sweep(tmp_path, "listener", work=dying)
    first, second = Listener.runs
    assert first.id == second.id
    (told,) = Listener.heard.values()
    assert evaluations(told) == 2 * curve(result)


def test_a_run_that_fails_is_not_finished_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("agents.sweeps.budget.Watch.finish", fail)
    (result,) = sweep(tmp_path, "listener")
    assert result["status"] == "failed"
    assert Listener.ends == [False]


def test_an_unknown_tracker_is_refused_before_any_work(tmp_path: Path) -> None:
    engine = HereEngine()
    with pytest.raises(ValueError, match="tracker must be one of"):
        run_sweep(SPEC, tmp_path / "none", engine=engine, track=["nobody"], progress=False)
    assert engine.submitted == []
    assert not (tmp_path / "none").exists()


def test_tensorboard_has_every_run_of_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (result,) = run_sweep(ONE, "mine", engine=LocalEngine(1), track=["tensorboard"], progress=False)
    events = events_of(tmp_path / "mine", result)
    assert_is_curve(events, result)
    assert {"train/entropy", "discriminator/version"} <= set(events.Tags()["scalars"])


def test_tensorboard_shows_a_run_that_is_played_again_once(tmp_path: Path) -> None:
    (result,) = sweep(tmp_path, "tensorboard", work=dying_once(DeadWorkerError("killed")))
    assert_is_curve(events_of(tmp_path, result), result)


def events_of(folder: Path, result: Result) -> EventAccumulator:
    return EventAccumulator(str(folder / "trackers" / result["key"] / "tensorboard")).Reload()


def assert_is_curve(events: EventAccumulator, result: Result) -> None:
    told = [(each.step, each.value) for each in events.Scalars("run/kl_sum")]
    assert told == [(step, pytest.approx(value)) for step, value in curve(result)]


@pytest.mark.filterwarnings("ignore")  # they warn of one another
class TestOfOthers:
    """The libraries themselves, without a network; `make test-trackers` installs them."""

    def test_mlflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        (result,) = sweep(tmp_path / "sweep", "mlflow")
        client = mlflow.MlflowClient()
        (found,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
        assert found.info.status == "FINISHED"
        assert found.data.tags["group"] == "sweep"
        told = client.get_metric_history(found.info.run_id, "run/kl_sum")
        assert [(each.step, each.value) for each in told] == curve(result)
        assert client.get_metric_history(found.info.run_id, "train/entropy")

    def test_wandb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("wandb", exc_type=ImportError)
        for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        (result,) = sweep(tmp_path / "sweep", "wandb")
        run_id = json.loads((tmp_path / "sweep" / "trackers" / result["key"] / "trackers.json").read_text())["id"]
        assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))) == 1

    def test_trackio(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        pytest.importorskip("trackio", exc_type=ImportError)
        (result,) = sweep(tmp_path / "sweep", "trackio")
        with sqlite3.connect(next((tmp_path / "trackio").glob("*.db"))) as database:
            rows = database.execute("select step, metrics from metrics order by step, id").fetchall()
        assert evaluations([(step, json.loads(values)) for step, values in rows]) == curve(result)
        assert any("train/entropy" in json.loads(values) for _, values in rows)
