"""The search: it resumes, repeats, prunes, and sees validation sequences alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agents import cli
from agents.cli import training
from agents.runs import evaluation
from agents.runs import tune as module
from agents.runs.experiment import Experiment
from agents.runs.folder import RunFolder
from agents.runs.search_space import SPACE, Range, Space, with_settings
from agents.runs.tune import SearchFolder, tune
from agents.runs.tune_report import best_first
from tests.support.runs import TINY, changed, flags_of

CONFIG = changed(TINY, pretraining={"n_epochs": 2})
N = 12
"""Trials: two more than are drawn blindly."""


def without_time(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in trial.items() if name != "seconds"} for trial in results["trials"]]


def stored(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "tune.json").read_text())
    return results


class _Untouchable:
    """Something that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test half was asked for its {name}")

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("the test half was read")

    def __len__(self) -> int:
        raise AssertionError("the test half was counted")


class TestBadInput:
    """Refused before any work; none of this needs Optuna."""

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"n_trials": 0}, "trials must be a whole number of at least 1, got 0"),
            ({"n_workers": 0}, "workers must be a whole number of at least 1, got 0"),
            ({"config": changed(TINY, pretraining={"n_epochs": 0})}, "n_epochs must be a whole number of at least 1"),
            ({"space": {}}, "at least one setting"),
            ({"space": {"pretraining.lr": Range(0.1, 0.2)}}, r"got 'pretraining\.lr'"),
            ({"space": {"pretraining.warmup": Range(0.0, 1.0)}}, "warmup must be a finite number in"),
        ],
    )
    def test_is_refused(self, arguments: dict[str, Any], says: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=says):
            tune(**{"config": CONFIG, "out": tmp_path / "out", "n_trials": 1, **arguments})
        assert not (tmp_path / "out").exists()

    def test_a_missing_optuna_is_one_clear_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        assert cli.main(["tune", "--preset", "small", "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("seqgan: error: ")
        assert "pip install 'seqgan-env[tune]'" in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_flags_that_leave_nothing_to_search_are_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fixed = [
            *("--pretraining.warmup", "0"),
            *("--pretraining.weight-decay=0", "--pretraining.label_smoothing", "0"),
        ]
        fixed += ["--pretraining.learning-rate", "0.1", "--pretraining.batch-size", "8", "--generator.dropout", "0"]
        fixed += ["--generator.embedding-std", "1", "--generator.n-layers=2", "--generator.no-variational"]
        fixed += ["--pretraining.schedule", "constant", "--pretraining.weight-averaging", "0.9"]
        assert cli.main(["tune", "--preset", "small", "--out", str(tmp_path / "out"), *fixed]) == 2
        assert "at least one setting that no flag fixes" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing interrupted."""
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("tune") / "whole"
    tune(CONFIG, folder, N, progress=False)
    return folder


def test_a_search_writes_what_it_found(whole: Path) -> None:
    results = stored(whole)
    assert results["config"] == CONFIG.to_dict()
    assert results["seed"] == CONFIG.seed
    assert results["space"].keys() == SPACE.keys()
    assert results["versions"].keys() == {"optuna", "torch", "numpy"}
    assert [trial["number"] for trial in results["trials"]] == list(range(N))
    for trial in results["trials"]:
        assert trial["nll_validation"] == min(trial["values"])
        assert trial["seconds"] > 0
        for name, value in trial["settings"].items():
            values = SPACE[name]
            if isinstance(values, tuple):
                assert value in values
                continue
            assert values.low <= value <= values.high
            assert value == float(f"{value:.3g}")
    for name, values in SPACE.items():
        if isinstance(values, tuple):  # as the network and the trainer take them, from the first value to the last
            assert {trial["settings"][name] for trial in results["trials"]} == set(values)
    drawn = [tuple(trial["settings"].values()) for trial in results["trials"]]
    assert len(set(drawn)) == N


def test_the_best_settings_train_to_the_same_likelihood(whole: Path, tmp_path: Path) -> None:
    best = best_first(stored(whole))[0]
    run = Experiment(with_settings(CONFIG, best["settings"]), tmp_path / "run", progress=False)
    records = run.run(pretraining_only=True)
    assert [r["nll_validation"] for r in records if r["phase"] == "maximum_likelihood"] == best["values"]


@pytest.mark.parametrize("when", ["in a trial", "before its settings are noted", "after its end"])
def test_an_interrupted_search_goes_on_to_the_same_trials(
    whole: Path, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the half line that a kill may leave; none is repeated."""
    optuna = pytest.importorskip("optuna")
    folder, calls = SearchFolder(tmp_path / "run"), 0
    owner, name = {
        "in a trial": (module, "Game"),
        "before its settings are noted": (optuna.Trial, "set_user_attr"),
        "after its end": (SearchFolder, "save"),
    }[when]
    work = getattr(owner, name)

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return work(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(CONFIG, folder.path, N, progress=False)
    n_before = len(stored(folder.path)["trials"])
    assert 0 < n_before < N
    with open(folder.journal, "a") as journal:
        journal.write('{"op_code":')
    tried: list[int] = []
    work_on_trial = module._try
    monkeypatch.setattr(module, "_try", lambda *job: (tried.append(job[-1]), work_on_trial(*job)))
    tune(CONFIG, folder.path, N, progress=False)
    assert without_time(stored(folder.path)) == without_time(stored(whole))
    assert tried == list(range(n_before + (when == "after its end"), N))
    tried.clear()
    tune(CONFIG, folder.path, N, progress=False)
    assert tried == []


def test_another_seed_draws_other_settings(whole: Path, tmp_path: Path) -> None:
    other = tune(changed(CONFIG, seed=1), tmp_path / "run", 1, progress=False)
    assert other["trials"][0]["settings"] != stored(whole)["trials"][0]["settings"]


def test_several_workers_do_every_trial_once(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    results = tune(CONFIG, tmp_path / "run", 4, n_workers=2, progress=False)
    assert [trial["number"] for trial in results["trials"]] == [0, 1, 2, 3]
    assert stored(tmp_path / "run") == results
    assert len({tuple(trial["settings"].values()) for trial in results["trials"]}) == 4


@pytest.mark.usefixtures("without_pictures")
def test_the_test_half_is_not_looked_at(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = evaluation.split_held_out
    monkeypatch.setattr(evaluation, "split_held_out", lambda task: (split(task)[0], _Untouchable()))
    results = tune(CONFIG, tmp_path / "run", 1, progress=False)
    assert without_time(results) == without_time(stored(whole))[:1]
    with pytest.raises(AssertionError, match="the test half"):
        Experiment(CONFIG, tmp_path / "run of all metrics", progress=False).run()


def test_the_worse_trials_are_ended_early_and_say_so(tmp_path: Path) -> None:
    """A step size at which nothing is learned is worse than the median, after half the epochs."""
    pytest.importorskip("optuna")
    config = changed(TINY, pretraining={"n_epochs": 4})
    rates = ("pretraining.learning_rate", (0.05, 1e-7))
    results = tune(config, tmp_path / "run", 16, space=dict([rates]), progress=False)
    pruned = [trial for trial in results["trials"] if trial["state"] == "pruned"]
    assert pruned
    assert {trial["settings"]["pretraining.learning_rate"] for trial in pruned} == {1e-7}
    assert {len(trial["values"]) for trial in pruned} == {2}
    complete = [trial for trial in results["trials"] if trial["state"] == "complete"]
    assert {len(trial["values"]) for trial in complete} == {4}
    assert len(pruned) + len(complete) == 16


def test_a_trial_that_has_made_all_its_epochs_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if only the last of them was worse than the median."""
    pytest.importorskip("optuna")
    told = iter([*(5.0, 4.0, 3.0, 1.0) * 5, 5.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(evaluation.Evaluator, "validation_nll", lambda self: next(told))
    trials = tune(changed(TINY, pretraining={"n_epochs": 4}), tmp_path / "run", 6, progress=False)["trials"]
    assert [(trial["state"], trial["nll_validation"]) for trial in trials] == [("complete", 1.0)] * 5 + [
        ("complete", 2.0)
    ]


def test_a_trial_that_diverges_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr(evaluation.Evaluator, "validation_nll", lambda self: float("nan"))
    (trial,) = tune(CONFIG, tmp_path / "run", 1, progress=False)["trials"]
    assert (trial["state"], trial["nll_validation"], trial["values"]) == ("pruned", None, [])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"config": changed(CONFIG, pretraining={"n_epochs": 3})}, r"pretraining\.n_epochs 3 instead of 2"),
        ({"config": changed(CONFIG, seed=1)}, r"config\.seed 1 instead of 0"),
        ({"space": {"pretraining.learning_rate": Range(0.1, 0.2)}}, r"learning_rate\.low 0\.1 instead of 0\.001"),
    ],
)
def test_a_search_with_other_settings_is_not_mixed_with_this_one(whole: Path, asked: dict[str, Any], says: str) -> None:
    before = (whole / "tune.json").read_bytes()
    with pytest.raises(ValueError, match=says):
        tune(**{"config": CONFIG, "out": whole, "n_trials": N, "progress": False, **asked})
    assert (whole / "tune.json").read_bytes() == before


def test_what_is_no_search_is_left_alone(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(ValueError, match="holds a run"):
        tune(TINY, finished, 1)
    (tmp_path / "tune.json").write_text("{")
    with pytest.raises(ValueError, match=r"tune\.json is not a readable result of a search"):
        tune(TINY, tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["tune.json"]


def test_a_damaged_journal_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    tune(CONFIG, tmp_path / "run", 1, progress=False)
    (tmp_path / "run" / "journal.log").write_text("{}\nnonsense\n")
    with pytest.raises(ValueError, match=r"\A[^\n]*journal\.log is not a readable journal of a search[^\n]*\Z"):
        tune(CONFIG, tmp_path / "run", 2, progress=False)


def test_what_a_link_for_a_journal_leads_to_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    tune(CONFIG, tmp_path / "run", 1, progress=False)
    target, journal = tmp_path / "target", tmp_path / "run" / "journal.log"
    journal.rename(target)
    journal.symlink_to(target)
    before = target.read_bytes()
    tune(CONFIG, tmp_path / "run", 2, progress=False)
    assert target.read_bytes() == before


def test_two_searches_do_not_share_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    with RunFolder(tmp_path / "run").lock(), pytest.raises(ValueError, match="is in use by process"):
        tune(CONFIG, tmp_path / "run", 1, progress=False)


def test_the_command_prints_a_command_that_trains_with_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that a flag gives is held; the command goes on from where it stopped."""
    pytest.importorskip("optuna")
    small: Space = {name: SPACE[name] for name in ("pretraining.learning_rate", "generator.kwargs.dropout")}
    monkeypatch.setattr(training, "SPACE", small)
    held = {**TINY.generator.kwargs, "dropout": 0.25}
    config = changed(CONFIG, generator={"kwargs": held})
    searched = ["--pretraining.learning-rate", str(CONFIG.pretraining.learning_rate)]
    words = flags_of(config)
    at = words.index(searched[0])
    given = ["--preset", "small", *words[:at], *words[at + 2 :]]
    command = ["tune", *given, "--out", str(tmp_path / "run"), "--workers=1", "--trials"]
    for n in ("1", "2"):
        assert cli.main([*command, n]) == 0
    out = capsys.readouterr().out
    results = stored(tmp_path / "run")
    assert (tmp_path / "run" / "tune.png").read_bytes().startswith(b"\x89PNG")
    assert len(results["trials"]) == 2
    assert list(results["space"]) == ["pretraining.learning_rate"]
    printed = [line.split() for line in out.splitlines() if line.startswith("seqgan train")][-1]
    asked: list[Any] = []
    monkeypatch.setattr(training.Train, "run", lambda self, config: asked.append(config))
    assert cli.main(printed[1:]) == 0
    assert asked == [with_settings(config, best_first(results)[0]["settings"])]
