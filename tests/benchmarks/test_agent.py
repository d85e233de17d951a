"""The benchmark of the agent's options: each changes what it says, and the tables say what was measured."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks import agent
from benchmarks.curves import KEPT
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


FIELDS: dict[str, tuple[str, ...]] = {
    "base": (),
    "inner sums": ("agent.inner_sums",),
    "no inner sums": ("agent.inner_sums", "agent.forward_kl"),
    "without inner sums": ("agent.inner_sums", "agent.forward_kl"),
    "without forward KL": ("agent.forward_kl",),
    "log-ratio alone": ("task.reward", "task.reward_kwargs"),
    "both divergences": ("task.reward", "task.reward_kwargs"),
    "reward of the whole": ("agent.dense",),
    "episodes": ("agent.n_episodes",),
    "completions": ("agent.n_completions", "agent.baseline", "agent.dense"),
    "entropy bonus": ("agent.entropy_bonus",),
    "teacher forcing": ("agent.teacher_forcing",),
    "KL to pretrained": ("agent.kl_penalty",),
    "constant step size": ("agent.final_learning_rate",),
}
"""The fields that a part of an option's name, but for its number, says are changed: that of the number comes first."""


def fields_of(config: Any) -> dict[str, Any]:
    return {
        f"{part}.{name}": value
        for part, own in config.to_dict().items()
        if part != "seed"
        for name, value in own.items()
    }


@pytest.mark.parametrize("name", agent.TASKS)
def test_an_option_changes_what_its_name_says_and_nothing_else(name: str, tmp_path: Path) -> None:
    task = agent.TASKS[name]
    runs = agent.games(task, 7, tmp_path / "p.safetensors")
    assert len(runs) == len(agent.JUDGES) * len(task.options)
    for judge in agent.JUDGES:
        base = fields_of(runs[f"{judge}, base"])
        for option in task.options:
            config = runs[f"{judge}, {option}"]
            assert (config.seed, config.is_exact, config.is_adversarial) == (7, judge == "exact", judge != "exact")
            start = dataclasses.replace(task.preset, seed=7, evaluation=config.evaluation)
            assert config.of_pretraining == start.of_pretraining
            own, expected = fields_of(config), set()
            for part in option.split(", "):
                number = re.search(r"[\d.,]+", part)
                fields = FIELDS[part.replace(number[0] if number else "", "").strip()]
                expected |= set(fields)
                assert not number or own[fields[0]] == float(number[0].replace(",", ""))
            if "agent.dense" in expected and base["agent.inner_sums"]:  # which are sums of dense values
                expected |= set(FIELDS["no inner sums"])
            assert {field for field in own if own[field] != base[field]} == expected


def test_a_row_is_of_its_own_game_and_the_distilled_one_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline is what all games of a seed began with; distillation begins there."""
    distilled: list[tuple[Any, ...]] = []
    took = {"generative, base": 33.0}

    def play(runs: Any, out: Path, n_workers: int) -> dict[str, list[dict[str, Any]]]:
        seed = int(out.name)
        return {
            name: [
                *row(seed, TEMPERATURE)["records"],
                {"phase": ADVERSARIAL, "wall_time_s": 5.0},
                *row(100 * k + seed)["records"],
                {"phase": ADVERSARIAL, "wall_time_s": 5.0 + took.get(name, 7.0) + seed},
            ]
            for k, name in enumerate(runs, 1)
        }

    monkeypatch.setattr(agent, "compare", play)
    monkeypatch.setattr(agent.distillation, "train", lambda *job: distilled.append(job) or {"n_epochs": job[3]})
    monkeypatch.setattr(agent, "side_by_side", lambda work, jobs, n: {key: work(*job) for key, job in jobs.items()})
    task, seeds = agent.TASKS["small"], [1, 2]
    rows = agent.measure(task, tmp_path / "out", seeds, 1)
    runs = agent.games(task, 1, tmp_path / "out.safetensors")
    assert list(rows) == [agent.BASELINE, *runs, agent.DISTILLED]
    for k, name in enumerate([agent.BASELINE, *runs]):
        for own, seed in zip(rows[name], seeds, strict=True):
            assert own["seconds"] == (took.get(name, 7.0) + seed if k else 0.0)
            expected = row(100 * k + seed, FINAL_TEMPERATURE if k else TEMPERATURE)["records"]
            assert own["records"] == [{key: r[key] for key in ("phase", *KEPT)} for r in expected]
    first = next(iter(runs))
    for (config, start, learned, n_epochs, file), seed in zip(distilled, seeds, strict=True):
        assert config == agent.games(task, seed, learned)[first]
        assert start == tmp_path / "out" / str(seed) / first
        assert (learned, n_epochs) == ((tmp_path / "out.safetensors").resolve(), task.n_epochs)
        assert str(seed) in file.name


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
