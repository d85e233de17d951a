"""The benchmark of the menu: every game is one, differs in what it says, and the tables say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks.harness import section
from benchmarks.rewards import menu
from seqgan_env.discriminators import DISCRIMINATORS, LOSSES
from seqgan_env.rewards import REWARDS
from seqgan_env.shaping import SHAPINGS
from tests.support.runs import TINY, without_pictures


def row(shift: float, phase: str = FINAL_TEMPERATURE) -> dict[str, Any]:
    """The measurements of a game whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_forward": 1.0}
        | {"kl_reverse": 2.0 + shift, "kl_sum": 3.0 + shift + t}
        for t in TEMPERATURES
    ]
    learning = [{"step": step, "nll_oracle": 3.0, "nll_test": 2.0, "kl_sum": 3.0 - step} for step in (0, 20)]
    return {"seconds": 10 + shift, "records": records, "learning": learning}


def document() -> dict[str, Any]:
    rows = {menu.BASELINE: [row(0.0, TEMPERATURE), row(1.0, TEMPERATURE)]}
    rows |= {name: [row(-0.5), row(0.5)] for name in menu.games(1)}
    return {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "rows": rows}


def test_every_reward_shaping_and_kind_of_discriminator_is_played() -> None:
    runs = menu.games(7)
    tasks = [config.task for config in runs.values()]
    assert {task.reward for task in tasks} == set(REWARDS)
    used = {name for task in tasks for name in ([task.shaping] if isinstance(task.shaping, str) else task.shaping)}
    assert used - {"none"} == set(SHAPINGS)
    assert {task.discriminator for task in tasks} == set(DISCRIMINATORS) - {"tabular"}  # which is of tiny tasks alone
    assert {config.adversary.loss for config in runs.values()} == set(LOSSES)
    plain = runs["0-log_d"]
    for name, config in runs.items():
        assert config.seed == 7
        assert config.of_pretraining == plain.of_pretraining
        assert name == "0-log_d" or config != plain


def test_a_game_is_compared_with_maximum_likelihood_of_its_own_seed(tmp_path: Path) -> None:
    text = menu.tables(document(), tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("| rank |"))
    assert line.split(" | ")[1].startswith("1.000 [1.000, 1.000]")
    assert line.split(" | ")[4] == "-0.500 [-0.500, -0.500]"
    for group, own in menu.GROUPS.items():
        assert f"### {group}\n" in text
        assert all(f"| {name} |" in text for name in own)
        assert group in (tmp_path / "menu-intervals.svg").read_text()
    assert (tmp_path / "menu-learning.svg").read_text().count("LeakGAN") == 1


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(menu, "GROUPS", {"a": {"log_d": {}, "constant": {"task": {"reward": "constant"}}}})
    with without_pictures():
        menu.run(tmp_path / "runs", 1, tmp_path / "one.json", 1, TINY)
        menu.run(tmp_path / "runs", 2, tmp_path / "two.json", 1, TINY)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert set(two["rows"]) == {menu.BASELINE, "0-log_d", "0-constant"}
    assert [rows[:1] for rows in two["rows"].values()] == list(one["rows"].values())
    assert [r["step"] for r in two["rows"]["0-log_d"][1]["learning"]] == [0, 2, 4, 6]


@pytest.mark.skipif(not menu.FILE.exists(), reason="no results are committed")
def test_the_tables_are_made_from_the_committed_results() -> None:
    assert menu.tables(json.loads(menu.FILE.read_text())) == section(menu.PAGE, "menu")
