"""A study: games are compared with the maximum likelihood of their seed and group, and each is played once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks.curves import BASELINE
from benchmarks.rewards.study import Study
from tests.support.runs import TINY, changed, without_pictures

GAMES: dict[str, dict[str, Any]] = {"log_d": {}, "constant: 1": {"task": {"reward": "constant"}}}
STUDY = Study(
    "trial",
    changed(TINY, agent={"n_updates": 4}),
    {"first": GAMES, "second": {"again": {}}, "third": {"half": {}}},
    {"third": {"pretraining": {"real_share": 0.5}}},
)


def row(shift: float, phase: str = FINAL_TEMPERATURE) -> dict[str, Any]:
    """The measurements of a game whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_forward": 1.0}
        | {"kl_reverse": 2.0 + shift, "kl_sum": 3.0 + shift + t}
        for t in TEMPERATURES
    ]
    learning = [{"step": step, "nll_oracle": 3.0, "nll_test": 2.0, "kl_sum": 3.0 - step} for step in (0, 20)]
    return {"seconds": 10 + shift, "records": records, "learning": learning}


def test_a_game_is_compared_with_maximum_likelihood_of_its_own_seed_and_group(tmp_path: Path) -> None:
    rows = {BASELINE: [row(0.0, TEMPERATURE), row(1.0, TEMPERATURE)]}
    rows[f"2-{BASELINE}"] = [row(5.0, TEMPERATURE)] * 2
    rows |= {name: [row(-0.5), row(0.5)] for games in STUDY.games(1).values() for name in games}
    document = {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "rows": rows}
    text = STUDY.tables(document, tmp_path)
    for name, gain in (("log_d", "-0.500 [-0.500, -0.500]"), ("again", "-0.500 [-0.500, -0.500]")):
        cells = next(line for line in text.splitlines() if line.startswith(f"| {name} |")).split(" | ")
        assert cells[1].startswith("1.000 [1.000, 1.000]")
        assert cells[4:6] == [gain, gain]
    half = next(line for line in text.splitlines() if line.startswith("| half |")).split(" | ")
    assert half[4:6] == ["-5.000 [-5.500, -4.500]"] * 2
    picture = (tmp_path / "trial-intervals.svg").read_text()
    for group, games in STUDY.groups.items():  # a panel each, with its own games
        assert f"### {group}\n" in text
        panel = picture.split(f"<!-- {group} -->")[0].rsplit('<g id="axes_', 1)[1]
        assert re.findall("<!-- (?:log_d|constant: 1|again|half) -->", panel) == [f"<!-- {name} -->" for name in games]
    assert (tmp_path / "trial-learning.svg").read_text().count("constant: 1") == 1


def test_a_study_goes_on_where_it_stopped_and_plays_equal_games_once(tmp_path: Path) -> None:
    with without_pictures():
        STUDY.run(tmp_path / "runs", 1, tmp_path / "one.json", 1)
        STUDY.run(tmp_path / "runs", 2, tmp_path / "two.json", 1)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert set(two["rows"]) == {BASELINE, f"2-{BASELINE}", "0-log_d", "0-constant--1", "1-again", "2-half"}
    assert [rows[:1] for rows in two["rows"].values()] == list(one["rows"].values())
    assert [r["step"] for r in two["rows"]["0-log_d"][1]["learning"]] == [0, 2, 4]
    assert two["rows"]["1-again"] == two["rows"]["0-log_d"]
    assert not (tmp_path / "runs" / "1" / "1-again").exists()
    assert two["rows"][f"2-{BASELINE}"] != two["rows"][BASELINE]
