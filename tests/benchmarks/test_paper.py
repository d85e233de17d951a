"""The paper's experiment: each row is what it says, is trained once, and the tables say what was measured."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from agents.runs.phases import TEMPERATURES
from benchmarks.harness import keep_result, section, svg_figure
from benchmarks.paper import experiment, rows, tables
from benchmarks.paper.grid import Cell, Grid
from benchmarks.paper.rivals import RIVALS
from benchmarks.paper.rows import BASELINE, ROWS, SIZES, config_of
from seqgan_env.sources.oracle import parameter_shapes
from tests.support.runs import TINY, changed, without_pictures

TINY_SIZE = rows.Scenario(
    base=changed(TINY, agent={"n_updates": 2}, pretraining={"n_epochs": 1}, evaluation={"every": 2}),
    as_published={"pretraining": {"n_epochs": 2, "keep_last": True}},
    models={"n_members": 2, "embedding_dim": 4, "hidden_dim": 4, "n_epochs": 1},
    n_updates=2,
    n_epochs=dict.fromkeys(RIVALS, 1),
)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_goes_on_from_its_start(row: str, size: str) -> None:
    """Its settings are complete, and where it plays a game its maximum likelihood is that of a row of its own."""
    config = config_of(row, SIZES[size], 7)
    assert config.seed == 7
    own = next(name for name, found in ROWS.items() if found == rows.Row(found.source, ROWS[row].start))
    assert config.of_pretraining == config_of(own, SIZES[size], 7).of_pretraining
    assert not (ROWS[row].rival and ROWS[row].game)
    assert not ROWS[row].rival or SIZES[size].n_epochs[ROWS[row].rival] > 0


def test_the_published_game_is_that_of_the_paper() -> None:
    config = config_of("SeqGAN, as published", SIZES["paper"], 0)
    assert (config.task.reward, config.agent.baseline, config.agent.n_completions) == ("d", "none", 16)
    assert (config.pretraining.n_epochs, config.pretraining.keep_last) == (120, True)
    assert (config.adversary.n_rounds * config.adversary.n_epochs, config.agent.n_updates) == (150, 200)
    control = config_of("constant, as published", SIZES["paper"], 0)
    assert dataclasses.replace(control.task, reward="d") == config.task
    assert dataclasses.replace(control, task=config.task) == config


def test_every_row_is_trained_and_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind, and what is done stays as it is."""
    monkeypatch.setitem(SIZES, "fast", TINY_SIZE)
    some = ("max. likelihood, as published", BASELINE, "SeqGAN log-ratio, generative", "random reward")
    every = (*some, *(name for name, row in ROWS.items() if row.rival))
    with without_pictures():
        experiment.run(tmp_path / "runs", "fast", 1, tmp_path / "one.json", 1, rows=some, n=50)
        experiment.run(tmp_path / "runs", "fast", 1, tmp_path / "two.json", 1, rows=every, n=50)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text())["sizes"]["fast"] for name in ("one", "two"))
    assert list(two["rows"]) == [row for row in ROWS if row in every]
    assert {name: two["rows"][name] for name in some} == one["rows"]
    curves = {name: [r["nll_test"] for r in row[0]["records"]] for name, row in two["rows"].items()}
    assert all(len(curve) == len(TEMPERATURES) for curve in curves.values())
    assert len({tuple(curve) for curve in curves.values()}) == len(every)  # none is another one
    assert two["rows"]["SeqGAN log-ratio, generative"][0]["share"] is not None
    assert two["rows"][BASELINE][0]["seconds"] == 0 < two["rows"]["distilled"][0]["seconds"]


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where two rows have been trained and measured with one seed."""
    monkeypatch.setitem(SIZES, "fast", TINY_SIZE)
    grid = Grid(TINY_SIZE, "oracle", tmp_path / "runs" / "fast", 50)
    (grid.out / "1").mkdir(parents=True)
    for shift, row in enumerate((BASELINE, "distilled")):
        settings = grid.settings(cell := Cell(row, 1))
        keep_result(grid.out / f"{cell.name}.json", result(shift) | {"measured on": {}}, settings)
    return tmp_path / "runs"


def test_rows_of_the_same_measurement_stay_in_the_file(done: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.json"
    for row in ("distilled", BASELINE):
        experiment.run(done, "fast", 1, file, 1, rows=(row,), n=50)
    assert list(json.loads(file.read_text())["sizes"]["fast"]["rows"]) == [BASELINE, "distilled"]
    before = file.read_bytes()
    for seeds, n, named in ((1, 60, "n 60 instead of 50"), (2, 50, r"seeds \[1, 2\] instead of \[1\]")):
        with pytest.raises(ValueError, match=f"rows distilled stay, has other settings: {named}"):
            experiment.run(done, "fast", seeds, file, 1, rows=(BASELINE,), n=n)
    assert file.read_bytes() == before


def test_what_was_measured_in_one_way_is_not_taken_for_another(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another oracle, on other samples, or trained otherwise."""
    pickled = tmp_path / "oracle.pkl"
    pickled.write_bytes(pickle.dumps([np.ones(shape, np.float32) for shape in parameter_shapes(12, 2, 3)], protocol=4))
    some = {"rows": (BASELINE,), "workers": 1}
    experiment.run(done, "fast", 1, tmp_path / "one.json", n=50, **some)
    with pytest.raises(
        ValueError, match=r"what was done in .*max--likelihood\.json has other settings: n 60 instead of 50"
    ):
        experiment.run(done, "fast", 1, tmp_path / "two.json", n=60, **some)
    sized_by_the_file = changed(TINY_SIZE.base, task={"vocab_size": None, "max_length": None})
    monkeypatch.setitem(SIZES, "fast", dataclasses.replace(TINY_SIZE, base=sized_by_the_file))
    with pytest.raises(ValueError, match=r"other settings: .*config\.task\.source '[0-9a-f]{64}' instead of 'oracle'"):
        experiment.run(done, "fast", 1, tmp_path / "two.json", n=50, oracle=str(pickled), **some)
    assert not (tmp_path / "two.json").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"models": {"n_members": 3}}, "models.n_members 3 instead of 2"),
        ({"n_epochs": {"distillation": 2}}, "n_epochs 2 instead of 1"),
        (
            {"base": changed(TINY, generator={"kwargs": {"hidden_dim": 7}})},
            "config.generator.kwargs.hidden_dim 7 instead",
        ),
    ],
)
def test_rows_of_other_settings_are_not_taken_for_these(
    changes: dict[str, Any], named: str, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = TINY_SIZE
    for name, value in changes.items():
        own = getattr(scenario, name)
        scenario = dataclasses.replace(scenario, **{name: {**own, **value} if isinstance(own, dict) else value})
    monkeypatch.setitem(SIZES, "fast", scenario)
    with pytest.raises(ValueError, match=re.escape(named)):
        experiment.run(done, "fast", 1, tmp_path / "results.json", 1, rows=("distilled",), n=50)


def test_language_models_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    grid = Grid(dataclasses.replace(TINY_SIZE, n_epochs={"distillation": 1}), "oracle", tmp_path, 50)
    (tmp_path / "1").mkdir()
    grid.learn_models(1)
    grid.learn_models(1)
    more = dataclasses.replace(grid.scenario, models={**TINY_SIZE.models, "n_members": 3})
    with pytest.raises(ValueError, match=r"models\.safetensors has other settings: n_members 3 instead of 2"):
        dataclasses.replace(grid, scenario=more).learn_models(1)


@pytest.mark.parametrize(
    ("oracle", "says"),
    [("nowhere.pkl", "there is no file 'nowhere.pkl'"), ("grammar", "got 'grammar'")],
)
def test_what_is_no_oracle_is_refused(oracle: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        experiment.run(tmp_path / "runs", "fast", 1, tmp_path / "results.json", 1, oracle=oracle)
    assert list(tmp_path.iterdir()) == []


def test_the_oracles_file_decides_its_sizes() -> None:
    assert {(size.base.task.vocab_size, size.base.task.max_length) for size in SIZES.values()} == {(None, None)}


MACHINE = {"processor": "p", "gpu": None, "versions": {}, "commit": "c"}


def result(shift: float) -> dict[str, Any]:
    """The measurements of a row whose curve lies ``shift`` above another one."""
    records = [
        {**dict.fromkeys(tables.AT_ONE, t / 2), "nll_oracle_se": t / 4, "nll_test_se": t / 8, "temperature": t}
        | {"nll_oracle": 7.5 + 2 * t, "nll_test": 8.5 - t + shift, "kl_sum": t + shift}
        for t in TEMPERATURES
    ]
    return {"seconds": 90.0, "share": None if shift else 0.25, "records": records, "measured on": MACHINE}


def document() -> dict[str, Any]:
    found = {BASELINE: [result(0.0), result(0.0)], "distilled": [result(-0.1), result(-0.3)]}
    size = {"seeds": [1, 2], "oracle": "oracle", "n": 10_000, "rows": found}
    return {"sizes": {"fast": size}}


def test_published_curves_may_have_gaps(tmp_path: Path) -> None:
    """Points that lack a value are left out, and the others are drawn."""
    (results := tmp_path / "paper.json").write_text(json.dumps(document()))
    (page := tmp_path / "page.md").write_text("<!-- paper: begin -->\n<!-- paper: end -->\n")
    curves = {"a_curve": [[1.0, 9.0, 8.0], [1.5, None, 8.2], [2.0, 8.0, 8.5]]}
    (published := tmp_path / "published.json").write_text(json.dumps({"quality_diversity_curves": {"curves": curves}}))
    tables.report(results, page, published)
    assert "published: a curve" in (tmp_path / "paper-fast.svg").read_text()


def test_curves_are_compared_where_the_quality_is_equal(tmp_path: Path) -> None:
    published = {"a_curve": [[1.0, 9.0, 8.0], [2.0, 8.0, 8.5]]}
    text = tables.tables(document(), tmp_path, published)
    of_baseline = [line for line in text.splitlines() if line.startswith(f"| {BASELINE} |")]
    of_distilled = [line for line in text.splitlines() if line.startswith("| distilled |")]
    # 8.736 is reached at temperature 0.618, where nll test is 7.882
    assert of_baseline[1].split(" | ")[1:4] == ["7.882 ± 0.000", "not reached", "0.400 ± 0.000"]
    assert of_distilled[1].split(" | ")[1].startswith("7.682 ± ")
    assert of_baseline[0].split(" | ")[1:4] == ["9.500 ± 0.000", "7.500 ± 0.000", "0.500 ± 0.000"]
    assert of_baseline[0].split(" | ")[-2:] == ["0.250 ± 0.000", "1.5 |"]
    assert "standard errors of one: nll oracle and nll test 0.2500 and 0.1250" in text
    assert "a curve" in (tmp_path / "paper-fast.svg").read_text()


def test_a_picture_shows_the_whole_of_every_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its second panel: every temperature of every row, and published ones, however far they lie from the others."""
    figures = []

    @contextmanager
    def kept(*arguments: Any) -> Iterator[Figure]:
        with svg_figure(*arguments) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(tables, "svg_figure", kept)
    rows = {BASELINE: [result(0.0)], "random": [result(10.0), result(12.0)]}
    published = {"far": [(1.0, 4.0, 60.0), (2.0, 3.0, 70.0)]}
    tables.draw(rows, tmp_path / "picture.svg", published)
    near, whole = figures[0].axes
    lines = {str(line.get_label()): line.get_xydata() for line in whole.lines}
    of_random = [(7.5 + 2 * t, 8.5 - t + 11.0) for t in TEMPERATURES]
    np.testing.assert_allclose(lines["random"], of_random)
    np.testing.assert_allclose(lines["published: far"], [(4.0, 60.0), (3.0, 70.0)])
    assert list(lines) == [*rows, "published: far"]
    for points in lines.values():
        for (low, high), values in zip((whole.get_xlim(), whole.get_ylim()), points.T, strict=True):
            assert ((low < values) & (values < high)).all()
    assert near.get_ylim()[1] < 18.0


@pytest.mark.skipif(not experiment.FILE.exists(), reason="no results are committed")
def test_the_tables_are_made_from_the_committed_results() -> None:
    assert tables.tables(json.loads(experiment.FILE.read_text())) == section(tables.PAGE, "paper")
