"""What the boundary lets through, and what it says of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from seqgan_env.checks import build_config, check_choice, check_positive, check_whole_number, is_whole


@dataclass(frozen=True)
class Sizes:
    """A configuration that refuses what is too large."""

    width: int
    depth: int = 2

    def __post_init__(self) -> None:
        if self.width > 9:
            raise ValueError("width must be at most 9")


@dataclass(frozen=True)
class Nothing:
    """A configuration without a field."""


@pytest.mark.parametrize("value", [0, -3, 10**30, np.int64(7), np.uint8(1)])
def test_integers_are_whole_numbers(value: Any) -> None:
    assert is_whole(value)


@pytest.mark.parametrize("value", [True, np.bool_(True), 1.0, "1", None, [1], np.array([1])])
def test_nothing_else_is_a_whole_number(value: Any) -> None:
    assert not is_whole(value)


def test_a_whole_number_that_is_large_enough_comes_back_as_an_integer_of_python() -> None:
    number = check_whole_number("n", np.int32(3), 3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize("value", [2, -1, True, 3.0, "3", None])
def test_a_number_that_is_too_small_or_not_whole_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"^n must be a whole number of at least 3, not {value!r}$"):
        check_whole_number("n", value, 3)


@pytest.mark.parametrize("value", [1, 1e-300, np.float32(0.5), np.int64(2), Fraction(1, 3)])
def test_a_finite_number_above_0_is_positive(value: Any) -> None:
    check_positive("rate", value)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), True, "1", None, 1j])
def test_what_is_not_positive_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^rate must be a finite number above 0, got "):
        check_positive("rate", value)


def test_a_choice_is_one_of_the_choices() -> None:
    check_choice("mode", "fast", ("fast", "slow"))
    with pytest.raises(ValueError, match=r"^mode must be one of fast, slow; got 'medium'$"):
        check_choice("mode", "medium", ("fast", "slow"))


def test_a_configuration_is_built_from_its_fields() -> None:
    assert build_config(Sizes, {"width": 3}, "the thing") == Sizes(3, 2)
    assert build_config(Nothing, {}, "the thing") == Nothing()


@pytest.mark.parametrize(
    ("config_class", "arguments", "message"),
    [
        (Sizes, {"width": 3, "height": 4, "angle": 5}, "the thing takes width, depth; got angle, height"),
        (Nothing, {"width": 3}, "the thing takes no arguments; got width"),
        (Sizes, {"depth": 3}, "the thing cannot be made with {'depth': 3}: .*width"),
        (Sizes, {"width": "3"}, "the thing cannot be made with {'width': '3'}: "),
        (Sizes, {"width": 10}, "width must be at most 9"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(
    config_class: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        build_config(config_class, arguments, "the thing")
