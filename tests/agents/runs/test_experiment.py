"""Whole runs: what they write, that they repeat, and that an interrupted one loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.checkpoint import load_checkpoint
from agents.cli import main
from agents.gradient import Estimate
from agents.runs.config import RunConfig
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.seqgan import SeqGAN
from seqgan_env.descent import check_weights
from seqgan_env.metrics import columns
from seqgan_env.sources import corpus as corpus_module
from tests.support.runs import SHORT, TINY, changed, flags_of, stored, without_time

pytestmark = pytest.mark.usefixtures("without_pictures")


def test_a_run_writes_what_the_readme_promises(finished: Path) -> None:
    records = stored(finished)
    phases = [record["phase"] for record in records]
    assert phases[0] == "random"
    assert phases.count("maximum_likelihood") == TINY.pretraining.n_epochs
    assert phases.count("discriminator") == TINY.adversary.n_rounds
    assert [r["step"] for r in records if r["phase"] == "adversarial"] == [0, 2, 4, 6]
    assert RunConfig.load(finished / "config.json") == TINY
    for name in ("nll_oracle", "nll_test", "entropy", "kl_forward", "kl_reverse", "discriminator_log_loss"):
        assert np.isfinite([r[name] for r in records if r["phase"] == "adversarial"]).all()
    # pretraining makes version 1; every two updates play 16 episodes, after which the discriminator is retrained
    assert [r["discriminator_version"] for r in records if r["phase"] == "adversarial"] == [1, 2, 3, 4]
    page = (finished / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
    assert 'src="http' not in page
    assert len((finished / "samples.txt").read_text().splitlines()) == 200
    assert list((finished / "tensorboard").glob("events*"))
    assert SeqGAN.load(finished / "agent.zip").sample(3).shape == (3, 5)


def test_the_measures_of_a_discriminator_are_wherever_metrics_are(finished: Path) -> None:
    names = {name for name, column in columns().items() if column.subject == "discriminator"}
    assert names <= next(r for r in reversed(stored(finished)) if r["phase"] == "adversarial").keys()
    assert names <= evaluate_run(finished).keys()
    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    assert {f"adversarial/{name}" for name in names} <= set(events.Tags()["scalars"])
    page = (finished / "report.html").read_text()
    for name in names:
        column = columns()[name]
        assert (f"<th>{column.label}</th>" in page) == column.in_tables
        assert column.in_tables or f'alt="Adversarial game: {column.panel}"' in page


def test_the_same_seed_gives_the_same_run_and_another_seed_another(finished: Path, tmp_path: Path) -> None:
    again = Experiment(TINY, tmp_path / "again", progress=False).run()
    other = Experiment(changed(TINY, seed=1), tmp_path / "other", progress=False).run()
    assert without_time(again) == stored(finished)
    assert without_time(other) != stored(finished)


@pytest.mark.parametrize("stop_after", [0, 1, 3, 4, 13, 14, 15, 17])
def test_resuming_after_any_evaluation_equals_never_stopping(finished: Path, tmp_path: Path, stop_after: int) -> None:
    class Interrupted(Experiment):
        def measure(self, phase: str, step: int, temperature: float = 1.0, **more: float | None) -> dict[str, Any]:
            if len(self.records) == stop_after:
                raise KeyboardInterrupt
            return super().measure(phase, step, temperature, **more)

    with pytest.raises(KeyboardInterrupt):
        Interrupted(TINY, tmp_path / "run", progress=False).run()
    assert len(stored(tmp_path / "run")) == stop_after
    Experiment(TINY, tmp_path / "run", resume=True, progress=False).run()
    assert stored(tmp_path / "run") == stored(finished)
    kept, expected = (SeqGAN.load(folder / "agent.zip").sample(20) for folder in (tmp_path / "run", finished))
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("agent", [{"kl_penalty": 0.5}, {"weight_averaging": 0.9}], ids=str)
def test_a_run_remembers_the_other_weights_of_its_generator(agent: dict[str, float], tmp_path: Path) -> None:
    """Those when the game began, or those that learn beside their average, when it is resumed in the game."""
    config = changed(SHORT, agent=agent)
    runs = {name: Experiment(config, tmp_path / name, progress=False) for name in ("through", "stopped")}
    runs["through"].run()

    def stop() -> None:
        if runs["stopped"].game.agent.n_updates == 2:
            raise KeyboardInterrupt

    runs["stopped"].game.agent.train = (  # type: ignore[method-assign]
        lambda episodes, train=runs["stopped"].game.agent.train: (stop(), train(episodes))[1]
    )
    with pytest.raises(KeyboardInterrupt):
        runs["stopped"].run()
    Experiment(config, tmp_path / "stopped", resume=True, progress=False).run()
    assert stored(tmp_path / "stopped") == stored(tmp_path / "through")


def test_a_crash_before_any_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a run are written one after the other; whichever came last, resuming completes them all."""
    config = changed(TINY, pretraining={"n_epochs": 1}, adversary={"n_rounds": 1}, agent={"n_updates": 2})
    monkeypatch.setattr("agents.runs.phases.TEMPERATURES", (1.0, 0.5))
    whole, written = tmp_path / "whole", list[str]()
    replace = os.replace

    def replace_and_keep(source: Any, target: Any) -> None:
        shutil.copytree(whole, tmp_path / str(len(written)))  # what a crash now would leave
        written.append(Path(target).name)
        replace(source, target)

    with monkeypatch.context() as watched:
        watched.setattr(os, "replace", replace_and_keep)
        Experiment(config, whole, progress=False).run()
    assert {"pretrained.zip", "checkpoint.zip", "agent.zip", "metrics.jsonl"} <= set(written)
    for crash_at in range(written.index("pretrained.zip") - 1, len(written)):
        folder = tmp_path / str(crash_at)
        Experiment(config, folder, resume=True, progress=False).run()
        assert stored(folder) == stored(whole)
        for name in ("agent.zip", "pretrained.zip"):
            kept, expected = (load_checkpoint(run / name)["agent"]["policy"] for run in (folder, whole))
            assert all(torch.equal(kept[weight], expected[weight]) for weight in expected)


WAITS = """
import sys, time
from agents.cli import main
from agents.seqgan import SeqGAN

train = SeqGAN.train

def train_or_wait(agent, *arguments):
    if agent.n_updates == 8:
        print("waits", flush=True)
        time.sleep(120)
    return train(agent, *arguments)

SeqGAN.train = train_or_wait
sys.exit(main(sys.argv[1:]))
"""
"""``seqgan`` that waits in its ninth update, so that a signal finds it there however fast the machine is."""


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_process_resumes_to_the_same_metrics(tmp_path: Path, kill: signal.Signals) -> None:
    config = changed(SHORT, agent={"n_updates": 12}, evaluation={"every": 3})
    arguments = ["train", "--preset", "small", "--out", str(tmp_path / "killed"), *flags_of(config)]
    command = [sys.executable, "-c", WAITS, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if "waits\n" not in iter(process.stdout.readline, ""):
                pytest.fail(str(process.communicate()))
            process.send_signal(kill)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert [r["step"] for r in stored(tmp_path / "killed") if r["phase"] == "adversarial"] == [0, 3, 6]
    if kill is signal.SIGINT:
        assert process.returncode == 130
        assert "--resume" in stderr.splitlines()[-1]
    n_before = len(stored(tmp_path / "killed"))
    assert main([*arguments, "--resume"]) == 0
    uninterrupted = Experiment(config, tmp_path / "whole", progress=False).run()
    assert n_before < len(uninterrupted)
    assert stored(tmp_path / "killed") == without_time(uninterrupted)


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    Experiment(TINY, folder, resume=True, progress=False).run()
    assert stored(folder) == stored(finished)


def test_edited_settings_are_not_taken_up(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint holds those that the run began with; neither the command line nor Python believes another file."""
    folder = shutil.copytree(finished, tmp_path / "copy")
    edited = changed(TINY, agent={"n_episodes": 9}, evaluation={"n": 7})
    edited.save(folder / "config.json")
    message = "agent.n_episodes 9 instead of 8, evaluation.n 7 instead of 50"
    with pytest.raises(ValueError, match=message):
        Experiment(edited, folder, resume=True)
    assert main(["train", "--resume", "--out", str(folder)]) == 2
    assert message in capsys.readouterr().err
    assert evaluate_run(folder) == evaluate_run(finished)
    assert stored(folder) == stored(finished)


@pytest.mark.parametrize("part", ["pretraining", "adversary", "agent"])
@pytest.mark.parametrize("vocab_size", [12, 128])
def test_a_run_that_diverges_stops_and_keeps_what_was_finite(
    part: str, vocab_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the vocabulary fills whole blocks of the sampler, a generator of NaN drew tokens all the same."""
    changes = {} if part == "agent" else {part: {"learning_rate": 1e6}}
    config = changed(TINY, task={"vocab_size": vocab_size}, evaluation={"every": 1}, **changes)
    if part == "agent":  # whose advantages and gradients are scaled, so that no step size that is allowed does it
        estimate = SeqGAN.estimate

        def broken(agent: SeqGAN, *arguments: Any) -> Estimate:
            found = estimate(agent, *arguments)
            return found._replace(loss=found.loss * (float("nan") if agent.n_updates == 2 else 1.0))

        monkeypatch.setattr(SeqGAN, "estimate", broken)
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"must be finite, got|has diverged"):
            Experiment(config, tmp_path / "run", resume=resume, progress=False).run()
        check_weights(SeqGAN.load(tmp_path / "run" / "agent.zip").policy, "generator")
        load_checkpoint(tmp_path / "run" / "checkpoint.zip")


def test_the_real_sequences_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source such as a pipe has nothing to give a second time."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"{a} {b}\n" for a in "abcde" for b in "vwxyz"))
    read: list[str] = []
    read_tokens = corpus_module.read_tokens
    monkeypatch.setattr(
        corpus_module, "read_tokens", lambda path, *form: read.append(str(path)) or read_tokens(path, *form)
    )
    config = changed(TINY, task={"source": str(corpus), "vocab_size": None, "max_length": None}, agent={"n_updates": 2})
    Experiment(config, tmp_path / "run", progress=False).run()
    assert read == [str(corpus)]
    assert load_checkpoint(tmp_path / "run" / "checkpoint.zip")["sha256"] == sha256(corpus.read_bytes()).hexdigest()


@pytest.mark.parametrize("task", [{"discriminator": "gru"}, {"discriminator": "generative"}, {"reward": "constant"}])
def test_maximum_likelihood_is_shared_by_games_with_other_discriminators(
    finished: Path, tmp_path: Path, task: dict[str, str]
) -> None:
    """The discriminator of the game is fresh, as without a shared phase, and the generator is the pretrained one."""
    more = {"discriminator_kwargs": {"n_epochs": 1}} if task == {"discriminator": "generative"} else {}
    config = changed(TINY, task={**task, **({"discriminator_kwargs": {}} if "discriminator" in task else {}), **more})
    shared, alone = (
        without_time(Experiment(config, tmp_path / name, start_from=start_from, progress=False).run())
        for name, start_from in (("shared", finished), ("alone", None))
    )
    of_the_game = [[r for r in run if r["phase"] in ("discriminator", "adversarial")] for run in (shared, alone)]
    assert of_the_game[0] == of_the_game[1]
    assert len(of_the_game[0]) > 3


@pytest.mark.parametrize("precision", [None, "highest", "high"])
def test_the_precision_of_torch_is_what_the_run_asks_for(
    precision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    Experiment(changed(TINY, runtime={"matmul_precision": precision}), tmp_path / "run", progress=False)
    assert asked == [precision] * (precision is not None)


def test_the_settings_are_written_once(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "config.json").chmod(0o400)
    before = (folder / "config.json").stat()
    Experiment(TINY, folder, resume=True, progress=False).run()
    after = (folder / "config.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_run_that_shares_its_likelihood_never_trains_it_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    """Killed after any of its first files, it goes on from the likelihood that it was given."""
    config = changed(TINY, agent={"n_updates": 2})
    written: list[str] = []
    replace = os.replace

    def replace_or_crash(source: Any, target: Any) -> None:
        if len(written) == crash_at:
            raise KeyboardInterrupt
        written.append(Path(target).name)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_crash)
        with pytest.raises(KeyboardInterrupt):
            Experiment(config, tmp_path / "run", start_from=finished, progress=False).run()
    assert written[0] == "checkpoint.zip"
    resumed = Experiment(config, tmp_path / "run", resume=True, progress=False)
    monkeypatch.setattr(type(resumed.game.likelihood_trainer), "epoch", lambda *_: pytest.fail("it trains it again"))
    resumed.run()
    Experiment(config, tmp_path / "whole", start_from=finished, progress=False).run()
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")
