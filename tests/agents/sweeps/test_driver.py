"""A sweep does each piece of work once, and loses nothing that is done."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agents.runs.workers import DeadWorkerError, Outcome
from agents.sweeps import Contest, driver
from agents.sweeps.cells import Cell
from agents.sweeps.driver import MAX_ATTEMPTS, run_sweep
from agents.sweeps.folder import SweepFolder, read_results
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.spec import cells_of
from agents.sweeps.work import do
from tests.support.sweeps import HereEngine, pretend, spec_with
from tests.support.waiting import wait_for

WIDE = spec_with(algorithm=["seqgan", "ppo", "random"], reward=["log_d", "constant"], seeds=[0, 1])


@pytest.fixture(autouse=True)
def _without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without building each combination before work starts."""
    monkeypatch.setattr(driver, "check", lambda cell: None)


def run(spec: dict[str, Any], out: Path, engine: HereEngine) -> list[dict[str, Any]]:
    return run_sweep(spec, out, engine=engine, progress=False)


def test_each_piece_of_work_is_done_once_and_in_order(tmp_path: Path) -> None:
    engine = HereEngine()
    results = run(WIDE, tmp_path, engine)
    # per seed one pretraining, one discriminator, two algorithms with two rewards, and random, to which none matters
    assert Counter(engine.kinds) == {"pretraining": 2, "discriminator": 2, "run": 10}
    done: set[Any] = set()
    for node in engine.submitted:
        assert set(node.needs) <= done
        done.add(node.id)
    assert results == read_results(tmp_path)
    assert len({result["key"] for result in results}) == 10
    again = HereEngine()
    assert run(WIDE, tmp_path, again) == results
    assert again.submitted == []


def test_a_sweep_can_be_widened_and_narrowed(tmp_path: Path) -> None:
    narrow = run(spec_with(), tmp_path, HereEngine())
    engine = HereEngine()
    wider = run(spec_with(algorithm=["seqgan", "ppo"]), tmp_path, engine)
    assert [node.work.algorithm for node in engine.submitted if isinstance(node.work, Cell)] == ["ppo"]
    assert engine.kinds == ["run"]
    assert len(wider) == 2
    assert run(spec_with(), tmp_path, HereEngine()) == read_results(tmp_path) == narrow
    again = HereEngine()
    assert run(spec_with(algorithm=["seqgan", "ppo"]), tmp_path, again) == wider
    assert again.submitted == []


def test_runs_of_another_experiment_do_not_count_as_more_seeds(tmp_path: Path) -> None:
    short, long = (spec_with(budget={"steps": steps}, seeds=[0, 1]) for steps in (64, 128))
    run(short, tmp_path, HereEngine())
    results = run(long, tmp_path, HereEngine())
    assert [result["budget"]["steps"] for result in results] == [128, 128]
    assert read_results(tmp_path) == read_results(tmp_path / "results.jsonl") == results
    back = HereEngine()
    assert [result["budget"]["steps"] for result in run(short, tmp_path, back)] == [64, 64]
    assert back.submitted == []


def test_a_run_has_the_name_of_the_sweep_that_shows_it(tmp_path: Path) -> None:
    """A default that is written out is the same run; two names would make two rows of one algorithm."""
    run(spec_with(algorithm=["ppo"]), tmp_path, HereEngine())
    written_out = [{"name": "ppo", "learning_rate": 0.0003}]
    results = run(spec_with(algorithm=written_out, seeds=[0, 1]), tmp_path, HereEngine())
    assert [result["axes"]["settings"] for result in results] == ["learning_rate=0.0003"] * 2


def test_a_run_that_raises_is_recorded_and_tried_again_by_the_next_command(tmp_path: Path) -> None:
    def raise_in_ppo(node: Node, *inputs: bytes) -> bytes:
        if isinstance(node.work, Cell) and node.work.algorithm == "ppo":
            raise ZeroDivisionError("no\nluck")
        return pretend(node)

    results = run(WIDE, tmp_path, HereEngine(raise_in_ppo))
    failed = [result for result in results if result["status"] == "failed"]
    assert {result["axes"]["algorithm"] for result in failed} == {"ppo"}
    assert {result["error"] for result in failed} == {"no luck"}
    assert "ZeroDivisionError" in failed[0]["traceback"]
    assert len(results) == 10
    engine = HereEngine()
    assert all(result["status"] == "done" for result in run(WIDE, tmp_path, engine))
    assert engine.kinds == ["run"] * 4


def test_what_needs_a_piece_that_failed_fails_with_its_reason(tmp_path: Path) -> None:
    def raise_in_discriminator(node: Node, *inputs: bytes) -> bytes:
        if node.kind == "discriminator":
            raise ValueError("it diverged")
        return pretend(node)

    results = run(spec_with(reward=["log_d", "constant"]), tmp_path, HereEngine(raise_in_discriminator))
    assert {r["axes"]["reward"]: r.get("error") for r in results} == {
        "log_d": "its discriminator failed: it diverged",
        "constant": None,
    }


def test_a_pretraining_that_failed_is_the_reason_of_all_that_follows(tmp_path: Path) -> None:
    def raise_in_pretraining(node: Node, *inputs: bytes) -> bytes:
        if node.kind == "pretraining" and node.work.seed == 0:  # type: ignore[union-attr]
            raise ValueError("it diverged")
        return pretend(node)

    engine = HereEngine(raise_in_pretraining)
    results = run(WIDE, tmp_path, engine)
    assert Counter(engine.kinds) == {"pretraining": 2, "discriminator": 1, "run": 5}
    assert {(result["seed"], result.get("error")) for result in results} == {
        (0, "its pretraining failed: it diverged"),
        (1, None),
    }


def test_what_stands_first_is_done_first(tmp_path: Path) -> None:
    engine = HereEngine()
    run(WIDE, tmp_path, engine)
    assert engine.submitted == graph_of(cells_of(WIDE))


@pytest.mark.parametrize("n_deaths", [1, MAX_ATTEMPTS])
def test_a_run_whose_process_died_is_tried_again(tmp_path: Path, n_deaths: int) -> None:
    deaths = iter(range(n_deaths))

    def die(node: Node, *inputs: bytes) -> bytes:
        if node.kind == "run" and next(deaths, None) is not None:
            raise DeadWorkerError("its process ended with the exit code -9")
        return pretend(node)

    engine = HereEngine(die)
    (result,) = run(spec_with(), tmp_path, engine)
    assert engine.kinds.count("run") == min(n_deaths + 1, MAX_ATTEMPTS)
    assert result["status"] == ("done" if n_deaths < MAX_ATTEMPTS else "failed")
    assert result.get("error") == (None if n_deaths < MAX_ATTEMPTS else "its process ended with the exit code -9")


def test_an_interrupt_loses_the_runs_in_flight_alone(tmp_path: Path) -> None:
    class Interrupted(HereEngine):
        def wait(self, timeout_s: float) -> list[Outcome]:
            if self.kinds.count("run") == 3:
                raise KeyboardInterrupt
            return super().wait(timeout_s)

    engine = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run(WIDE, tmp_path, engine)
    assert engine.is_closed
    assert len(read_results(tmp_path)) == 2
    rest = HereEngine()
    assert len(run(WIDE, tmp_path, rest)) == 10
    assert rest.kinds.count("run") == 8


def test_a_full_disk_is_named_and_loses_nothing_that_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, n_written = SweepFolder.write, iter(range(100))

    def fill(self: SweepFolder, node: Node, output: bytes) -> None:
        if next(n_written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
        write(self, node, output)

    monkeypatch.setattr(SweepFolder, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        run(WIDE, tmp_path, HereEngine())
    monkeypatch.undo()
    monkeypatch.setattr(driver, "check", lambda cell: None)
    engine = HereEngine()
    run(WIDE, tmp_path, engine)
    assert len(engine.submitted) == 14 - 4


@pytest.mark.parametrize("first", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device", "run")])
def test_what_ended_a_sweep_is_told_although_its_results_cannot_be_gathered(
    first: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise first if arguments[1:] else OSError(errno.ENOSPC, "No space left on device", "results.jsonl")

    monkeypatch.setattr(SweepFolder, "write", fail)
    monkeypatch.setattr(SweepFolder, "gather", fail)
    with pytest.raises(type(first)) as caught:
        run(spec_with(), tmp_path, HereEngine())
    assert caught.value is first


def test_what_python_computes_is_kept_as_it_is_in_a_file(tmp_path: Path) -> None:
    results = run(spec_with(seeds=range(2)), tmp_path, HereEngine())
    assert [result["seed"] for result in results] == [0, 1]
    assert json.loads((tmp_path / "sweep.json").read_text())["spec"]["seeds"] == [0, 1]


MINE = """
import os, time
from pathlib import Path

class HeldUp:
    def __init__(self, contest):
        self.sequences, self.mark = contest.game.agent.generator, Path(contest.settings["mark"])

    def learn(self, watch):
        while watch.goes_on():
            if not self.mark.exists():
                self.mark.with_suffix(".new").write_text(str(os.getpid()))
                self.mark.with_suffix(".new").rename(self.mark)
                time.sleep(600)
            watch.spend(8)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs to see other processes")
def test_a_program_that_is_interrupted_and_then_killed_loses_the_runs_in_flight_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    mark, out = tmp_path / "mark", tmp_path / "out"
    (tmp_path / "mine_to_hold_up.py").write_text(MINE)
    spec = spec_with(algorithm=["a2c", {"name": "mine_to_hold_up:HeldUp", "mark": str(mark)}, "random"], seeds=[0, 1])
    (tmp_path / "sweep.py").write_text(f"SPEC = {spec!r}")
    command = [sys.executable, "-m", "agents.cli", "sweep", str(tmp_path / "sweep.py"), "--out", str(out)]
    for number in (signal.SIGINT, signal.SIGKILL):
        mark.unlink(missing_ok=True)
        with subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.PIPE, text=True) as program:
            try:
                wait_for(lambda: mark.exists() or program.poll() is not None)
                program.send_signal(number)
                said = program.communicate(timeout=60)[1].splitlines()
            finally:
                program.kill()
        assert program.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[number], said
        worker = Path("/proc") / mark.read_text()
        wait_for(lambda worker=worker: not worker.exists())
        done = {path: path.stat().st_mtime_ns for path in out.glob("*/*.*")}
        assert len(done) == 3  # maximum likelihood, the discriminator and A2C of the first seed
        if number == signal.SIGINT:
            assert said[-1:] == ["seqgan: interrupted; the same command goes on"]  # and nothing was left behind
            assert len((out / "results.jsonl").read_text().splitlines()) == 1
    monkeypatch.syspath_prepend(str(tmp_path))
    results = run(spec, out, HereEngine(do))
    assert [result["status"] for result in results] == ["done"] * 6
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert [lasting(result) for result in results] == [
        lasting(result) for result in run(spec, tmp_path / "undisturbed", HereEngine(do))
    ]


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    """A result without times and memory."""
    records = [{name: value for name, value in each.items() if name != "wall_time_s"} for each in result["records"]]
    cost = ("wall_time_s", "total_time_s", "peak_memory_mb", "environment")
    return {**{name: value for name, value in result.items() if name not in cost}, "records": records}


def test_two_drivers_do_not_share_a_folder(tmp_path: Path) -> None:
    with SweepFolder(tmp_path).lock(), pytest.raises(ValueError, match="is in use by process"):
        run(spec_with(), tmp_path, HereEngine())


def takes_its_settings(contest: Contest) -> Any:
    contest.settings.pop("patience")  # type: ignore[attr-defined]
    return contest.game.agent


def test_an_algorithm_may_do_with_its_settings_what_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    algorithm = {"name": f"{__name__}:takes_its_settings", "patience": 3}
    results = run(spec_with(algorithm=[algorithm], seeds=[0, 1]), tmp_path, HereEngine())
    assert [result["settings"] for result in results] == [{"patience": 3}] * 2


def leave(contest: Contest) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        ({"name": "ppo", "clip_range": -1.0, "batch_size": 1}, "ppo, batch_size=1, clip_range=-1, log_d"),  # SB3's own
        (f"{__name__}:leave", f"{__name__}:leave, log_d, none, tabular: SystemExit: 3"),
    ],
    ids=str,
)
def test_a_combination_that_cannot_work_is_found_before_work_starts(
    algorithm: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    engine = HereEngine()
    with pytest.raises(ValueError, match=rf"^SeqGANTiny-v0, {says}"):
        run(spec_with(algorithm=["seqgan", algorithm]), tmp_path / "new", engine)
    assert engine.submitted == []
    assert not (tmp_path / "new").exists()


def test_files_of_runs_are_whole(tmp_path: Path) -> None:
    run(spec_with(), tmp_path, HereEngine())
    (path,) = (tmp_path / "run").iterdir()
    assert json.loads(path.read_text())["axes"]["algorithm"] == "seqgan"
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a readable result of a run"):
        run(spec_with(), tmp_path, HereEngine())
