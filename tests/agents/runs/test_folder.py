"""The folder of a run: what is refused before anything is written."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from agents.config import EXACT_REWARD
from agents.experiment import Experiment
from tests.support.runs import TINY


def test_bad_folders_and_files_are_refused_before_anything_is_written(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds another run"):
        Experiment(TINY, finished)
    with pytest.raises(ValueError, match="no run to resume"):
        Experiment(TINY, tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match="n_updates 7 instead of 6"):
        Experiment(dataclasses.replace(TINY, n_updates=7), finished, resume=True)
    with pytest.raises(ValueError, match="pretrained with another hidden_dim"):
        Experiment(dataclasses.replace(TINY, hidden_dim=9), tmp_path / "new", start_from=finished)
    corpus = tmp_path / "text.txt"
    corpus.write_text("a b\nc d\n")
    unknown = dataclasses.replace(TINY, source=str(corpus), vocab_size=None, max_length=None, reward=EXACT_REWARD)
    with pytest.raises(ValueError, match="known likelihood"):
        Experiment(unknown, tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not an empty folder"):
        Experiment(TINY, tmp_path / "full")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "none").exists()
    for name in ("checkpoint.zip", "config.json"):
        damaged = shutil.copytree(finished, tmp_path / name)
        content = (damaged / name).read_bytes()
        (damaged / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=name):
            Experiment(TINY, damaged, resume=True)
