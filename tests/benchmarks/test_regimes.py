"""The map of regimes: each cell is trained once from its best maximum likelihood, and says what each game gained."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE, TEMPERATURE, TEMPERATURES
from benchmarks.curves import BASELINE
from benchmarks.language_models import N_REAL
from benchmarks.regimes import cells, tables
from benchmarks.regimes.cells import CONTROLS, GAMES, TASKS, Cell, Region
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import build_discriminator
from seqgan_env.discriminators.generative import GenerativeConfig
from seqgan_env.sources.oracle import parameter_shapes
from tests.support.runs import TINY, changed, without_pictures


@pytest.mark.parametrize("task", TASKS)
def test_every_cell_can_be_built(task: str) -> None:
    """The generator, the discriminators and the settings of each game are complete, and cells differ as they say."""
    region, seen = TASKS[task], set()
    for units in region.units:
        for n_real in region.n_real:
            cell = Cell(task, units, n_real, 3)
            config = cells.config_of(cell, 0.1)
            spec = config.task.build_source().spec
            assert (config.seed, config.task.n_real) == (3, N_REAL[n_real])
            assert 4 <= config.pretraining.n_epochs <= region.most_epochs
            AutoregressiveModel(spec, config.generator.core, **config.generator.kwargs)
            kwargs = config.generator.kwargs
            assert (kwargs["embedding_dim"], kwargs["hidden_dim"], kwargs["dropout"]) == (units, units, 0.1)
            GenerativeConfig(**region.models(n_real))
            games = {game: cells.game_of(cell, game, 0.1, Path("models")) for game in GAMES}
            for game, own in games.items():
                assert own.of_pretraining == config.of_pretraining
                assert own.is_adversarial == (not own.adversary.exact and own.task.reward != "constant")
                assert own.task.discriminator == ("models" if game.startswith("generative") else "cnn")
                assert own.agent.dense == own.agent.inner_sums == (own.task.reward == "log_ratio")
                assert bool(own.agent.teacher_forcing) == game.endswith("and likelihood")
                if own.agent.dense:
                    assert own.agent.n_updates == region.agent["n_updates"]
            # the preset's own step ends above maximum likelihood at every temperature
            assert games["cnn, log D"].agent.learning_rate == 1e-3
            cnn = games["cnn, log D"].task
            build_discriminator(cnn.discriminator, spec, seed=0, kwargs=cnn.discriminator_kwargs)
            seen.add(str(config))
    assert len(seen) == len(region.units) * len(region.n_real)


def test_the_tasks_span_vocabularies_and_have_the_published_oracle(tmp_path: Path) -> None:
    (file := tmp_path / "oracle.pkl").write_bytes(
        pickle.dumps([np.ones(shape, np.float32) for shape in parameter_shapes(12, 2, 3)], protocol=4)
    )
    configs = {task: cells.config_of(Cell(task, 8, "10,000", 1), 0.0, str(file)) for task in TASKS}
    sizes = {task: config.task.build_source().spec.vocab_size for task, config in configs.items()}
    assert (sizes["small"], sizes["small-1000"], sizes["published"]) == (100, 1000, 12)
    assert [task for task, config in configs.items() if config.task.source == str(file)] == ["published"]


@pytest.mark.parametrize(
    ("oracle", "says"),
    [("nowhere.pkl", "there is no file 'nowhere.pkl'"), ("grammar", "got 'grammar'")],
)
def test_what_is_no_oracle_is_refused(oracle: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        cells.run(tmp_path / "runs", 1, tmp_path / "results.json", 1, oracle=oracle)
    assert list(tmp_path.iterdir()) == []


def test_a_cell_is_trained_once_from_its_best_likelihood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Games and controls go on from the dropout with the least validation likelihood; each game has its own share."""
    small = {"n_members": 1, "embedding_dim": 4, "hidden_dim": 4, "n_epochs": 1}
    region = Region(
        changed(TINY, pretraining={"n_epochs": 2}),
        {"n_updates": 3},
        lambda n_real: small,
        units=(4, 3),  # the language models, which are fitted once, serve both
        n_real=("few",),
        n_read=400,
        n_taught=400,
    )
    monkeypatch.setitem(TASKS, "grammar", region)
    monkeypatch.setattr(cells, "N_REAL", {"few": 200})
    monkeypatch.setattr(cells, "EvaluationConfig", lambda every, n: TINY.evaluation)
    monkeypatch.setattr(cells, "DROPOUTS", (0.9, 0.0))
    for game in GAMES.values():
        monkeypatch.setitem(game, "agent", {**game["agent"], "n_updates": 2, "n_episodes": 8})
    with without_pictures():
        for name in ("one", "two"):
            cells.run(tmp_path / "runs", 1, tmp_path / f"{name}.json", 1, ("grammar",))
            monkeypatch.setattr(cells, "Experiment", None)
            monkeypatch.setattr(cells, "fit", None)
            monkeypatch.setattr(cells, "distillation", None)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["cells"] == two["cells"]
    cell, other = one["cells"]
    (tmp_path / "one.json").write_text(
        json.dumps({**one, "cells": [{**each, "dropout": 0.5} for each in one["cells"]]})
    )
    cells.run(tmp_path / "runs", 1, tmp_path / "one.json", 1, ("grammar",), ("grammar-3-few",))
    partly = json.loads((tmp_path / "one.json").read_text())["cells"]
    assert [(each["units"], each["dropout"]) for each in partly] == [(4, 0.5), (3, other["dropout"])]
    (tmp_path / "one.json").write_text(json.dumps({**one, "cells": [{**cell, "source": "other.pkl"}, other]}))
    with pytest.raises(ValueError, match=r"the source must be that of the cells that stay, other\.pkl, got oracle"):
        cells.run(tmp_path / "runs", 1, tmp_path / "one.json", 1, ("grammar",), ("grammar-3-few",))
    assert (cell["task"], cell["units"], cell["seed"], cell["dropout"]) == ("grammar", 4, 1, 0.0)
    assert cell["source"] == "oracle"
    assert (other["units"], list(other["rows"])) == (3, list(cell["rows"]))
    assert list(cell["rows"]) == [BASELINE, *GAMES, *CONTROLS]
    curves = {tuple(r["nll_test"] for r in row["records"]) for row in cell["rows"].values()}
    assert len(curves) == 1 + len(GAMES) + len(CONTROLS)
    for control in CONTROLS:
        assert cell["rows"][control]["share"] is None
        kept = json.loads(
            (tmp_path / f"runs/grammar-4-few-1/{control.replace(', ', '-').replace(' ', '-')}.json").read_text()
        )
        assert kept["n_epochs"] == 2
    folders = {"cnn-log-D": 2, "cnn-log-D-and-likelihood": 2, "constant-and-likelihood": 2}
    folders |= {"generative-log-ratio": 3, "exact-log-ratio": 3}  # the task's own, of token-wise ones
    for (name, n_updates), game in zip(folders.items(), GAMES, strict=True):
        folder = tmp_path / "runs/grammar-4-few-1" / name
        assert json.loads((folder / "config.json").read_text())["agent"]["n_updates"] == n_updates
        last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        (begins,) = (r for r in last if (r["phase"], r["step"]) == (ADVERSARIAL, 0))
        share = begins.get("discriminator_share_of_optimum")
        assert (share is None) == game.startswith(("exact", "constant"))
        assert cell["rows"][game]["share"] == share


def row(phase: str, shift: float, share: float | None = None) -> dict[str, Any]:
    """The measurements of a generator whose curve lies ``shift`` above another one."""
    records = [
        {"phase": phase, "temperature": t, "nll_oracle": 3 + t + shift, "nll_test": 3 - t, "kl_sum": 2.0 + shift + t}
        for t in TEMPERATURES
    ]
    return {"share": share, "records": records}


def test_a_game_is_compared_with_its_own_cell(tmp_path: Path) -> None:
    """And every row is that of its own game or control; one seed without a share leaves its cell blank."""
    gains = dict(zip((*GAMES, *CONTROLS), (-0.5, -0.75, 1.25, 0.25, -1.5, -2.0, 3.5, 0.0), strict=True))
    shares = dict(zip((*GAMES, *CONTROLS), (-0.1, -0.2, None, 0.3, None, None, None, None), strict=True))
    found = [
        {**Cell(task, units, n_real, seed)._asdict(), "dropout": 0.0, "source": "a file"}
        | {
            "rows": {BASELINE: row(TEMPERATURE, units)}
            | {way: row(FINAL_TEMPERATURE, units + gain, shares[way]) for way, gain in gains.items()}
        }
        for task, region in TASKS.items()
        for units in region.units
        for n_real in region.n_real
        for seed in (1, 2)
    ]
    lacking = next(c for c in found if (c["task"], c["units"], c["n_real"], c["seed"]) == ("grammar", 4, "2,000", 2))
    for each in lacking["rows"].values():
        each["share"] = None
    del lacking["rows"]["teachers, reverse"]  # as of an earlier version
    document = {"environment": {"versions": {}, "gpu": None, "processor": "p"}, "seeds": [1, 2], "cells": found}
    text = tables.tables(document, tmp_path)
    assert text.count("Source `a file`.") == len(TASKS)
    columns = ["cell", "KL sum, best T", "nll oracle", "below", "share"]

    def cells_of(name: str) -> dict[str, str]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        return dict(zip(columns, (each.strip() for each in line.strip("|").split("|")), strict=True))

    document["cells"] = [each for each in found if each["task"] == "grammar" and each["units"] == 8]
    (tmp_path / "partly").mkdir()
    partly = tables.tables(document, tmp_path / "partly")
    assert [line.split(" | ")[0] for line in partly.splitlines() if " units, " in line] == [
        f"| 8 units, {n}{way}" for n in N_REAL for way in ("", *(f": {way}" for way in gains))
    ]
    assert cells_of(f"4 units, 2,000: {next(iter(GAMES))}")["share"] == ""
    n_forward, n_reverse = (text.count(f"| 4 units, 2,000: teachers, {name} |") for name in ("forward", "reverse"))
    assert n_forward == n_reverse + 1
    assert cells_of("8 units, 2,000")["KL sum, best T"] == "10.400 ± 0.000"
    n = 2 * len(TEMPERATURES)
    for way, gain in gains.items():
        cell = cells_of(f"8 units, 2,000: {way}")
        assert cell["KL sum, best T"] == cell["nll oracle"] == f"{gain:+.3f} ± 0.000"
        assert cell["below"] == (f"{n} of {n} levels, 2 of 2 seeds" if gain < 0 else f"0 of {n} levels, 0 of 2 seeds")
        assert cell["share"] == ("" if shares[way] is None else f"{shares[way]:.3f} ± 0.000")
    picture = (tmp_path / "regimes.svg").read_text()
    n_of_8 = sum(len(region.n_real) for region in TASKS.values() if 8 in region.units)
    for percent in ("-5%", "-7%", "+12%", "+2%", "-14%", "-19%", "+34%"):  # of 10.4 with 8 units
        assert picture.count(f"<!-- {percent} -->") == n_of_8
