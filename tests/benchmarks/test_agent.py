"""The benchmark of the agent's options: each changes what it says, and the tables say what was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks import agent
from benchmarks.harness import section
from benchmarks.rewards.games import SCENARIOS


def row(shift: float, phase: str = FINAL_TEMPERATURE) -> dict[str, Any]:
    """The measurements of a run whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_forward": 1.0}
        | {"kl_reverse": 2.0 + shift, "kl_sum": 3.0 + shift + t}
        for t in TEMPERATURES
    ]
    return {"seconds": 10 + shift, "records": records}


def document() -> dict[str, Any]:
    names = [f"{judge}, {option}" for judge in agent.JUDGES for option in agent.TASKS["grammar"].options]
    rows = {agent.BASELINE: [row(0.0, TEMPERATURE), row(1.0, TEMPERATURE)]}
    rows |= {name: [row(-0.5), row(0.5)] for name in (*names, agent.DISTILLED)}
    return {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "tasks": {"a": rows}}


@pytest.mark.parametrize("name", agent.TASKS)
def test_an_option_changes_one_part_of_the_base(name: str, tmp_path: Path) -> None:
    task = agent.TASKS[name]
    runs = agent.games(task, 7, tmp_path / "p.safetensors")
    assert len(runs) == len(agent.JUDGES) * len(task.options)
    for judge in agent.JUDGES:
        base = runs[f"{judge}, base"].to_dict()
        for option, changes in task.options.items():
            config = runs[f"{judge}, {option}"]
            assert (config.seed, config.is_exact, config.is_adversarial) == (7, judge == "exact", judge != "exact")
            start = dataclasses.replace(task.preset, seed=7, evaluation=config.evaluation)
            assert config.of_pretraining == start.of_pretraining
            own = config.to_dict()
            assert {part for part in own if own[part] != base[part]} == set(changes)


def test_each_task_has_language_models_that_suit_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[Any, Any]] = []
    monkeypatch.setattr(agent, "fit", lambda preset, file, models: fitted.append((preset, models)))
    monkeypatch.setattr(agent, "measure", lambda *arguments: {})
    monkeypatch.setattr(agent, "side_by_side", lambda work, jobs, workers: [work(*job) for job in jobs.values()])
    agent.run(tmp_path / "runs", 1, tmp_path / "results.json", 1)
    known = [
        (scenario.config, scenario.games["generative"]["task"]["discriminator_kwargs"])
        for scenario in SCENARIOS.values()
    ]
    assert len(fitted) == len(agent.TASKS)
    assert all(pair in known for pair in fitted)


def test_the_tables_are_of_the_differences_within_a_seed(tmp_path: Path) -> None:
    text = agent.tables(document(), tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("| generative, inner sums |"))
    assert line.split(" | ")[1].startswith("1.000 ± 0.000")
    assert line.split(" | ")[4] == "-0.500 ± 0.000"
    assert line.split(" | ")[5] == "18 of 18 levels, 2 of 2 seeds"
    assert line.endswith("| 10 |")
    assert (tmp_path / "agent.svg").read_text().count("teacher forcing") == 2


@pytest.mark.skipif(not agent.FILE.exists(), reason="no results are committed")
def test_the_tables_are_made_from_the_committed_results() -> None:
    assert agent.tables(json.loads(agent.FILE.read_text(encoding="utf-8"))) == section(agent.PAGE, "agent")
