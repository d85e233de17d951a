"""Trackers are told every evaluation of a run, once, whatever happens to it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.runs.experiment import Experiment
from agents.runs.trackers import TRACKERS, TrackedRun, Trackers, register_tracker, values_of
from tests.support.runs import SHORT

pytestmark = pytest.mark.usefixtures("without_pictures")


class Notebook:
    """Writes down what it is told."""

    told: list[tuple[int, dict[str, float]]] = []
    runs: list[TrackedRun] = []
    ends: list[bool] = []

    def __init__(self, run: TrackedRun) -> None:
        self.runs.append(run)

    def write(self, values: dict[str, float], step: int) -> None:
        self.told.append((step, dict(values)))

    def close(self, *, finished: bool) -> None:
        self.ends.append(finished)


class Broken(Notebook):
    """Fails at the third evaluation, and again in the end."""

    def write(self, values: dict[str, float], step: int) -> None:
        if step == 3:
            raise OSError("no\nroute to host")

    def close(self, *, finished: bool) -> None:
        raise OSError("gone")


class Unreachable(Notebook):
    """Can't begin."""

    def __init__(self, run: TrackedRun) -> None:
        raise OSError("log in\nfirst")


class Leaving(Notebook):
    """Calls ``sys.exit``, as some do without an account."""

    def __init__(self, run: TrackedRun) -> None:
        sys.exit("log in first")


class Careless(Notebook):
    """Empties whatever it is given."""

    def __init__(self, run: TrackedRun) -> None:
        run.settings["task"].clear()

    def write(self, values: dict[str, float], step: int) -> None:
        values.clear()


@pytest.fixture(autouse=True)
def own_trackers() -> Iterator[None]:
    own = {
        "notebook": Notebook,
        "broken": Broken,
        "unreachable": Unreachable,
        "leaving": Leaving,
        "careless": Careless,
        "none": lambda run: None,
    }
    for name, begin in own.items():
        register_tracker(name, begin)
    for told in (Notebook.told, Notebook.runs, Notebook.ends):
        told.clear()
    yield
    for name in own:
        TRACKERS.unregister(name)


def run(out: Path, *track: str, **more: Any) -> list[dict[str, Any]]:
    return Experiment(SHORT, out, track=track or None, progress=False, **more).run()


def without_time(told: list[tuple[int, dict[str, float]]]) -> list[tuple[int, dict[str, float]]]:
    return [(step, {k: v for k, v in values.items() if not k.endswith("wall_time_s")}) for step, values in told]


def test_each_evaluation_is_told_once_with_what_the_agent_logged(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "notebook")
    assert [step for step, _ in Notebook.told] == list(range(1, len(records) + 1))
    for (_, told), record in zip(Notebook.told, records, strict=True):
        assert values_of(record).items() <= told.items()
    last = Notebook.told[-1][1] if records[-1]["phase"] == "adversarial" else Notebook.told[-10][1]
    assert {"train/grad_norm", "train/entropy", "rollout/reward_mean", "discriminator/version"} <= last.keys()
    assert Notebook.ends == [True]
    assert Notebook.runs[0].settings == SHORT.to_dict()
    assert Notebook.runs[0].name == "run"
    assert not (tmp_path / "run" / "tensorboard").exists()  # which was not asked for


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_run_that_goes_on_keeps_its_trackers_and_its_name_there(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", "notebook")
    expected = without_time(Notebook.told)
    Notebook.told.clear()

    keep, n_kept = Experiment.keep, 0

    def stopping(experiment: Experiment) -> None:
        nonlocal n_kept
        keep(experiment)
        if (n_kept := n_kept + 1) > stop_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "keep", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", "notebook")
    run(tmp_path / "run", resume=True)
    assert without_time(Notebook.told) == expected
    _, first, second = Notebook.runs
    assert first.id == second.id
    assert (first.n_kept, second.n_kept > 0) == (-1, True)
    assert Notebook.ends == [True, False, True]


def test_a_tracker_that_is_new_to_a_run_hears_all_of_it(tmp_path: Path) -> None:
    records = run(tmp_path / "run")
    assert Notebook.told == []
    for _ in range(2):  # the second time it knows
        assert run(tmp_path / "run", "tensorboard", "notebook", resume=True) == records
    assert Notebook.told == [(step, values_of(record)) for step, record in enumerate(records, 1)]
    assert run(tmp_path / "run", resume=True) == records
    assert len(Notebook.runs) == 3
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert len(events.Scalars("adversarial/kl_sum")) == sum(r["phase"] == "adversarial" for r in records)


def test_a_tracker_that_fails_does_not_fail_the_run(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="tracker broken failed and is told no more: no route to host"):
        records = run(tmp_path / "run", "broken", "notebook")
    assert len(Notebook.told) == len(records)


def test_what_a_tracker_does_to_its_values_is_not_the_next_one_s(tmp_path: Path) -> None:
    records = run(tmp_path / "run", "careless", "notebook")
    assert Notebook.runs[0].settings == SHORT.to_dict()
    assert values_of(records[0]).items() <= Notebook.told[0][1].items()


def test_a_tracker_that_can_not_begin_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the tracker unreachable can't begin: log in first$"):
        run(tmp_path / "run", "notebook", "unreachable")
    with pytest.raises(ValueError, match=r"the tracker leaving can't begin: log in first"):
        run(tmp_path / "run", "leaving")
    with pytest.raises(ValueError, match=r"^the tracker none can't begin: it must have write and close, got None$"):
        run(tmp_path / "run", "none")
    assert Notebook.ends == [False]
    run(tmp_path / "run", "notebook")  # and the same folder will do


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("nobody",), "tracker must be one of tensorboard, wandb, mlflow, trackio.*; got 'nobody'"),
        (("notebook", "notebook"), "a tracker may be named once"),
        (("absent",), "the tracker absent needs the package not_there_at_all: pip install not_there_at_all"),
    ],
)
def test_a_tracker_that_is_not_to_be_had_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    register_tracker("absent", Notebook, package="not_there_at_all")
    try:
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "run", *names)
    finally:
        TRACKERS.unregister("absent")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1, "names": []}', '{"id": "a", "names": "wandb"}'])
def test_a_damaged_list_of_trackers_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trackers.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}") as error:
        Trackers(path)
    assert "\n" not in str(error.value)


def test_a_tracker_must_be_a_function() -> None:
    with pytest.raises(TypeError, match="must be a function"):
        register_tracker("list", [])  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # they warn of one another
class TestOfOthers:
    """The libraries themselves, without a network; `make test-trackers` installs them."""

    def told(self, tmp_path: Path, name: str) -> list[dict[str, Any]]:
        """A run that was killed in the middle and went on."""
        first = Experiment(SHORT, tmp_path / "run", track=[name], progress=False).run(pretraining_only=True)
        records = run(tmp_path / "run", resume=True)
        assert len(first) < len(records)
        return records

    def test_mlflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        records = self.told(tmp_path, "mlflow")
        client = mlflow.MlflowClient()
        (found,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
        assert found.info.status == "FINISHED"
        assert found.data.params["agent.n_updates"] == str(SHORT.agent.n_updates)
        for name, last in values_of(records[-1]).items():
            assert client.get_metric_history(found.info.run_id, name)[-1].value == last
        measured = [(step, r["kl_sum"]) for step, r in enumerate(records, 1) if r["phase"] == "adversarial"]
        assert [
            (m.step, m.value) for m in client.get_metric_history(found.info.run_id, "adversarial/kl_sum")
        ] == measured

    def test_wandb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("wandb", exc_type=ImportError)
        for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        self.told(tmp_path, "wandb")
        run_id = json.loads((tmp_path / "run" / "trackers.json").read_text())["id"]
        assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))) == 2

    def test_trackio(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        pytest.importorskip("trackio", exc_type=ImportError)
        records = self.told(tmp_path, "trackio")
        with sqlite3.connect(next((tmp_path / "trackio").glob("*.db"))) as database:
            rows = database.execute("select step, metrics from metrics order by step").fetchall()
        assert [step for step, _ in rows] == list(range(1, len(records) + 1))
        assert json.loads(rows[-1][1]).items() >= values_of(records[-1]).items()
