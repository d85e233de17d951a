"""The choice of a discriminator is measured beside the game."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from benchmarks import reranking
from tests.support.runs import SHORT, changed, without_pictures


def test_a_judge_without_a_game_shares_all_but_the_game() -> None:
    runs = reranking._runs(7, "small generator")
    for name in reranking.JUDGES:
        game, judge = runs[name], runs[f"{name}-judge"]
        assert judge.agent.n_updates == 0 < game.agent.n_updates
        assert judge.of_pretraining == game.of_pretraining
        assert judge.task == game.task


def test_every_choice_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "JUDGES", ("log_d",))
    monkeypatch.setattr(reranking, "CANDIDATES", {1.0: (2, 3), 0.8: (2,)})
    monkeypatch.setattr(
        reranking, "_runs", lambda *_: {"log_d": SHORT, "log_d-judge": changed(SHORT, agent={"n_updates": 0})}
    )
    file, measure = tmp_path / "results.json", reranking.evaluate_run
    for again in (False, True):
        if again:
            monkeypatch.setattr(reranking, "evaluate_run", lambda *_, **__: pytest.fail("it is measured again"))
        reranking.run(tmp_path / "runs", seeds=1, results=file, workers=1)
        document = json.loads(file.read_text())
        keys = [reranking.ALONE, f"{reranking.ALONE}, best T"]
        keys += [f"{rule} {n}" for n in ("2", "3", "2, T = 0.8") for rule in reranking.RULES]
        expected = [f"log D, {generator}, {key}" for generator in ("SeqGAN", "max. likelihood") for key in keys]
        assert sorted(document["rows"]) == sorted(expected)
        assert all(set(own[0]) == {*reranking.KEPT, "temperature"} for own in document["rows"].values())
        assert "| log D, SeqGAN, best_of 2 |" in reranking.table(document)
    monkeypatch.setattr(reranking, "evaluate_run", measure)
    document["rows"] = {row: [] for row in ("log D, max. likelihood, gone", "other, SeqGAN, alone")}
    file.write_text(json.dumps(document))
    reranking.run(tmp_path / "part", seeds=1, results=file, workers=1, only=("log_d-judge",))
    rows = json.loads(file.read_text())["rows"]
    assert sorted(rows) == sorted(["other, SeqGAN, alone", *(each for each in expected if "likelihood" in each)])
    with pytest.raises(ValueError, match=r"seeds must be as in the rows that stay, \[1\], got \[1, 2\]"):
        reranking.run(tmp_path / "part", seeds=2, results=file, only=("log_d",))
    with pytest.raises(ValueError, match="only must be one of log_d, log_d-judge; got 'exact'"):
        reranking.run(tmp_path / "part", seeds=1, results=file, only=("exact",))


def test_language_models_are_measured_without_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "N_EPOCHS", 2)
    monkeypatch.setattr(reranking, "CURVE", (1.0, 0.5))
    judge = {
        "discriminator": "generative",
        "discriminator_kwargs": {"n_members": 2, "hidden_dim": 8, "embedding_dim": 8, "n_epochs": 2},
        "reward": "log_ratio",
    }
    with without_pictures():
        Experiment(changed(SHORT, task=judge, agent={"n_updates": 0}), tmp_path / "run").run()
    curves = reranking.model_curves(tmp_path / "run")
    assert [[record["temperature"] for record in curve] for curve in curves.values()] == [[1.0, 0.5]] * 3
    own = evaluate_run(tmp_path / "run")
    assert len({own["nll_test"], *(curve[0]["nll_test"] for curve in curves.values())}) == 4
    monkeypatch.setattr(reranking, "load_generator", lambda *_, **__: pytest.fail("it is measured again"))
    assert reranking.model_curves(tmp_path / "run") == curves
