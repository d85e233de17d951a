"""The comparison of algorithms: a search, the best settings, the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.sweeps.environment import describe
from agents.sweeps.spec import cells_of
from benchmarks.algorithms import comparison, tables


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
    monkeypatch.setattr(comparison, "TASKS", {"SeqGANGrammar-v0": task})
    monkeypatch.setattr(comparison, "RANGES", {"ppo": rates, "maximum_likelihood": rates})
    monkeypatch.setattr(comparison, "FIXED", {"ppo": {"n_epochs": 1}, "dqn": {"train_freq": 8}})
    monkeypatch.setattr(comparison, "REWARDS", ("log_d", "constant"))
    monkeypatch.setattr(comparison, "SHAPINGS", ("none", "length"))
    monkeypatch.setattr(comparison, "BUDGET", {"steps": 40, "evaluations": 1})
    evaluation = {**comparison._RUN["evaluation"], "n": 20}
    monkeypatch.setattr(comparison, "_RUN", {"evaluation": evaluation, "agent": {"n_episodes": 2}})


def result(algorithm: str, label: str, value: float | None, **settings: Any) -> dict[str, Any]:
    """A run that ended with a sum of divergences, or failed."""
    found = {"axes": {"algorithm": algorithm, "settings": label}, "settings": {"other": 1, **settings}}
    ended = {"status": "failed"} if value is None else {"status": "done", "records": [{comparison.OVERALL: value}]}
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
    ranked = comparison.by_settings(found, [{"name": "ppo", "search": {"trials": 3, "rate": [1, 2, 3]}}])
    assert [row["settings"] for row in ranked["ppo"]] == [{"rate": 2}, {"rate": 1}, {"rate": 3}]
    assert [row["score"] for row in ranked["ppo"]] == [2.0, 2.5, float("inf")]


def test_a_score_that_is_no_number_is_worst() -> None:
    assert comparison.score({"status": "done", "records": [{comparison.OVERALL: float("nan")}]}) == float("inf")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "No such file"),
        ({}, "it lacks 'maximum_likelihood'"),
        ([], "list index out of range"),
        ([{"settings": {}, "score": float("inf")}], "no run of maximum_likelihood has a score"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_a_search_that_cannot_be_used_is_refused(tmp_path: Path, rows: Any, reason: str) -> None:
    searched = tmp_path / "search.json"
    good = [{"settings": {}, "score": 1.0}]
    if rows is not None:
        found = {"ppo": good, **({"maximum_likelihood": rows} if isinstance(rows, list) else {})}
        searched.write_text(json.dumps({"tasks": {"SeqGANGrammar-v0": {"tried": found}}}))
    with pytest.raises(ValueError, match=f"search.json is not a readable search: {reason}"):
        comparison.run(tmp_path / "run", results=tmp_path / "results.json", searched=searched)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("tiny")
def test_runs_of_other_settings_in_the_folder_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: dict[str, dict[str, Any]] = {}
    environment = describe()

    def run_sweep(spec: Any, out: Path, engine: Any) -> list[dict[str, Any]]:
        start = {"kl_sum": 2.0, "js_2": 0.5}
        cost = {"wall_time_s": 1.0, "peak_memory_mb": 300.5}
        more = {"status": "done", "start": start, "records": [start], "environment": environment, **cost}
        folder.update({cell.key: {**cell.header, **more} for cell in cells_of(spec)})
        return list(folder.values())

    monkeypatch.setattr(comparison, "run_sweep", run_sweep)
    results, n = tmp_path / "comparison.json", []
    for rate in (0.001, 0.002):
        rows = {name: [{"settings": {"learning_rate": rate}, "score": 1.0}] for name in comparison.RANGES}
        (tmp_path / "search.json").write_text(json.dumps({"tasks": {"SeqGANGrammar-v0": {"tried": rows}}}))
        comparison.run(tmp_path, seeds=2, results=results, searched=tmp_path / "search.json")
        n.append(len(json.loads(results.read_text())["tasks"]["SeqGANGrammar-v0"]))
        for run in json.loads(results.read_text())["tasks"]["SeqGANGrammar-v0"]:
            assert (run["wall_time_s"], run["peak_memory_mb"]) == (1.0, 300.5)
            assert {name: run[name] for name in ("commit", "versions")}.items() <= environment.items()
    assert n == [2 * (2 * 2 + 1 + 2)] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_search_decides_what_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, results = tmp_path / "search.json", tmp_path / "comparison.json"
    comparison.search(tmp_path / "search", results=searched, workers=1, trials=2)
    best = json.loads(searched.read_text())["tasks"]["SeqGANGrammar-v0"]["tried"]
    assert {name: len(rows) for name, rows in best.items()} == {"ppo": 2, "maximum_likelihood": 2}
    assert {len(row["scores"]) for rows in best.values() for row in rows} == {3}
    starts = [
        json.loads(file.read_text())["start"][comparison.OVERALL]
        for file in (tmp_path / "search/SeqGANGrammar-v0/run").glob("*.json")
    ]
    text = tables.search_table(json.loads(searched.read_text()))
    assert f"**SeqGANGrammar-v0**, from {sum(starts) / len(starts):.3f}:" in text
    assert f"| ppo | {best['ppo'][0]['score']:.3f} |" in text
    assert f"| `learning_rate={best['ppo'][0]['settings']['learning_rate']:g}` |" in text
    comparison.run(tmp_path / "run", seeds=1, results=results, workers=1, searched=searched)
    document = json.loads(results.read_text())
    runs = document["tasks"]["SeqGANGrammar-v0"]
    # two rewards of both algorithms, log D with a shaping, maximum likelihood and random tokens
    assert len(runs) == 2 * 2 + 1 + 2
    assert not [each for each in runs if "error" in each]
    assert {each["algorithm"] for each in runs} == {"ppo", "dqn", "maximum_likelihood", "random"}
    played = [json.loads(file.read_text()) for file in (tmp_path / "run/SeqGANGrammar-v0/run").glob("*.json")]
    assert {run["settings"]["n_epochs"] for run in played if run["axes"]["algorithm"] == "ppo"} == {1}
    assert {run["settings"]["train_freq"] for run in played if run["axes"]["algorithm"] == "dqn"} == {8}
    document["tasks"] = {"SeqGANSmall-v0": [], **document["tasks"]}
    results.write_text(json.dumps(document))
    monkeypatch.setitem(comparison.TASKS, "SeqGANSmall-v0", {})
    comparison.run(tmp_path / "run", 1, results, 1, searched, only=("SeqGANGrammar-v0",))
    assert json.loads(results.read_text())["tasks"] == {"SeqGANGrammar-v0": runs, "SeqGANSmall-v0": []}
    staying = [run | {"seed": 1, "commit": "earlier"} for run in runs]
    results.write_text(json.dumps({**document, "tasks": {**document["tasks"], "SeqGANGrammar-v0": staying}}))
    comparison.run(tmp_path / "run", 1, results, 1, searched, rows=("ppo", "random"), only=("SeqGANGrammar-v0",))
    partly = json.loads(results.read_text())["tasks"]["SeqGANGrammar-v0"]
    assert {run["algorithm"] for run in partly if run["commit"] == "earlier"} == {"dqn", "maximum_likelihood"}
    new = [run for run in partly if run["commit"] != "earlier"]
    assert new == [run for run in runs if run["algorithm"] in ("ppo", "random")]
    assert len(partly) == len(runs)
    results.write_text(json.dumps({**document, "tasks": {**document["tasks"], "SeqGANGrammar-v0": staying}}))
    comparison.run(tmp_path / "run", 1, results, 1, searched, only=("SeqGANGrammar-v0",), shapings=("length",))
    partly = json.loads(results.read_text())["tasks"]["SeqGANGrammar-v0"]
    assert [run for run in partly if run["commit"] != "earlier"] == [run for run in runs if run["shaping"] == "length"]
    assert len(partly) == len(runs)
    begun = [run | {"start": run["start"] | {comparison.OVERALL: -1.0}} for run in staying]
    results.write_text(json.dumps({**document, "tasks": {**document["tasks"], "SeqGANGrammar-v0": begun}}))
    before = results.read_bytes()
    with pytest.raises(ValueError, match=r"seed 1 must begin with kl_sum_best -1\.0, as in the runs that stay, got "):
        comparison.run(tmp_path / "other", 1, results, 1, searched, only=("SeqGANGrammar-v0",), rows=("ppo",))
    assert results.read_bytes() == before
    assert len(list((tmp_path / "other/SeqGANGrammar-v0/run").glob("*.json"))) == 1
    with pytest.raises(ValueError, match="rows that play a shaping must be some of 'seqgan', 'ppo'; got none"):
        comparison.run(tmp_path / "run", 1, results, 1, searched, rows=("dqn",), shapings=("length",))
    other = [run | {"settings": "n_epochs=7"} if run["algorithm"] == "dqn" else run for run in runs]
    results.write_text(json.dumps({**document, "tasks": {**document["tasks"], "SeqGANGrammar-v0": other}}))
    with pytest.raises(ValueError, match=r"dqn stays with n_epochs=7; the search has .*train_freq=8"):
        comparison.run(tmp_path / "run", 1, results, 1, searched, rows=("ppo",), only=("SeqGANGrammar-v0",))
    with pytest.raises(ValueError, match=r"those of the results that stay, \[1\], got \[1, 2\]"):
        comparison.run(tmp_path / "run", 2, results, 1, searched, only=("SeqGANGrammar-v0",))
    monkeypatch.setattr(comparison, "BUDGET", {"steps": 50, "evaluations": 1})
    with pytest.raises(ValueError, match=r"budget must be those of the results that stay, .*40.*, got .*50"):
        comparison.run(tmp_path / "run", 1, results, 1, searched, only=("SeqGANGrammar-v0",))
    with pytest.raises(ValueError, match="only must be some of"):
        comparison.run(tmp_path / "run", 1, results, 1, searched, only=("chess",))
    del document["tasks"]["SeqGANSmall-v0"]
    text = tables.tables(document, tmp_path)
    assert "| ppo |" in text
    assert "| is better than | ppo | maximum_likelihood |" in text
    assert "![The sum of both divergences over steps and over scored sequences.](algorithms-SeqGANGrammar-v0" in text
    assert "maximum_likelihood" in (tmp_path / "algorithms-SeqGANGrammar-v0.svg").read_text()
    assert "| algorithm | none | length |\n" in text
    by_cost = [run for run in runs if run["algorithm"] == "ppo" and run["reward"] == "log_d"]
    for run in by_cost:
        cost = f"{run['records'][-1]['scored']:,} | {run['wall_time_s']:.0f}"
        assert f"| ppo, {run['shaping']} | {cost} |" in text
    assert "| algorithm | log_d | constant | – | scored | seconds |" in text
    document["tasks"]["SeqGANGrammar-v0"] = [run for run in runs if run["shaping"] != "length"]
    assert "shapings" not in tables.tables(document)


def kept(algorithm: str, reward: str, sums: tuple[float, float], scored: int, shaping: str = "none") -> dict[str, Any]:
    """A run of the results, by its sums of both divergences at the start and in the end."""
    start, end = ({comparison.OVERALL: value, "js_2": 0.5} for value in sums)
    records = [start | {"steps": 0, "scored": 0}, end | {"steps": 9, "scored": scored}]
    named = {"algorithm": algorithm, "reward": reward, "shaping": shaping, "seed": 1}
    return named | {"start": start, "records": records, "wall_time_s": 3.0}


def test_tables_compare_changes_and_tell_what_a_reward_costs() -> None:
    """However large the start; without what a constant reward or a run that failed has cost."""
    runs = [
        kept("ppo", "log_d", (4.0, 3.0), 100),
        kept("ppo", "constant", (4.0, 4.0), 900),
        kept("ppo", "log_d", (4.0, 3.5), 300, "length"),
        kept("a2c", "log_d", (2.0, 1.9), 200),
    ]
    failed = {name: value for name, value in runs[2].items() if name not in ("records", "start")} | {"error": "no"}
    environment: dict[str, Any] = {"versions": {}, "gpu": None, "processor": "p"}
    text = tables.tables({"environment": environment, "seeds": [1], "tasks": {"SeqGANTiny-v0": [*runs, failed]}})
    lines = text.splitlines()
    assert "| ppo | -1.000 [-1.000, -1.000] | 0.000 [0.000, 0.000] | 100 | 3 |" in lines
    assert "| ppo | -1.000 [-1.000, -1.000] | -0.500 [-0.500, -0.500] |" in lines
    assert "| ppo, length | 300 | 3 |" in lines
    assert "| ppo |  | 1.00 [1.00, 1.00] |" in lines  # though its sum is the larger


@pytest.mark.parametrize("task", comparison.TASKS)
def test_every_combination_can_be_played(task: str) -> None:
    searched = {name: {"search": {"trials": 2, **ranges}} for name, ranges in comparison.RANGES.items()}
    entries = [
        {"name": name, **comparison.FIXED.get(name, {}), **searched.get(name, {})} for name in comparison.algorithms()
    ]
    spec = {"task": [comparison.TASKS[task]], "budget": comparison.BUDGET, "run": comparison._RUN}
    assert len(cells_of({**spec, "algorithm": entries, "reward": list(comparison.REWARDS)})) == (4 * 2 + 2) * 5 + 2
    assert cells_of({**spec, "algorithm": ["seqgan", "ppo"], "shaping": list(comparison.SHAPINGS)})
