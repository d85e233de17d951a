"""The evaluations in a checkpoint: what the report needs is there, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runs.records import check_records

RECORD: dict[str, Any] = {"phase": "random", "step": 0, "nll_test": 2.0, "wall_time_s": 0.1}


def test_records_are_accepted() -> None:
    check_records([])
    check_records([RECORD, {**RECORD, "phase": "adversarial", "step": 3, "nll_test": float("inf"), "loss": 1}])


def test_what_is_measured_on_request_may_be_missing_where_it_is_not_defined() -> None:
    """As the best temperature at one of them, or the 3-grams of a generator that writes two tokens."""
    check_records([{**RECORD, "kl_sum_best": 1.0}, {**RECORD, "phase": "temperature", "temperature": 0.5, "js_2": 0.3}])


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ({}, "the records must be a list, got {}"),
        ([RECORD, 3], "record 1 must be measurements by name, and their phase; got 3"),
        ([{"step": 0}], "record 0 must be measurements by name, and their phase"),
        ([{**RECORD, "phase": "bogus"}], "the phase of record 0 must be one of random, .*; got 'bogus'"),
        ([{**RECORD, "step": -1}], "step of record 0 must be a whole number of at least 0, got -1"),
        ([{**RECORD, "step": None}], "step of record 0 must be a whole number"),
        ([{**RECORD, "nll_test": "2"}], "nll_test of record 0 must be a number, got '2'"),
        ([{**RECORD, "nll_test": True}], "nll_test of record 0 must be a number, got True"),
        ([{**RECORD, "praise": 1.0}], "record 0 has measurements of no registered metric: praise"),
        ([RECORD, {"phase": "random", "step": 0}], "record 1 has unknown or missing measurements: nll_test"),
        ([RECORD, {**RECORD, "entropy": 1.0}], "record 1 has unknown or missing measurements: entropy"),
    ],
)
def test_anything_else_is_refused(records: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        check_records(records)
