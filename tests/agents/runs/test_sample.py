"""The generator of a finished run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from agents.cli import main
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.runs.sample import load_generator
from tests.support.runs import TINY, changed

pytestmark = pytest.mark.usefixtures("without_pictures")


def test_a_text_file_is_learnt_and_sampled_without_the_file(tmp_path: Path) -> None:
    corpus = tmp_path / "cats.txt"
    corpus.write_text("".join(f"a {a} cat {v}.\n" for a in ("big", "small", "old") for v in ("sleeps", "runs", "eats")))
    config = changed(TINY, task={"source": str(corpus), "vocab_size": None, "max_length": None})
    experiment = Experiment(config, tmp_path / "run", progress=False)
    records = experiment.run()
    assert "nll_oracle" not in records[-1]
    assert np.isfinite(records[-1]["nll_test"])
    corpus.write_text(corpus.read_text() + "a new cat sleeps.\n")
    with pytest.raises(ValueError, match=r"cats\.txt has changed since the run began"):
        Experiment(config, tmp_path / "run", resume=True)
    corpus.unlink()
    generator = load_generator(tmp_path / "run")
    texts = generator.texts(20, prefix="a big")
    assert len(texts) == 20
    assert all(text.startswith("a big") for text in texts)
    assert generator.texts(20, prefix="a big") == texts
    judged = load_generator(tmp_path / "run", judged=True)
    drawn, best = judged.texts(20, seed=1), judged.texts(5, best_of=4, seed=1)
    logit_B = experiment.game.task.scoring.discriminator.logits(judged.model.draw(20, seed=1))
    assert best == [drawn[4 * i + int(group.argmax())] for i, group in enumerate(logit_B.reshape(5, 4))]
    assert best != drawn[::4]
    assert judged.texts(5, resample=4, seed=1) not in (best, drawn[::4])
    with pytest.raises(ValueError, match="two rules, of which one may be above 1; got 4, 2"):
        judged.texts(5, best_of=4, resample=2)
    with pytest.raises(ValueError, match="a choice among 2 needs a discriminator"):
        generator.texts(1, best_of=2)
    with pytest.raises(ValueError, match="zebra"):
        generator.texts(1, prefix="a zebra")
    with pytest.raises(ValueError, match="shorter than T"):
        generator.texts(1, prefix="a big big big big big")


def test_unknown_words_can_be_left_out(tmp_path: Path) -> None:
    """All else is drawn as before, one of them after the other."""
    corpus = tmp_path / "rare.txt"
    corpus.write_text("".join(f"a w{n} cat\na dog\n" for n in range(30)))
    task = {"source": str(corpus), "vocab_size": None, "max_length": None, "min_count": 2}
    Experiment(changed(TINY, task=task, agent={"n_updates": 0}), tmp_path / "run", progress=False).run()
    generator = load_generator(tmp_path / "run", judged=True)
    texts = generator.texts(200)
    assert any("<unk>" in text for text in texts)
    known = generator.texts(200, known_only=True)
    assert not any("<unk>" in text for text in (*known, *generator.texts(20, known_only=True, best_of=3)))
    assert {"a dog"} <= set(known)
    assert main(["sample", str(tmp_path / "run"), "-n", "50", "--known-only"]) == 0


def test_byte_pairs_are_learnt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's folder has the merges, so that nothing after the training needs the library."""
    pytest.importorskip("tokenizers")
    corpus = tmp_path / "cats.txt"
    lines = [f"a {a} cat  {v}." for a in ("big", "small", "old") for v in ("sleeps", "runs", "eats")]
    corpus.write_text("\n".join(lines))
    task = {"source": str(corpus), "vocab_size": 30, "max_length": None, "level": "bpe", "min_count": 2}
    experiment = Experiment(changed(TINY, task=task), tmp_path / "run", progress=False)
    record = experiment.run()[-1]
    vocabulary = experiment.game.task.source.vocabulary
    assert vocabulary is not None
    assert len(vocabulary) == 30
    assert sorted(map(vocabulary.decode, np.concatenate(experiment.game.task._split))) == sorted(lines)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    texts = load_generator(tmp_path / "run").texts(20, prefix="a big cat ")
    assert all(text.startswith("a big cat ") for text in texts)
    moved = corpus.rename(tmp_path / "moved.txt")
    assert evaluate_run(tmp_path / "run", source=str(moved))["nll_test"] == pytest.approx(record["nll_test"])
    with pytest.raises(ValueError, match=r"not installed: pip install 'seqgan-env\[bpe\]'$"):
        Experiment(changed(TINY, task=task | {"source": str(moved)}), tmp_path / "other")


def test_ids_are_printed_as_the_file_has_them(tmp_path: Path) -> None:
    """Without the end that was added to its lines."""
    corpus = tmp_path / "ids.txt"
    corpus.write_text("".join(" ".join(str(i * j % 7) for j in range(2 + i % 3)) + "\n" for i in range(1, 30)))
    task = {"source": str(corpus), "vocab_size": None, "max_length": None, "level": "ids"}
    experiment = Experiment(changed(TINY, task=task, agent={"n_updates": 0}), tmp_path / "run", progress=False)
    experiment.run()
    generator = load_generator(tmp_path / "run")
    spec = generator.model.spec
    texts, rows = generator.texts(50), generator.model.draw(50)
    assert spec.eos_id == 7
    assert (rows == spec.eos_id).any()
    assert texts == [" ".join(map(str, row[row < 7])) for row in rows]


def test_a_discriminator_of_other_words_is_no_judge(tmp_path: Path) -> None:
    """Even where there are as many of them."""
    for name, animal in (("a", "cat"), ("b", "dog")):
        (tmp_path / f"{name}.txt").write_text(f"a {animal}\nthe {animal}\none {animal}\n" * 2)
        task = {"source": str(tmp_path / f"{name}.txt"), "vocab_size": None, "max_length": None}
        Experiment(changed(TINY, task=task, agent={"n_updates": 1}), tmp_path / name, progress=False).run()
    load_generator(tmp_path / "a", judged=True)
    shutil.copy(tmp_path / "b" / "checkpoint.zip", tmp_path / "a")
    with pytest.raises(ValueError, match=r"checkpoint\.zip is not a readable checkpoint of this run: spec must be "):
        load_generator(tmp_path / "a", judged=True)


def test_only_a_discriminator_that_was_trained_is_a_judge(tmp_path: Path) -> None:
    Experiment(changed(TINY, task={"reward": "constant"}, agent={"n_updates": 0}), tmp_path / "run").run()
    with pytest.raises(ValueError, match="no trained discriminator to choose by: its game is 'constant'"):
        load_generator(tmp_path / "run", judged=True)
