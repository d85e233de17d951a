"""Settings drawn from ranges: within them, evenly, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from agents.sweeps.search import Range, search_of
from agents.sweeps.spec import cells_of
from tests.support.sweeps import spec_with

TABLE: dict[str, Any] = {
    "trials": 64,
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "n_epochs": {"low": 1, "high": 4, "whole": True},
    "gae_lambda": {"low": 0.5, "high": 1.0},
    "policy": ["a", "b"],
}


def drawn(name: str, table: dict[str, Any]) -> list[dict[str, Any]]:
    return search_of(name, table).drawn()


def test_every_part_of_a_range_is_drawn_alike() -> None:
    trials = drawn("it", TABLE)
    decades = Counter(int(np.floor(np.log10(trial["learning_rate"] * (1 + 1e-9)))) for trial in trials)
    assert decades == {-5: 16, -4: 16, -3: 16, -2: 16}
    assert Counter(trial["n_epochs"] for trial in trials) == {1: 16, 2: 16, 3: 16, 4: 16}
    assert Counter(trial["policy"] for trial in trials) == {"a": 32, "b": 32}
    assert Counter(trial["gae_lambda"] > 0.75 for trial in trials) == {True: 32, False: 32}
    assert {type(trial["n_epochs"]) for trial in trials} == {int}


def test_more_trials_add_to_those_that_there_are() -> None:
    assert drawn("it", {**TABLE, "trials": 100})[:64] == drawn("it", TABLE)
    assert drawn("it", {**TABLE, "seed": 1}) != drawn("it", TABLE)


def test_the_order_of_the_settings_decides_nothing() -> None:
    assert drawn("it", dict(reversed(TABLE.items()))) == drawn("it", TABLE)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.12345, 0.12347), (0.999, 0.9999), (10_000, 10_010), (1e-5, 1e-2)])
def test_numbers_stay_within_bounds_and_differ_however_narrow_these_are(low: float, high: float, log: bool) -> None:
    values = [trial["x"] for trial in drawn("it", {"trials": 32, "x": {"low": low, "high": high, "log": log}})]
    assert all(low <= value <= high for value in values)
    assert len(set(values)) > 28


def test_numbers_have_three_digits() -> None:
    values = [trial["x"] for trial in drawn("it", {"trials": 50, "x": {"low": 0.0, "high": 100.0}})]
    assert all(value == float(f"{value:.3g}") for value in values)


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 9), (4, 64)])
def test_whole_numbers_of_a_logarithm_reach_both_ends(low: int, high: int) -> None:
    values = [Range(low, high, log=True, whole=True).at(share) for share in np.linspace(0, 1 - 1e-9, 500)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (low, high)
    assert {type(value) for value in values} == {int}


def test_the_ends_have_both_of_each_range_and_every_value_of_a_list() -> None:
    ends = list(search_of("it", {**TABLE, "many": list(range(49))}).ends())
    assert {key: {trial[key] for trial in ends} for key in ends[0]} == {
        "learning_rate": {1e-5, 1e-1},
        "n_epochs": {1, 4},
        "gae_lambda": {0.5, 1.0},
        "policy": {"a", "b"},
        "many": set(range(49)),
    }


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"x": [1]}, "it must have trials"),
        ({"trials": 0, "x": [1]}, r"trials must be a whole number in \[1, 10000\], got 0"),
        ({"trials": 10**9, "x": [1]}, "trials must be a whole number in"),
        ({"trials": 2, "x": {"low": 1.2, "high": 1.8, "whole": True}}, "a whole number must be from low to high"),
        ({"trials": 2, "x": {"low": -1e308, "high": 1e308}}, "high - low must be a finite number"),
        ({"trials": 2}, "at least one setting"),
        ({"trials": 2, "seed": [1, 2]}, r"seed of it must be a value of its own, got \[1, 2\];.*a grid takes"),
        ({"trials": {"low": 1, "high": 9}, "x": [1]}, r"trials of it must be a value.*setting of the name 'trials'"),
        ({"trials": 2, "x": []}, "it, x must be a list of values, or a table"),
        ({"trials": 2, "x": 1}, "it, x must be a list of values, or a table"),
        ({"trials": 2, "x": {"low": 1}}, "it, x must be a list of values, or a table of low and high"),
        ({"trials": 2, "x": {"low": 1, "high": 2, "step": 1}}, "it, x.*step"),
        ({"trials": 2, "x": {"low": 2, "high": 2}}, "low must be below high, got 2 and 2"),
        ({"trials": 2, "x": {"low": 0, "high": 2, "log": True}}, "low must be above 0"),
        ({"trials": 2, "x": [1], "sampler": "grid"}, "sampler must be .*'tpe'.*, got 'grid'"),
        ({"trials": 2, "x": [1], "sampler": "tpe"}, "tpe needs a metric.*metric None"),
        ({"trials": 2, "x": [1], "metric": "kl_sum"}, "sobol takes neither.*got sampler 'sobol', metric 'kl_sum'"),
        ({"trials": 2, "x": [1], "at_once": 2}, "sobol takes neither.*at_once 2"),
        ({"trials": 2, "x": [1], "sampler": "tpe", "metric": "kl"}, "metric must be one of .*kl_sum.*; got 'kl'"),
        ({"trials": 2, "x": [1], "sampler": "tpe", "metric": "kl_sum", "at_once": 0}, "at_once must be"),
    ],
)
def test_a_bad_table_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        drawn("it", table)


def test_a_sweep_plays_every_trial_with_every_value_of_the_grid() -> None:
    search = {"trials": 3, "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    cells = cells_of(spec_with(algorithm=[{"name": "a2c", "grid": {"n_steps": [2, 4]}, "search": search}]))
    drawn_rates = [trial["learning_rate"] for trial in drawn("search of a2c", search)]
    assert Counter(cell.settings["learning_rate"] for cell in cells) == dict.fromkeys(drawn_rates, 2)
    assert Counter(cell.settings["n_steps"] for cell in cells) == {2: 3, 4: 3}
    named = {"name": "json:loads", "seed": 5, "grid": {"trials": [7, 8]}, "search": {"trials": 3, "seed": 1, "x": [2]}}
    cells = cells_of(spec_with(algorithm=[named]))  # a function of a user's own may have settings of these names
    assert Counter(tuple(sorted(cell.settings.items())) for cell in cells) == {
        (("seed", 5), ("trials", trials), ("x", 2)): 1 for trials in (7, 8)
    }
    with pytest.raises(ValueError, match="n_steps is both"):
        cells_of(spec_with(algorithm=[{"name": "a2c", "n_steps": 2, "search": {"trials": 1, "n_steps": [2]}}]))
