"""A finished run is measured afresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.evaluation import evaluate_run
from tests.support.runs import stored


def test_evaluate_run_measures_afresh_and_writes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    record = evaluate_run(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    last = next(record for record in reversed(stored(finished)) if record["phase"] == "adversarial")
    assert record["nll_test"] == pytest.approx(last["nll_test"], rel=1e-6)
    assert record["discriminator_version"] == last["discriminator_version"]
    assert evaluate_run(finished, n=10)["nll_test"] != record["nll_test"]
