"""The folder of a run: what is refused before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agents.runs.experiment import Experiment
from tests.support.runs import TINY, changed


def test_bad_folders_and_files_are_refused_before_anything_is_written(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a run"):
        Experiment(TINY, finished)
    with pytest.raises(ValueError, match="no run to resume"):
        Experiment(TINY, tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match=r"agent\.n_episodes 7 instead of 8"):
        Experiment(changed(TINY, agent={"n_episodes": 7}), finished, resume=True)
    other = changed(TINY, generator={"kwargs": {"embedding_dim": 8, "hidden_dim": 9}})
    with pytest.raises(ValueError, match=r"pretrained with other settings: .*'hidden_dim': 9.* instead of Generator"):
        Experiment(other, tmp_path / "new", start_from=finished)
    corpus = tmp_path / "text.txt"
    corpus.write_text("a b\nc d\n")
    sizes = {"vocab_size": None, "max_length": None}
    unknown = changed(TINY, task={"source": str(corpus), "reward": "exact_log_ratio", **sizes})
    with pytest.raises(ValueError, match="known likelihood"):
        Experiment(unknown, tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not an empty folder"):
        Experiment(TINY, tmp_path / "full")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "none").exists()
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    content = (damaged / "checkpoint.zip").read_bytes()
    (damaged / "checkpoint.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"checkpoint\.zip"):
        Experiment(TINY, damaged, resume=True)
