"""The space of a search: names of settings and their values, checked before anything is tried."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agents.runs.config import RunConfig
from agents.runs.presets import PRESETS
from agents.runs.search_space import SPACE, Range, check_space, to_plain, with_settings
from seqgan_env.autoregressive import CORES
from tests.support.runs import TINY, changed


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_space_suits_every_run(preset: str, core: str) -> None:
    check_space(changed(PRESETS[preset], generator={"core": core, "kwargs": {}}), SPACE)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("pretraining.learning_rate", 0.5, {"pretraining": {"learning_rate": 0.5}}),
        ("generator.kwargs.dropout", 0.25, {"generator": {"kwargs": {**TINY.generator.kwargs, "dropout": 0.25}}}),
        ("generator.core", "gru", {"generator": {"core": "gru"}}),
        ("seed", 4, {"seed": 4}),
    ],
)
def test_a_setting_is_changed_by_its_dotted_name_and_nothing_else_is(
    name: str, value: Any, parts: dict[str, Any]
) -> None:
    assert with_settings(TINY, {name: value}) == changed(TINY, **parts)
    assert with_settings(TINY, {}) == TINY


@pytest.mark.parametrize("name", ["pretraining.lr", "dropout", "generator.dropout", "seed.seed", "pretraining", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        with_settings(TINY, {name: 1})


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({}, "at least one setting"),
        ({"pretraining.lr": Range(0.1, 0.2)}, r"such as pretraining\.learning_rate; got 'pretraining\.lr'"),
        ({"pretraining.warmup": Range(0.0, 1.0)}, r"warmup must be a finite number in \[0, 1\), got 1\.0"),
        ({"pretraining.batch_size": Range(0, 8)}, "batch_size must be a whole number of at least 1, got 0"),
        ({"pretraining.schedule": ("cosine", "sine")}, "schedule must be one of .*; got 'sine'"),
    ],
)
def test_a_space_that_does_not_fit_the_run_is_refused(space: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_space(TINY, space)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1.0, 1.0, False), (2.0, 1.0, False), (0.0, 1.0, True), (math.nan, 1.0, False)]
)
def test_a_range_without_values_is_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match=f"got {low!r} to {high!r}"):
        Range(low, high, log)


def test_a_space_is_plain_data() -> None:
    assert to_plain({"a": Range(1, 8, log=True), "b": ("x", "y")}) == {
        "a": {"low": 1, "high": 8, "log": True, "step": None},
        "b": ["x", "y"],
    }
    assert RunConfig.from_dict(TINY.to_dict()) == TINY
