"""The map of regimes: each cell is trained once from its best maximum likelihood, and says what each game gained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agents.runs.config import RunConfig
from agents.runs.phases import FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks import regimes
from benchmarks.distillation import N_REAL, TASKS
from benchmarks.harness import section
from benchmarks.paper.rows import BASELINE
from benchmarks.regimes import GAMES, UNITS, Cell
from tests.support.runs import TINY, changed, without_pictures


@pytest.mark.parametrize("task", TASKS)
def test_cells_differ_in_the_generator_and_in_the_number_of_sentences(task: str) -> None:
    configs = {(u, n): regimes.config_of(Cell(task, u, n, 3), 0.1) for u in UNITS for n in N_REAL}
    for (units, n_real), config in configs.items():
        assert config.task.n_real == N_REAL[n_real]
        assert (config.generator.kwargs["hidden_dim"], config.generator.kwargs["dropout"]) == (units, 0.1)
        assert 4 <= config.pretraining.n_epochs <= 100
    assert len({str(config) for config in configs.values()}) == len(configs)


def test_a_cell_is_trained_once_from_its_best_likelihood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The games go on from the dropout with the least validation likelihood."""

    def config_of(cell: Cell, dropout: float) -> RunConfig:
        base = changed(TINY, agent={"n_updates": 2}, pretraining={"n_epochs": 2}, evaluation={"every": 2, "n": 50})
        units = {"embedding_dim": cell.units, "hidden_dim": cell.units, "dropout": dropout}
        generator = dataclasses.replace(base.generator, kwargs={**base.generator.kwargs, **units})
        return dataclasses.replace(base, generator=generator, seed=cell.seed)

    short = {"n_updates": 2, "n_episodes": 8}
    small = {"n_members": 1, "embedding_dim": 4, "hidden_dim": 4, "n_epochs": 1}
    monkeypatch.setattr(regimes, "config_of", config_of)
    monkeypatch.setattr(regimes, "models_of", lambda task, n_real: small)
    monkeypatch.setattr(regimes, "TOKENWISE_OF", {"grammar": {"n_updates": 3}})
    monkeypatch.setattr(regimes, "UNITS", (4, 3))  # the language models, which are fitted once, serve both
    monkeypatch.setattr(regimes, "N_REAL", {"10,000": 10_000})
    monkeypatch.setattr(regimes, "DROPOUTS", (0.9, 0.0))
    for game in GAMES.values():
        monkeypatch.setitem(game, "agent", {**game["agent"], **short})
    with without_pictures():
        for name in ("one", "two"):
            regimes.run(tmp_path / "runs", 1, tmp_path / f"{name}.json", 1, ("grammar",))
            monkeypatch.setattr(regimes, "Experiment", None)
            monkeypatch.setattr(regimes, "fit", None)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["cells"] == two["cells"]
    cell, other = one["cells"]
    assert (cell["task"], cell["units"], cell["seed"], cell["dropout"]) == ("grammar", 4, 1, 0.0)
    assert (other["units"], list(other["rows"])) == (3, list(cell["rows"]))
    assert list(cell["rows"]) == [BASELINE, *GAMES]
    curves = {tuple(r["nll_test"] for r in row["records"]) for row in cell["rows"].values()}
    assert len(curves) == len(GAMES) + 1
    assert cell["rows"]["cnn, log D"]["share"] is not None
    folders = {
        "cnn-log-D": 2,
        "generative-log-ratio": 3,
        "exact-log-ratio": 3,
    }  # the task's own length, of token-wise ones
    for name, n_updates in folders.items():
        config = json.loads((tmp_path / "runs/grammar-4-10000-1" / name / "config.json").read_text())
        assert config["agent"]["n_updates"] == n_updates


def row(phase: str, shift: float) -> dict[str, Any]:
    """The measurements of a generator whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_sum": 2.0 + shift + t}
        for t in TEMPERATURES
    ]
    return {"share": 0.25, "records": records}


def test_a_game_is_compared_with_its_own_cell(tmp_path: Path) -> None:
    cells = [
        {**Cell(task, units, n_real, seed)._asdict(), "dropout": 0.0}
        | {"rows": {BASELINE: row(TEMPERATURE, units)} | {g: row(FINAL_TEMPERATURE, units - 0.5) for g in GAMES}}
        for task in TASKS
        for units in UNITS
        for n_real in N_REAL
        for seed in (1, 2)
    ]
    document = {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "cells": cells}
    text = regimes.tables(document, tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("| 8 units, 2,000 |"))
    assert line.split(" | ")[1:5] == ["10.400 ± 0.000", "-0.500 ± 0.000", "-0.500 ± 0.000", "0.25"]
    picture = (tmp_path / "regimes.svg").read_text()
    assert picture.count("-5%") == len(TASKS) * len(GAMES) * len(N_REAL)  # 0.5 of 10.4 with 8 units


@pytest.mark.skipif(not regimes.FILE.exists(), reason="no results are committed")
def test_the_table_is_made_from_the_committed_results() -> None:
    assert regimes.tables(json.loads(regimes.FILE.read_text())) == section(regimes.PAGE, "regimes")
