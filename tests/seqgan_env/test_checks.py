"""What the boundary lets through, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from seqgan_env.checks import (
    Interval,
    PositiveFloat,
    PositiveInt,
    build_config,
    check_arguments,
    check_choice,
    check_fields,
    check_type,
    is_whole,
    shown,
)


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
    number = check_type("n", np.int32(3), Annotated[int, Interval(3)])
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize("value", [2, -1, True, 3.0, "3", None])
def test_a_number_that_is_too_small_or_not_whole_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"^n must be a whole number of at least 3, got {value!r}$"):
        check_type("n", value, Annotated[int, Interval(3)])


@pytest.mark.parametrize("value", [1, 1e-300, np.float32(0.5), np.int64(2), Fraction(1, 3)])
def test_a_finite_number_above_0_is_positive(value: Any) -> None:
    assert check_type("rate", value, PositiveFloat) == float(value)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), True, "1", None, 1j])
def test_what_is_not_positive_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^rate must be a finite number above 0, got "):
        check_type("rate", value, PositiveFloat)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "text"),
    [
        (Interval(1), (1, 2.5), (0, 0.999), "of at least 1"),
        (Interval(0, has_low=False), (1e-300,), (0, -1), "above 0"),
        (Interval(0, 1), (0, 0.5, 1), (-0.1, 1.1), "in [0, 1]"),
        (Interval(0, 1, has_low=False), (0.5, 1), (0, 1.1), "above 0 and at most 1"),
        (Interval(0, 1, has_high=False), (0, 0.5), (1, -0.1), "in [0, 1)"),
    ],
)
def test_an_interval_has_its_limits_or_not(interval: Interval, inside: Any, outside: Any, text: str) -> None:
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)
    assert str(interval) == text


@check_arguments
def repeat(text: str, times: PositiveInt = 1, *rest: str, scale: PositiveFloat | None = None, **more: Any) -> Any:
    """A function whose annotations say what it takes."""
    return text, times, rest, scale, more


def test_arguments_in_either_form_and_defaults_reach_the_function() -> None:
    assert repeat("a") == ("a", 1, (), None, {})
    assert repeat("a", np.int64(2), "b", scale=1, other=3) == ("a", 2, ("b",), 1.0, {"other": 3})
    assert type(repeat("a", np.int64(2))[1]) is int
    assert repeat.__doc__ == "A function whose annotations say what it takes."


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((1,), {}, "text must be a string, got 1"),
        (("a", 0), {}, "times must be a whole number of at least 1, got 0"),
        (("a",), {"times": None}, "times must be a whole number of at least 1, got None"),
        (("a",), {"scale": -1}, "scale must be a finite number above 0 or None, got -1"),
    ],
)
def test_an_argument_of_another_kind_is_refused_by_its_name(arguments: Any, keywords: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        repeat(*arguments, **keywords)


def test_a_value_of_several_lines_is_shown_in_one() -> None:
    class Long:
        def __repr__(self) -> str:
            return "two\n    lines"

    assert shown(Long()) == "two lines"


def test_a_missing_argument_is_the_error_that_python_gives() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        repeat()  # type: ignore[call-arg]


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
        (Sizes, {"width": "3"}, "width must be a whole number, got '3'"),
        (Sizes, {"width": 10}, "width must be at most 9"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(
    config_class: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        build_config(config_class, arguments, "the thing")


@dataclass(frozen=True)
class Typed:
    """A configuration with a field of each kind of annotation."""

    whole: int = 0
    number: float = 0.0
    flag: bool = False
    text: str = ""
    maybe: float | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    several: Sequence[int | str] | None = None
    named: Mapping[str, Any] = field(default_factory=dict)
    choice: Literal["a", "b"] = "a"
    function: str | Callable[[int], int] = ""
    nested: Sizes = Sizes(1)

    def __post_init__(self) -> None:
        check_fields(self, may_lack=("text",))


@dataclass(frozen=True)
class Nested:
    kwargs: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("whole", np.int64(3), 3),
        ("number", np.float32(0.5), 0.5),
        ("number", 3, 3.0),
        ("flag", np.True_, True),
        ("text", Path("a.txt"), "a.txt"),
        ("text", Path("a/b"), "a/b"),
        ("text", Path("a"), "./a"),  # which no name is
        ("maybe", None, None),
        ("pairs", [[1, 2], (3, 4)], ((1, 2), (3, 4))),
        ("several", (1, "b"), [1, "b"]),
        ("several", np.array([1, 2]), [1, 2]),
        ("named", {"a": [None]}, {"a": [None]}),
        ("choice", "b", "b"),
        ("function", abs, abs),
        ("nested", {"width": 3, "depth": 4}, Sizes(3, 4)),
        ("nested", Sizes(3), Sizes(3)),
    ],
)
def test_a_value_of_its_type_becomes_plain(name: str, value: Any, plain: Any) -> None:
    for config in (build_config(Typed, {name: value}, "it"), Typed(**{name: value})):
        found = getattr(config, name)
        assert found == plain
        assert type(found) is type(plain)


def test_what_a_mapping_holds_is_the_config_s_own() -> None:
    given: dict[str, Any] = {"filters": [[1, 8]]}
    configs = build_config(Nested, {"kwargs": given}, "it"), Nested(given)
    given["filters"][0][0] = 2
    given["more"] = {}
    assert [config.kwargs for config in configs] == [{"filters": [[1, 8]]}] * 2


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("whole", True, "a whole number, got True"),
        ("whole", 2.0, "a whole number, got 2.0"),
        ("whole", 2**63, "a whole number, got 9223372036854775808"),
        ("number", float("inf"), "a finite number, got inf"),
        ("number", float("nan"), "a finite number, got nan"),
        ("number", 10**400, "a finite number, got 10+[.]{3}0+"),
        ("number", "1", "a finite number, got '1'"),
        ("number", False, "a finite number, got False"),
        ("flag", 1, "true or false, got 1"),
        ("text", 3, "a string, got 3"),
        ("maybe", "x", "a finite number or None, got 'x'"),
        ("pairs", [[1, 2, 3]], r"\(a whole number, a whole number\), got \[1, 2, 3\]"),
        ("pairs", 3, r"a list \(each \(a whole number, a whole number\)\), got 3"),
        ("pairs", [[1, None]], "a whole number, got None"),
        ("several", [1.5], r"a list \(each a whole number or a string\) or None, got \[1.5\]"),
        ("several", "ab", "a list .* or None, got 'ab'"),
        ("named", [], r"a mapping from names, got \[\]"),
        ("named", {1: 2}, "a mapping from names, got {1: 2}"),
        ("choice", "c", "'a' or 'b', got 'c'"),
        ("function", 3, "a string or a function, got 3"),
        ("nested", 3, "Sizes, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any, says: str) -> None:
    for make in (lambda: build_config(Typed, {name: value}, "it"), lambda: Typed(**{name: value})):
        with pytest.raises(ValueError, match=rf"^{name}(\[\d\])* must be {says}$"):
            make()


def test_a_field_may_lack_its_value_where_that_is_said() -> None:
    assert Typed(text=None).text is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="text must be a string, got None"):
        build_config(Typed, {"text": None}, "it")


@pytest.mark.parametrize("nested", [{}, {"width": 1}, {"width": 1, "depth": 2, "height": 3}])
def test_what_is_nested_must_be_complete(nested: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match=r"^nested has unknown or missing fields, as of another version: (depth|height)"
    ):
        build_config(Typed, {"nested": nested}, "it")


@pytest.mark.parametrize("arguments", [None, 3, ["width"]])
def test_arguments_that_have_no_names_are_refused(arguments: Any) -> None:
    for complete in (True, False):
        with pytest.raises(ValueError, match=r"^it (must have|takes) .*; got|^it takes its arguments by name, got"):
            build_config(Sizes, arguments, "it", complete=complete)


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(ValueError, match="whole must be a whole number") as caught:
        build_config(Typed, {"whole": "x" * 10**6}, "it")
    assert len(str(caught.value)) < 200
