"""Runs that share one maximum-likelihood phase."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.runs.comparison import compare
from agents.runs.config import RunConfig
from agents.runs.folder import Record
from agents.runs.phases import LIKELIHOOD, RANDOM, TEMPERATURE
from agents.runs.report import summary
from tests.support.runs import TINY, changed, without_time

SHARED = (RANDOM, LIKELIHOOD, TEMPERATURE)
pytestmark = pytest.mark.usefixtures("without_pictures")


def test_rewards_are_compared_from_one_maximum_likelihood_phase(tmp_path: Path) -> None:
    rewards: dict[str, dict[str, Any]] = {"log_d": {}, "constant": {}, "exact_log_ratio": {"learning_rate": 0.01}}
    runs = {reward: changed(TINY, task={"reward": reward}, agent=agent) for reward, agent in rewards.items()}
    first: list[list[Record]] = []
    records = compare(runs, tmp_path, progress=False, on_pretrained=first.append)
    assert [records["log_d"][: len(own)] for own in first] == [[r for r in records["log_d"] if r["phase"] in SHARED]]
    for reward, config in runs.items():
        assert RunConfig.load(tmp_path / reward / "config.json") == config
    start = {
        reward: next(r["nll_test"] for r in own if (r["phase"], r["step"]) == ("adversarial", 0))
        for reward, own in records.items()
    }
    assert len(set(start.values())) == 1
    # with a baseline a reward that says nothing moves nothing
    constant = [r["nll_test"] for r in records["constant"] if r["phase"] == "adversarial"]
    assert np.ptp(constant) == pytest.approx(0, abs=1e-9)
    exact = [r["nll_test"] for r in records["exact_log_ratio"] if r["phase"] == "adversarial"]
    assert np.ptp(exact) > 1e-4
    labelled = {runs[reward].label: own for reward, own in records.items()}
    games = [name for name in summary(labelled) if "SeqGAN" in name and "T =" not in name]
    assert games == ["SeqGAN log D", "SeqGAN constant", "SeqGAN exact"]
    again = compare(runs, tmp_path, progress=False, on_pretrained=first.append)
    assert again == records  # nothing was done twice: not even the times differ
    assert len(first) == 1
    del runs["constant"]  # two are enough for two processes, which draw pictures
    beside = compare(runs, tmp_path / "side by side", n_workers=2, progress=False)
    assert {name: without_time(own) for name, own in beside.items()} == {
        name: without_time(records[name]) for name in runs
    }


def test_an_error_of_one_run_side_by_side_is_that_of_all(tmp_path: Path) -> None:
    runs = {"first": changed(TINY, agent={"n_updates": 0}), "second": changed(TINY, agent={"n_updates": 1})}
    compare({"first": runs["first"]}, tmp_path, progress=False)
    (tmp_path / "second").mkdir()
    changed(runs["second"], seed=1).save(tmp_path / "second" / "config.json")
    with pytest.raises(ValueError, match=r"the run in .*second has other settings: seed 0 instead of 1"):
        compare(runs, tmp_path, n_workers=2, progress=False)


def test_runs_are_not_compared_in_the_folder_of_something_else(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.html").write_text("precious")
    for out, says in ((folder, "holds a run"), (tmp_path / "other", "is not an empty folder")):
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        with pytest.raises(ValueError, match=says):
            compare({"log_d": TINY}, out, progress=False)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
