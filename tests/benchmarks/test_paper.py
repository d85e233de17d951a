"""The paper's experiment: each row is what it says, is trained once, and the tables say what was measured."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from agents.rivals import (
    CooperativeTrainer,
    DistillationTrainer,
    RelaxedTrainer,
    ScheduledSamplingTrainer,
    SelfAdversarialTrainer,
)
from agents.runs.folder import flat_settings
from agents.runs.phases import TEMPERATURES
from benchmarks.curves import BASELINE
from benchmarks.harness import keep_result, svg_figure
from benchmarks.paper import experiment, rows, tables
from benchmarks.paper.grid import Cell, Grid
from benchmarks.paper.rivals import RIVALS
from benchmarks.paper.rows import ROWS, SIZES, config_of
from seqgan_env.autoregressive import AutoregressiveModel, MaximumLikelihoodTrainer
from seqgan_env.discriminators import GenerativeDiscriminator, load_discriminator
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


GAMES = {
    "SeqGAN, as published": ("d", "cnn", 16, "none", {}),
    "constant, as published": ("constant", "cnn", 16, "none", {}),
    "PG-BLEU": ("bleu", "cnn", 16, "prefix", {}),
    "RankGAN": ("rank", "cnn", 16, "prefix", {}),
    "MaliGAN": ("log_ratio", "cnn", 0, "batch", {"agent.batch_statistic": "softmax", "agent.n_episodes": 512}),
    "ScratchGAN's rewards": ("centered", "cnn", 0, "step", {"task.shaping": ["prefix"], "agent.n_episodes": 512}),
    "SeqGAN log D": ("log_d", "cnn", 16, "prefix", {}),
    "SeqGAN log-ratio, generative": ("log_ratio", "generative", 0, "step", {"agent.inner_sums": True}),
    "the same, exact": ("log_ratio", "cnn", 0, "step", {"agent.inner_sums": True, "adversary.exact": True}),
    "random reward": ("random", "cnn", 16, "prefix", {}),
}
"""Of every game the reward, the discriminator, the completions of a prefix, the baseline, and what else defines it."""
STARTS = {
    "random": ["random", "scheduled sampling"],
    "published": ["max. likelihood, as published", "SeqGAN, as published", "constant, as published"],
}
"""The rows that don't go on from the strongest maximum likelihood."""
_SLOW, _COOPERATIVE = {"learning_rate": 1e-3}, {"learning_rate": 1e-3, "mediator_learning_rate": 1e-3}
TRAINERS: dict[str, tuple[type[MaximumLikelihoodTrainer], dict[str, Any]]] = {
    "scheduled sampling": (ScheduledSamplingTrainer, {"final_real_share": 0.5}),
    "cooperative training": (CooperativeTrainer, _COOPERATIVE),
    "cooperative training, several mediators": (CooperativeTrainer, _COOPERATIVE),
    "self-adversarial": (SelfAdversarialTrainer, _SLOW),
    "Gumbel straight-through": (RelaxedTrainer, {"learning_rate": 1e-4}),
    "distilled": (DistillationTrainer, {"learning_rate": 0.01, "dropout": False, "own_share": 0.5}),
}
"""Of every row without a game its trainer, but for maximum likelihood, and what defines it."""


@pytest.mark.parametrize("size", SIZES)
def test_a_row_is_trained_as_its_name_says(size: str) -> None:
    assert {name for name, row in ROWS.items() if row.game} == set(GAMES)
    assert {name for name, row in ROWS.items() if row.rival} == set(TRAINERS)
    for name, (reward, discriminator, n_completions, baseline, more) in GAMES.items():
        config = flat_settings(config_of(name, SIZES[size], 0).to_dict())
        expected = {
            "task.reward": reward,
            "task.discriminator": discriminator,
            "task.shaping": "none",
            "agent.n_completions": n_completions,
            "agent.baseline": baseline,
            "agent.batch_statistic": "none",
            "agent.inner_sums": False,
            "agent.n_episodes": 256 if ROWS[name].tokenwise else 64,
            "adversary.exact": False,
            "adversary.skip_real": 0.0,
            **more,
        }
        assert {field: config[field] for field in expected} == expected, name
        assert config["agent.dense"] == ROWS[name].tokenwise == ("agent.inner_sums" in more), name
    for name, row in ROWS.items():
        assert row.start == next((start for start, rows in STARTS.items() if name in rows), "strongest"), name
    assert config_of("random", SIZES[size], 0).pretraining.n_epochs == 0
    needing = {"SeqGAN log-ratio, generative", "cooperative training, several mediators", "distilled"}
    assert {name for name, row in ROWS.items() if row.needs_models} == needing


def test_a_rival_has_its_own_trainer(tmp_path: Path) -> None:
    """And several mediators begin as the language models, which still learn."""
    grid = Grid(TINY_SIZE, "oracle", tmp_path, 50)
    (tmp_path / "1").mkdir()
    grid.prepare("models", 1)
    models = load_discriminator(grid.models(1))
    assert isinstance(models, GenerativeDiscriminator)
    for name, (kind, expected) in TRAINERS.items():
        config = grid.config(Cell(name, 1))
        generator = AutoregressiveModel(models.spec, config.generator.core, **config.generator.kwargs)
        trainer = RIVALS[ROWS[name].rival].trainer(generator, config, grid.models(1), 1)
        assert type(trainer) is kind
        assert {field: getattr(trainer.config, field) for field in expected} == expected
        if isinstance(trainer, CooperativeTrainer):
            several = models.language_models if "several" in name else [generator]
            for mediator, model in zip(trainer.mediators, several, strict=True):
                assert torch.equal(mediator.output.weight, model.output.weight)
                assert mediator.output.weight.requires_grad


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("paper", {"pretraining.n_epochs": 120, "agent.n_updates": 200, "adversary.n_rounds": 50}),
        ("fast", {"pretraining.n_epochs": 40, "agent.n_updates": 60, "adversary.n_rounds": 30}),
    ],
)
def test_the_published_game_is_that_of_the_paper(size: str, expected: dict[str, Any]) -> None:
    """Its schedule in size ``paper``: 120 epochs, 50 rounds of 3 epochs, and five rounds an update."""
    of_size = {
        "paper": {"adversary.n_epochs": 3, "adversary.n_generated": 10_000, "adversary.rounds_at_once": 5},
        "fast": {"adversary.n_epochs": 1, "adversary.n_generated": 2_048, "adversary.rounds_at_once": 1},
    }
    expected = (
        expected
        | of_size[size]
        | {
            "task.reward": "d",
            "task.n_real": 10_000,
            "generator.core": "lstm",
            "generator.kwargs.embedding_dim": 32,
            "generator.kwargs.hidden_dim": 32,
            "generator.kwargs.dropout": 0.0,
            "pretraining.learning_rate": 0.01,
            "pretraining.schedule": "constant",
            "pretraining.keep_last": True,
            "pretraining.batch_size": 64,
            "adversary.learning_rate": 1e-4 if size == "paper" else 1e-3,
            "adversary.loss": "logistic",
            "adversary.every_n_episodes": 64,
            "agent.n_episodes": 64,
            "agent.n_completions": 16,
            "agent.learning_rate": 0.01,
            "agent.final_learning_rate": None,
            "agent.baseline": "none",
            "agent.normalize_advantage": False,
            "agent.rollout_lag": 0.8,
        }
    )
    config = config_of("SeqGAN, as published", SIZES[size], 0)
    flat = flat_settings(config.to_dict())
    assert {name: flat[name] for name in expected} == expected
    control = config_of("constant, as published", SIZES[size], 0)
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
    for name in every:  # where a network discriminates
        has_share = name in ("SeqGAN log-ratio, generative", "Gumbel straight-through")
        assert (two["rows"][name][0]["share"] is not None) == has_share
    assert two["rows"][BASELINE][0]["seconds"] == 0 < two["rows"]["distilled"][0]["seconds"]


@pytest.mark.parametrize("row", TRAINERS)
def test_a_rival_goes_on_where_it_stopped(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the epochs that are left, once, and ends as one that was not interrupted."""
    monkeypatch.setattr("benchmarks.paper.grid.TEMPERATURES", (1.0,))
    scenario, cell = dataclasses.replace(TINY_SIZE, n_epochs=dict.fromkeys(RIVALS, 3)), Cell(row, 1)
    whole, stopped = (Grid(scenario, "oracle", tmp_path / name, 50) for name in ("whole", "stopped"))
    with without_pictures():
        whole.prepare(ROWS[row].start, 1)
        if ROWS[row].needs_models:
            whole.prepare("models", 1)
    shutil.copytree(whole.out, stopped.out)
    whole.play(cell)
    epoch, made = MaximumLikelihoodTrainer.epoch, []

    def interrupted(trainer: MaximumLikelihoodTrainer, real: Any) -> float:
        if made == [0]:
            made.append(-1)
            raise KeyboardInterrupt
        made.append(trainer.n_epochs)
        return epoch(trainer, real)

    monkeypatch.setattr(MaximumLikelihoodTrainer, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stopped.play(cell)
    longer = dataclasses.replace(stopped, scenario=dataclasses.replace(scenario, n_epochs=dict.fromkeys(RIVALS, 4)))
    with pytest.raises(ValueError, match=r"without the file its training begins again.*n_epochs 4 instead of 3"):
        longer.play(cell)
    stopped.play(cell)
    assert made == [0, -1, 1, 2]
    one, two = (grid.kept(cell) for grid in (whole, stopped))
    assert one is not None
    assert two is not None
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
    assert not list(stopped.out.rglob(f"{cell.name}.zip"))


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


def test_rows_that_stay_were_trained_as_they_would_be_now(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that came later was off; how a row was trained is not asked where the file does not tell."""
    file = tmp_path / "results.json"
    experiment.run(done, "fast", 1, file, 1, rows=("distilled",), n=50)
    document = json.loads(file.read_text())
    del document["sizes"]["fast"]["config"]["agent"]["weight_averaging"]
    file.write_text(json.dumps(document))
    experiment.run(done, "fast", 1, file, 1, rows=(BASELINE,), n=50)
    del document["sizes"]["fast"]["config"]["agent"]["n_updates"]  # which are not those of the defaults
    file.write_text(json.dumps(document))
    with pytest.raises(
        ValueError, match=r"distilled stay, has other settings: config\.agent.n_updates 2 instead of None"
    ):
        experiment.run(done, "fast", 1, file, 1, rows=(BASELINE,), n=50)
    document["sizes"]["fast"]["config"]["agent"]["n_updates"] = 2
    file.write_text(json.dumps(document))
    monkeypatch.setitem(SIZES, "fast", dataclasses.replace(TINY_SIZE, n_epochs=dict.fromkeys(RIVALS, 5)))
    with pytest.raises(ValueError, match=r"training\.distilled\.n_epochs 5 instead of 1"):
        experiment.run(done, "fast", 1, file, 1, rows=(BASELINE,), n=50)
    del document["sizes"]["fast"]["training"]
    file.write_text(json.dumps(document))
    experiment.run(done, "fast", 1, file, 1, rows=(BASELINE,), n=50)
    training = json.loads(file.read_text())["sizes"]["fast"]["training"]
    assert training == {BASELINE: rows.training_of(BASELINE, SIZES["fast"])}


def test_the_training_of_a_row_is_told_as_it_differs() -> None:
    assert rows.training_of(BASELINE, SIZES["fast"]) == {}
    assert rows.training_of("SeqGAN, as published", SIZES["paper"])["adversary.rounds_at_once"] == 5
    game = rows.training_of("SeqGAN log-ratio, generative", SIZES["fast"])
    assert game["models"] == SIZES["fast"].models
    assert game["agent.n_updates"] == SIZES["fast"].n_updates
    taught = rows.training_of("distilled", SIZES["fast"])
    assert taught["n_epochs"] == 40
    assert taught["rival"]["schedule"]


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
    grid.prepare("models", 1)
    grid.prepare("models", 1)
    more = dataclasses.replace(grid.scenario, models={**TINY_SIZE.models, "n_members": 3})
    with pytest.raises(ValueError, match=r"models\.json has other settings: models\.n_members 3 instead of 2"):
        dataclasses.replace(grid, scenario=more).prepare("models", 1)


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
