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
from tests.support.runs import TINY


def row(shift: float, phase: str = FINAL_TEMPERATURE) -> dict[str, Any]:
    """The measurements of a run whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_forward": 1.0}
        | {"kl_reverse": 2.0 + shift, "kl_sum": 3.0 + shift + t}
        for t in TEMPERATURES
    ]
    return {"seconds": 10 + shift, "records": records}


def document() -> dict[str, Any]:
    names = [f"{reward}, {option}" for reward in agent.REWARDS for option in agent.OPTIONS]
    rows = {agent.BASELINE: [row(0.0, TEMPERATURE), row(1.0, TEMPERATURE)]}
    rows |= {name: [row(-0.5), row(0.5)] for name in (*names, agent.DISTILLED)}
    return {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "tasks": {"a": rows}}


def test_an_option_changes_one_part_of_the_base(tmp_path: Path) -> None:
    runs = agent.games(TINY, 7, tmp_path / "p.safetensors")
    base = runs["generative, base"].to_dict()
    assert len(runs) == len(agent.REWARDS) * len(agent.OPTIONS)
    for option, changes in agent.OPTIONS.items():
        for reward in agent.REWARDS:
            config = runs[f"{reward}, {option}"]
            assert (config.seed, config.is_exact, config.is_adversarial) == (7, reward == "exact", reward != "exact")
            assert (
                config.of_pretraining == dataclasses.replace(TINY, seed=7, evaluation=config.evaluation).of_pretraining
            )
        own = runs[f"generative, {option}"].to_dict()
        assert {part for part in own if own[part] != base[part]} == set(changes)


def test_the_tables_are_of_the_differences_within_a_seed(tmp_path: Path) -> None:
    text = agent.tables(document(), tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("| generative, inner sums |"))
    assert line.split(" | ")[1].startswith("1.000 ± 0.000")
    assert line.split(" | ")[4] == "-0.500 ± 0.000"
    assert line.endswith("| 10 |")
    assert (tmp_path / "agent.svg").read_text().count("teacher forcing") == 2


@pytest.mark.skipif(not agent.FILE.exists(), reason="no results are committed")
def test_the_tables_are_made_from_the_committed_results() -> None:
    assert agent.tables(json.loads(agent.FILE.read_text(encoding="utf-8"))) == section(agent.PAGE, "agent")
