"""Each run of a sweep is told to each tracker once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.runs.trackers import TRACKERS, TrackedRun, register_tracker
from agents.sweeps import driver, run_sweep
from tests.support.sweeps import HereEngine, spec_with

SPEC = spec_with(algorithm=["seqgan", "ppo"], seeds=[3])


class Listener:
    """Writes down the runs that it is told, and can be out of reach."""

    heard: dict[str, list[tuple[int, float]]] = {}
    runs: list[TrackedRun] = []
    is_reachable = True

    def __init__(self, run: TrackedRun) -> None:
        if not self.is_reachable:
            raise OSError("no route")
        self.runs.append(run)

    def write(self, values: dict[str, float], step: int) -> None:
        self.heard.setdefault(self.runs[-1].name, []).append((step, values["run/kl_sum"]))

    def close(self, *, finished: bool) -> None:
        assert finished or not self.is_reachable


@pytest.fixture(autouse=True)
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(driver, "check", lambda cell: None)
    Listener.heard.clear()
    Listener.runs.clear()
    register_tracker("listener", Listener)
    yield
    TRACKERS.unregister("listener")


CURVE = [(1, 2.0), (2, 1.0)]


def test_each_run_is_told_when_it_ends_and_never_again(tmp_path: Path) -> None:
    for _ in range(2):
        run_sweep(SPEC, tmp_path / "mine", engine=HereEngine(), track=["listener"], progress=False)
    assert list(Listener.heard.values()) == [CURVE, CURVE]
    assert {name.split()[1:2][0] for name in Listener.heard} == {"seqgan", "ppo"}
    for run in Listener.runs:
        assert run.name.endswith(" 3")
        assert run.group == "mine"
        assert run.settings["config"]["seed"] == 3
    assert len({run.id for run in Listener.runs}) == 2


def test_a_tracker_that_comes_later_hears_what_is_done(tmp_path: Path) -> None:
    results = run_sweep(SPEC, tmp_path, engine=HereEngine(), progress=False)
    assert Listener.heard == {}
    assert run_sweep(SPEC, tmp_path, engine=HereEngine(), track=["listener"], progress=False) == results
    assert list(Listener.heard.values()) == [CURVE, CURVE]


def test_a_tracker_out_of_reach_costs_no_run_and_hears_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Listener, "is_reachable", False)
        with pytest.warns(UserWarning, match="will be when the sweep goes on: .* no route"):
            results = run_sweep(SPEC, tmp_path, engine=HereEngine(), track=["listener"], progress=False)
    assert [result["status"] for result in results] == ["done", "done"]
    run_sweep(SPEC, tmp_path, engine=HereEngine(), track=["listener"], progress=False)
    assert list(Listener.heard.values()) == [CURVE, CURVE]


@pytest.mark.parametrize("method", ["write", "close"])
def test_a_tracker_that_fails_in_between_hears_the_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Listener, method, fail)
        with pytest.warns(UserWarning, match="the tracker listener failed and is told no more: gone"):
            run_sweep(SPEC, tmp_path, engine=HereEngine(), track=["listener"], progress=False)
    Listener.heard.clear()
    run_sweep(SPEC, tmp_path, engine=HereEngine(), track=["listener"], progress=False)
    assert list(Listener.heard.values()) == [CURVE, CURVE]


def test_an_unknown_tracker_is_refused_before_any_work(tmp_path: Path) -> None:
    engine = HereEngine()
    with pytest.raises(ValueError, match="tracker must be one of"):
        run_sweep(SPEC, tmp_path / "none", engine=engine, track=["nobody"], progress=False)
    assert engine.submitted == []
    assert not (tmp_path / "none").exists()
