"""The comparison of algorithms: a search, the best settings, the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.sweeps.spec import cells_of
from benchmarks import algorithms
from benchmarks.harness import section


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that takes seconds."""
    names = {"embedding_dim": 2, "hidden_dim": 2}
    task = {
        "name": "SeqGANGrammar-v0",
        "n_real": 40,
        "n_held_out": 40,
        "discriminator": "gru",
        "discriminator_kwargs": names,
        "generator": {"kwargs": names},
        "pretraining": {"n_epochs": 1},
        "adversary": {"n_rounds": 1, "n_generated": 8},
    }
    rates = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    monkeypatch.setattr(algorithms, "TASKS", {"SeqGANGrammar-v0": task})
    monkeypatch.setattr(algorithms, "RANGES", {"ppo": rates, "dqn": rates, "maximum_likelihood": rates})
    monkeypatch.setattr(algorithms, "REWARDS", ("log_d", "constant"))
    monkeypatch.setattr(algorithms, "SHAPINGS", ("length",))
    monkeypatch.setattr(algorithms, "BUDGET", {"steps": 40, "evaluations": 1})
    monkeypatch.setattr(algorithms, "_RUN", {"evaluation": {"n": 20, "metrics": ["text"]}, "agent": {"n_episodes": 2}})


def result(algorithm: str, label: str, value: float | None, **settings: Any) -> dict[str, Any]:
    """A run that ended with a sum of divergences, or failed."""
    found = {"axes": {"algorithm": algorithm, "settings": label}, "settings": {"other": 1, **settings}}
    ended = {"status": "failed"} if value is None else {"status": "done", "records": [{"kl_sum": value}]}
    return {**found, **ended}


def test_the_best_settings_have_the_least_mean() -> None:
    found = [
        result("ppo", "a", 1.0, rate=1),
        result("ppo", "a", 4.0, rate=1),
        result("ppo", "b", 2.0, rate=2),
        result("ppo", "b", 2.0, rate=2),
        result("ppo", "c", None, rate=3),
        result("a2c", "a", 0.0, rate=1),
    ]
    ranked = algorithms.by_settings(found, [{"name": "ppo", "search": {"trials": 3, "rate": [1, 2, 3]}}])
    assert [row["settings"] for row in ranked["ppo"]] == [{"rate": 2}, {"rate": 1}, {"rate": 3}]
    assert [row["score"] for row in ranked["ppo"]] == [2.0, 2.5, float("inf")]


def test_without_a_likelihood_pairs_of_tokens_are_compared() -> None:
    assert algorithms.score({"status": "done", "records": [{"js_2": 0.5}]}) == 0.5
    assert algorithms.score({"status": "done", "records": [{"js_2": 0.5, "kl_sum": 2.0}]}) == 2.0


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_search_decides_what_is_compared(tmp_path: Path) -> None:
    searched, results = tmp_path / "search.json", tmp_path / "algorithms.json"
    algorithms.search(tmp_path / "search", results=searched, workers=1, trials=2)
    best = json.loads(searched.read_text())["tasks"]["SeqGANGrammar-v0"]
    assert {name: len(rows) for name, rows in best.items()} == {"ppo": 2, "dqn": 2, "maximum_likelihood": 2}
    algorithms.run(tmp_path / "run", seeds=1, results=results, workers=1, searched=searched)
    document = json.loads(results.read_text())
    runs = document["tasks"]["SeqGANGrammar-v0"]
    # two rewards of both algorithms, log D with a shaping, maximum likelihood and random tokens
    assert len(runs) == 2 * 2 + 1 + 2
    assert not [each for each in runs if "error" in each]
    text = algorithms.tables(document)
    assert "| ppo |" in text
    assert "| algorithm | none | length | scored | seconds |" in text
    assert "| algorithm | log_d | constant | – | scored | seconds |" in text


@pytest.mark.parametrize("task", algorithms.TASKS)
def test_every_combination_can_be_played(task: str) -> None:
    entries = [{"name": name, "search": {"trials": 2, **ranges}} for name, ranges in algorithms.RANGES.items()]
    spec = {"task": [algorithms.TASKS[task]], "budget": algorithms.BUDGET, "run": algorithms._RUN}
    assert len(cells_of({**spec, "algorithm": entries, "reward": list(algorithms.REWARDS)})) == 6 * 2 * 5 + 2
    assert cells_of({**spec, "algorithm": ["seqgan", "ppo"], "shaping": ["none", *algorithms.SHAPINGS]})


def test_the_tables_are_made_from_the_committed_results() -> None:
    if not algorithms.FILE.exists():
        pytest.skip("no results are committed")
    assert algorithms.tables(json.loads(algorithms.FILE.read_text())) == section(algorithms.PAGE, "algorithms")
