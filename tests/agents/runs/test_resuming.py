"""Going on with a run: with other settings of the machine, elsewhere, and for longer; anything else is refused."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.play import make_env
from agents.runs.config import RunConfig
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.runs.resuming import check_settings
from agents.runs.sample import load_generator
from seqgan_env.sources import LSTMOracle
from tests.support.runs import TINY, changed, stored, without_time

pytestmark = pytest.mark.usefixtures("without_pictures")

ABSENT = "cuda:63"
"""A device that no machine of ours has."""


def resume(config: RunConfig, folder: Path, **arguments: Any) -> list[dict[str, Any]]:
    return without_time(Experiment(config, folder, resume=True, progress=False, **arguments).run())


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def text_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run on a text file of the working folder, named by its relative path."""
    monkeypatch.chdir(tmp_path)
    Path("ours.txt").write_text("".join(f"{who} eat {what}\n" for who in "abcdef" for what in "uvwxyz"))
    Experiment(text_config("ours.txt"), "run", progress=False).run()
    return tmp_path / "run"


def text_config(source: str) -> RunConfig:
    config = changed(TINY, task={"source": source, "vocab_size": None, "max_length": None})
    return changed(config, pretraining={"n_epochs": 1}, adversary={"n_rounds": 1}, agent={"n_updates": 2})


def as_if_on(device: str, run: Path) -> None:
    """Let the settings of a run on the CPU name another device."""
    config, checkpoint = run / "config.json", run / "checkpoint.zip"
    config.write_text(
        config.read_text().replace('"device": "cpu",\n    "n_threads"', f'"device": "{device}",\n    "n_threads"')
    )
    state = load_checkpoint(checkpoint)
    state["config"] = state["config"].replace('"device": "cpu", "n_threads"', f'"device": "{device}", "n_threads"')
    save_checkpoint(checkpoint, state)


class TestDevice:
    """The device is not what decides a run's result."""

    def test_a_run_of_another_machine_s_device_is_measured_sampled_and_resumed(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        half = changed(TINY, agent={"n_updates": 2})
        Experiment(half, run, progress=False).run()
        elsewhere = changed(half, runtime={"device": ABSENT})
        as_if_on(ABSENT, run)
        assert RunConfig.load(run / "config.json") == elsewhere
        with pytest.raises(ValueError, match=f"device must be 'auto', 'cpu' or a device that is here; got '{ABSENT}'"):
            Experiment(elsewhere, run, resume=True, progress=False)
        assert evaluate_run(run, device="cpu")
        assert load_generator(run, device="cpu").texts(3)
        assert resume(half, run) == stored(run)
        assert RunConfig.load(run / "config.json") == half

    def test_threads_may_be_others_too(self, run: Path, finished: Path) -> None:
        resume(changed(TINY, runtime={"n_threads": 2}), run)
        assert stored(run) == stored(finished)


class TestSource:
    def test_another_working_folder_changes_nothing(self, text_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        measured = evaluate_run("run")
        os.mkdir("below")
        monkeypatch.chdir("below")
        assert evaluate_run("../run") == measured
        resume(RunConfig.load(text_run / "config.json"), Path("../run"))

    def test_a_file_that_moved_is_the_same(self, text_run: Path) -> None:
        measured, records = evaluate_run(text_run), stored(text_run)
        os.rename("ours.txt", "moved.txt")
        with pytest.raises(ValueError, match=r"there is no file '.*ours\.txt'"):
            evaluate_run(text_run)
        assert evaluate_run(text_run, source="moved.txt") == measured
        assert resume(text_config("moved.txt"), text_run) == records
        assert RunConfig.load(text_run / "config.json").task.source == os.path.abspath("moved.txt")
        assert evaluate_run(text_run) == measured

    def test_so_is_a_held_out_file_that_moved(self, text_run: Path) -> None:
        Path("test.txt").write_text("a eat v\nc eat c\nd eat u\n")
        config = changed(text_config("ours.txt"), task={"held_out": "test.txt"})
        Experiment(config, "pair", progress=False).run()
        measured, records = evaluate_run("pair"), stored(Path("pair"))
        os.rename("test.txt", "moved.txt")
        with pytest.raises(ValueError, match=r"held_out must be .* there is no file '.*test\.txt'"):
            evaluate_run("pair")
        assert evaluate_run("pair", held_out="moved.txt") == measured
        assert make_env("pair", held_out="moved.txt").task.config.held_out == "moved.txt"
        config = changed(config, task={"held_out": "moved.txt"})
        assert without_time(Experiment(config, "other", start_from="pair", progress=False).run()) == records
        assert resume(config, Path("pair")) == records
        assert RunConfig.load(Path("pair") / "config.json").task.held_out == os.path.abspath("moved.txt")
        Path("other.txt").write_text("a eat v\nb eat u\n")
        for wrong in (text_config("ours.txt"), changed(config, task={"held_out": "other.txt"})):
            with pytest.raises(ValueError, match=r"ours\.txt.* has changed since the run began, or is another source"):
                resume(wrong, Path("pair"))

    def test_maximum_likelihood_is_shared_by_a_run_on_the_file_that_moved(self, text_run: Path) -> None:
        os.rename("ours.txt", "moved.txt")
        shared = Experiment(text_config("moved.txt"), "other", start_from=text_run, progress=False).run()
        assert without_time(shared) == stored(text_run)

    def test_another_text_is_refused(self, text_run: Path) -> None:
        Path("other.txt").write_text("we go home\nyou go away\n" * 9)
        for use in (
            lambda: evaluate_run(text_run, source="other.txt"),
            lambda: resume(text_config("other.txt"), text_run),
            lambda: Experiment(text_config("other.txt"), "new", start_from=text_run, progress=False),
        ):
            with pytest.raises(ValueError, match=r"other\.txt has changed since the run began, or is another source"):
                use()

    def test_another_oracle_file_is_refused(self, tmp_path: Path) -> None:
        """Its arrays have no checksum of their own: the run knows that of the file."""
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps(LSTMOracle(12, 5, 4, 4, seed=1).parameters))
        config = changed(text_config(str(path)), task={"max_length": 5})
        Experiment(config, tmp_path / "run", progress=False).run()
        assert resume(config, tmp_path / "run") == stored(tmp_path / "run")
        path.write_bytes(pickle.dumps(LSTMOracle(12, 5, 4, 4, seed=2).parameters))
        for use in (lambda: evaluate_run(tmp_path / "run"), lambda: resume(config, tmp_path / "run")):
            with pytest.raises(ValueError, match=r"oracle\.pkl has changed since the run began, or is another source"):
                use()


class TestLonger:
    @pytest.mark.parametrize("n_before", [0, 3, 4])
    def test_a_longer_run_is_the_one_that_was_that_long(self, n_before: int, finished: Path, tmp_path: Path) -> None:
        """Also after an evaluation that stood only at the end; ``TINY`` measures every second update."""
        Experiment(changed(TINY, agent={"n_updates": n_before}), tmp_path / "run", progress=False).run()
        assert resume(TINY, tmp_path / "run") == stored(finished)
        assert stored(tmp_path / "run") == stored(finished)
        assert RunConfig.load(tmp_path / "run" / "config.json") == TINY
        assert resume(TINY, tmp_path / "run") == stored(finished)

    def test_fewer_updates_than_were_made_are_refused(self, run: Path) -> None:
        with pytest.raises(ValueError, match=r"has made 6 updates; agent\.n_updates must be at least that, got 5"):
            resume(changed(TINY, agent={"n_updates": 5}), run)

    def test_a_step_size_that_depends_on_the_updates_forbids_it(self) -> None:
        falling = changed(TINY, agent={"final_learning_rate": 1e-4})
        with pytest.raises(ValueError, match=r"the run has other settings: agent\.n_updates 9 instead of 6"):
            check_settings(falling, changed(falling, agent={"n_updates": 9}), "the run")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"pretraining": {"n_epochs": 4}}, "pretraining.n_epochs 4 instead of 3"),
            ({"agent": {"n_episodes": 9}}, "agent.n_episodes 9 instead of 8"),
            (
                {"agent": {"n_updates": 9, "final_learning_rate": 1e-4}},
                "agent.final_learning_rate 0.0001 instead of None",
            ),
            ({"evaluation": {"every": 3}}, "evaluation.every 3 instead of 2"),
            ({"adversary": {"n_rounds": 3}}, "adversary.n_rounds 3 instead of 2"),
            ({"runtime": {"matmul_precision": "high"}}, "runtime.matmul_precision 'high' instead of None"),
            ({"task": {"source": "grammar", "vocab_size": None, "max_length": None}}, "task.source 'grammar' instead"),
            ({"seed": 1}, "seed 1 instead of 0"),
        ],
    )
    def test_the_past_does_not_change(self, changes: dict[str, Any], said: str, run: Path) -> None:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with pytest.raises(ValueError, match=rf"the run in .* has other settings: .*{said}"):
            resume(changed(TINY, **changes), run)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


class TestStartFrom:
    def test_the_run_it_started_from_may_be_named_again_and_no_other(self, finished: Path, tmp_path: Path) -> None:
        config = changed(TINY, agent={"n_updates": 2})
        Experiment(config, tmp_path / "run", start_from=finished, progress=False).run()
        records = stored(tmp_path / "run")
        assert resume(config, tmp_path / "run", start_from=finished) == records
        Experiment(config, tmp_path / "other", progress=False).run()
        with pytest.raises(ValueError, match=r"the run in .*run did not start from .*other"):
            resume(config, tmp_path / "run", start_from=tmp_path / "other")


def test_a_run_that_has_lost_its_checkpoint_is_not_begun_anew(run: Path) -> None:
    (run / "checkpoint.zip").unlink()
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"^\S+/run/checkpoint\.zip is missing, of a run that was measured \d+ times$"):
        resume(TINY, run)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(run: Path) -> None:
    (run / "checkpoint.zip").unlink()
    whole = stored(run)
    first = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    (run / "metrics.jsonl").write_text(first)
    assert resume(TINY, run) == whole
