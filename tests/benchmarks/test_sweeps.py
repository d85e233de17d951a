"""The cost of a sweep beside its learning."""

from __future__ import annotations

import pytest

from benchmarks import sweeps


def test_a_line_for_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    sweeps.main(["--runs", "3", "--repeats", "1"])
    parts = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert parts == [
        "the driver, a run of 3 and its pretraining",
        "the driver, the check of a combination",
        "a run, without learning",
        "the engine local, such a run one after another",
    ]
