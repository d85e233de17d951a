"""The rows that are trained on real text: that they are measured as text, and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.runs.phases import TEMPERATURES
from benchmarks import text
from benchmarks.corpora import RealText
from benchmarks.curves import BASELINE
from benchmarks.paper.grid import N_SAMPLES
from benchmarks.paper.rivals import RIVALS
from benchmarks.paper.rows import ROWS, Scenario, config_of
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from tests.support.runs import TINY, changed, without_pictures

CURVE = (1.2, 1.0, 0.85, 0.7, 0.5)


def tiny() -> Scenario:
    base = changed(
        TINY,
        task={"vocab_size": None, "max_length": None, "level": "word", "n_real": 60, "n_held_out": 40},
        agent={"n_updates": 1},
        pretraining={"n_epochs": 1},
        evaluation={"every": 1},
    )
    models = {"n_members": 2, "embedding_dim": 4, "hidden_dim": 4, "n_epochs": 1}
    return Scenario(base, models, 1, dict.fromkeys(RIVALS, 1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus of a hundred sentences, the only one of the benchmark."""
    monkeypatch.setattr(text, "CORPORA", {"lines": tiny()})
    monkeypatch.setattr(text, "SHOWN", (BASELINE, "distilled"))
    lines = [f"{who} sees {what} {n} times" for who in ("she", "he") for what in ("a cat", "it") for n in range(25)]
    for part, own in zip(text.PARTS, (lines[:80], lines[80:]), strict=True):
        (tmp_path / f"lines_{part}.txt").write_text("\n".join(own))
    return tmp_path


def test_each_row_is_measured_as_text_and_shown(folder: Path) -> None:
    file = folder / "text.json"
    with without_pictures():
        text.run(folder, folder / "runs", 1, file, 1, only=("lines",), n=20)
    corpus = json.loads(file.read_text())["corpora"]["lines"]
    assert corpus["config"]["task"]["source"] == "lines.txt"  # and no folder of this machine
    assert str(folder) not in file.read_text()
    parts = [
        (folder / f"runs/{name}.txt").read_text().splitlines() for name in ("lines", "lines-held-out", "lines-real")
    ]
    assert [len(lines) for lines in parts] == [60, 16, 24]
    assert len({line for lines in parts for line in lines}) == 100
    assert corpus["n_real"] == 60
    (real,) = corpus[text.REAL]
    assert set(text.AT_ONE) - {"nll_test"} <= set(real)
    assert real["bleu_references"] == 8
    for row in text.SHOWN:
        (cell,) = corpus["rows"][row]
        by_temperature = {r["temperature"]: r for r in cell["records"]}
        assert set(by_temperature) == set(TEMPERATURES)
        assert set(text.AT_ONE) <= set(by_temperature[1.0])
        assert not {"lm_forward"} & set(by_temperature[0.5])
        assert {text.QUALITY, *text.DIVERSITIES} <= set(by_temperature[0.5])
    (page := folder / "page.md").write_text("<!-- text: begin -->\n<!-- text: end -->\n")
    text.report(file, page)
    shown = page.read_text()
    for row in text.SHOWN:
        lines = "".join(f"> {line}  \n" for line in corpus["rows"][row][0]["samples"][: text.N_SHOWN])
        assert f"\n{row}:\n\n{lines}\n" in shown
    game = text.grid_of("lines", folder / "runs", 20).start(ROWS[BASELINE].start, 1).game
    drawn, decode = game.agent.generator.draw(N_SAMPLES, seed=1), game.task.source.vocabulary.decode
    assert corpus["rows"][BASELINE][0]["samples"] == [decode(row_T[row_T != game.task.spec.pad_id]) for row_T in drawn]
    assert all(row in (folder / "text.svg").read_text() for row in (*text.SHOWN, text.REAL))
    assert f"\n| {text.REAL} |  | {real['bleu_4']:.3f} ± nan |" in shown
    before = file.read_bytes()
    with without_pictures():
        text.run(folder, folder / "runs", 1, file, 1, only=("lines",), n=20)
    assert json.loads(file.read_bytes())["corpora"] == json.loads(before)["corpora"]


def test_rows_are_compared_where_quality_is_that_of_maximum_likelihood() -> None:
    def cell(shift: float) -> dict[str, Any]:  # which foresees more by it, at each BLEU-4
        names = ("temperature", text.QUALITY, "self_bleu_4", "nll_test")
        return {"records": [dict(zip(names, (t, 1 - t / 2, 1 - t / 2, 4 - t - shift), strict=True)) for t in CURVE]}

    poor = {"records": [{**r, text.QUALITY: 0.1} for r in cell(0)["records"]]}
    table = text.differences({BASELINE: [cell(0.0)] * 2, "distilled": [cell(0.3)] * 2, "PG-BLEU": [poor] * 2})
    none, gain = "+0.000 ± 0.000", "-0.300 ± 0.000"
    assert f"| distilled | {none} | {none} | {gain} | {gain} |" in table
    assert f"| PG-BLEU | {' | '.join(['not reached'] * 4)} |" in table
    assert BASELINE not in table


def test_a_corpus_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises((OSError, ValueError), match=r"nowhere"):
        text.run(folder / "nowhere", folder / "runs", 1, folder / "text.json", 1, only=("lines",), n=20)
    assert not (folder / "runs").exists()


def test_another_corpus_is_refused_and_the_first_one_stays(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs/lines.txt").write_text("of another folder\n")
    with pytest.raises(ValueError, match=r"lines.txt holds another corpus: take"):
        text.run(folder, folder / "runs", 1, folder / "text.json", 1, only=("lines",), n=20)
    assert (folder / "runs/lines.txt").read_text() == "of another folder\n"


def test_the_rows_of_each_corpus_can_be_trained() -> None:
    for scenario in text.CORPORA.values():
        assert all(ROWS[row].rival in ("", *scenario.n_epochs) for row in text.SHOWN)
        updates = {row: config_of(row, scenario, 1).agent.n_updates for row in text.SHOWN if ROWS[row].game}
        assert updates == {"SeqGAN log D": 600, "PG-BLEU": 60, "SeqGAN log-ratio, generative": 600}


def test_real_text_is_drawn_without_replacement_and_no_longer_than_the_task(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("a a\nb\na b a\nb c\n")
    (tmp_path / "train.txt").write_text("a b\nb a\nc\n")
    task = Task(TaskConfig(source=str(tmp_path / "train.txt")))
    real = RealText(task, tmp_path / "real.txt")
    vocabulary, pad = task.source.vocabulary, task.spec.pad_id
    assert vocabulary is not None
    drawn = [vocabulary.decode(row_T[row_T != pad]) for row_T in real.draw(9, seed=1)]
    assert sorted(drawn) == ["a a", "b", "b c"]
