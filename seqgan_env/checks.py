"""Checks of arguments at the boundary: each returns what is valid and raises a ``ValueError`` that names both sides.

An annotation says all of it: ``n: PositiveInt`` is checked by ``check_fields`` in a dataclass, and by
``check_arguments`` in a function.
"""

# Over 300 lines: a small check for each kind of setting, of which a third are docstrings.

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Real
from typing import Annotated, Any, Literal, TypeVar, Union

import numpy as np

Config = TypeVar("Config")
Function = TypeVar("Function", bound=Callable[..., Any])

_LARGEST = 2**63


@dataclasses.dataclass(frozen=True)
class Interval:
    """The numbers that an annotation allows: ``Annotated[float, Interval(0, 1)]``."""

    low: float
    """The lower limit."""
    high: float = math.inf
    """The upper limit."""
    has_low: bool = True
    """Whether the lower limit itself is allowed."""
    has_high: bool = True
    """Whether the upper one is."""

    def __contains__(self, value: Any) -> bool:
        above = value >= self.low if self.has_low else value > self.low
        return bool(above and (value <= self.high if self.has_high else value < self.high))

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"of at least {self.low}" if self.has_low else f"above {self.low}"
        if not self.has_low:
            return f"above {self.low} and {'at most' if self.has_high else 'below'} {self.high}"
        return f"in [{self.low}, {self.high}{']' if self.has_high else ')'}"


PositiveInt = Annotated[int, Interval(1)]
NonNegativeInt = Annotated[int, Interval(0)]
PositiveFloat = Annotated[float, Interval(0, has_low=False)]
NonNegativeFloat = Annotated[float, Interval(0)]
Share = Annotated[float, Interval(0, 1)]
ShareBelowOne = Annotated[float, Interval(0, 1, has_high=False)]
ShareAboveZero = Annotated[float, Interval(0, 1, has_low=False)]
Seed = Annotated[int, Interval(0, 2**32 - 1)]
"""A seed that Stable-Baselines3 gives to NumPy's global generator."""
StepSize = Annotated[float, Interval(0, 1_000_000, has_low=False)]
"""The step size of an optimiser; of larger ones the weights of a network soon overflow."""


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy; a boolean is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse what is not one of the choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}; got {value!r}")


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """The settings of something that has none."""


def build_config(
    config_class: type[Config], arguments: Mapping[str, Any], owner: str, *, complete: bool = False
) -> Config:
    """A configuration from plain values, each of the type that its field is annotated with.

    A field that is itself a configuration takes its values by name, all of them.

    Args:
        config_class: a dataclass.
        arguments: its fields by name.
        owner: whose configuration it is, for an error.
        complete: whether a field may not be left out.

    Raises:
        ValueError: an unknown or missing field, one of another type, or a value that the configuration refuses.
    """
    fields = [field.name for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    if complete:
        check_names(owner, arguments, fields)
    elif not isinstance(arguments, Mapping):
        raise ValueError(f"{owner} takes its arguments by name, got {shown(arguments)}")
    elif unknown := sorted(set(map(str, arguments)) - set(fields)):
        raise ValueError(f"{owner} takes {', '.join(fields) or 'no arguments'}; got {', '.join(unknown)}")
    checked = {name: check_type(name, value, field_types(config_class)[name]) for name, value in arguments.items()}
    try:
        return config_class(**checked)
    except TypeError as error:
        raise ValueError(f"{owner} cannot be made with {dict(arguments)}: {error}") from error


def check_fields(config: Any, *, may_lack: Collection[str] = ()) -> None:
    """Check a frozen dataclass from within its ``__post_init__``: each field becomes what ``check_type`` makes of it.

    Args:
        config: the instance; mappings, lists and arrays in it become copies, which nobody changes from outside.
        may_lack: fields that may also be None.

    Raises:
        ValueError: a field is of another type than its annotation says.
    """
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        if value is not None or name not in may_lack:
            object.__setattr__(config, name, _own(check_type(name, value, hint)))


def _own(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _own(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_own, value))
    return value.copy() if isinstance(value, np.ndarray) else value


def check_names(owner: str, values: Any, names: Collection[str]) -> None:
    """Refuse what is not a mapping with exactly these keys; those of a mapping hold for mappings in it too.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{owner} must have {', '.join(names)}; got {shown(values)}")
    if differing := sorted(map(str, set(values) ^ set(names))):
        raise ValueError(f"{owner} has unknown or missing fields, as of another version: {', '.join(differing)}")
    for name, inner in names.items() if isinstance(names, Mapping) else ():
        if isinstance(inner, Mapping):
            check_names(f"{owner}.{name}", values[name], inner)


def field_types(config_class: Any) -> dict[str, Any]:
    """The annotations of a dataclass's fields, resolved, which is done once for each class."""
    return _field_types(config_class)


@functools.cache
def _field_types(config_class: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(config_class, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def check_arguments(function: Function) -> Function:
    """Decorate a function, so that each argument of a call is checked against its annotation before anything is done.

    Args:
        function: its arguments by keyword, ``**arguments``, are left to it.
    """
    signature = inspect.signature(function)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

    @functools.cache
    def hints() -> dict[str, Any]:  # late: a module that is being imported may not know all names yet
        hints = typing.get_type_hints(function, include_extras=True)
        return {
            name: hints[name]
            for name, each in signature.parameters.items()
            if name in hints and each.kind not in several
        }

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, hint in hints().items():
            if name in bound.arguments:
                bound.arguments[name] = check_type(name, bound.arguments[name], hint)
        return function(*bound.args, **bound.kwargs)

    return typing.cast(Function, checked)


def check_type(name: str, value: Any, hint: Any) -> Any:
    """Return a value in the plain form of its annotation: NumPy's numbers become Python's, sequences lists or tuples.

    Whole numbers have at most 64 bits, and a ``float`` is finite.

    Args:
        name: of the value, for an error.
        value: the value.
        hint: a resolved annotation.

    Raises:
        ValueError: it is of another type.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    plain = _WRONG
    if origin is Annotated:
        plain = _attempt(name, value, arguments[0])
        if plain is not _WRONG and any(plain not in each for each in arguments[1:] if isinstance(each, Interval)):
            plain = _WRONG
    elif origin in (Union, types.UnionType):
        fitting = (_attempt(name, value, each) for each in arguments)
        plain = next((each for each in fitting if each is not _WRONG), _WRONG)
    elif dataclasses.is_dataclass(origin) and isinstance(origin, type) and isinstance(value, Mapping):
        plain = build_config(origin, value, name, complete=True)
    elif origin is tuple and isinstance(value, (list, tuple)):
        each_type = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        if len(each_type) == len(value):
            plain = tuple(check_type(f"{name}[{i}]", value[i], hint) for i, hint in enumerate(each_type))
    elif origin in (list, Sequence) and isinstance(value, (list, tuple, range, np.ndarray)):
        plain = [check_type(f"{name}[{i}]", each, arguments[0]) for i, each in enumerate(value)]
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        if arguments[0] is not str or all(isinstance(key, str) for key in value):
            plain = {key: check_type(f"{name}[{key!r}]", each, arguments[1]) for key, each in value.items()}
    elif origin is Literal:
        plain = value if value in arguments else _WRONG
    elif origin not in (tuple, list, Sequence, dict, Mapping):
        plain = _plain(value, origin)
    if plain is _WRONG:
        raise ValueError(f"{name} must be {_described(hint)}, got {shown(value)}")
    return plain


def shown(value: Any) -> str:
    """A value in an error: its ``repr`` in one line, cut short where it is long."""
    return " ".join(_REPR.repr(value).split())


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 3
_WRONG: Any = object()
_NAMES = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a string", Any: "anything"}


def _attempt(name: str, value: Any, hint: Any) -> Any:
    """``check_type``, or ``_WRONG`` in place of an error."""
    try:
        return check_type(name, value, hint)
    except ValueError:
        return _WRONG


def _plain(value: Any, kind: Any) -> Any:
    """A value that is no container in the form of a type, or ``_WRONG``."""
    is_bool = isinstance(value, (bool, np.bool_))
    if kind is Any:
        return value
    if kind is bool:
        return bool(value) if is_bool else _WRONG
    if kind is int:
        return int(value) if is_whole(value) and -_LARGEST <= value < _LARGEST else _WRONG
    if kind is float:
        return float(value) if isinstance(value, Real) and not is_bool and _is_finite(value) else _WRONG
    if kind is str and isinstance(value, os.PathLike):
        path = os.fsdecode(value)  # of a file, also where one of the names that are told from paths is that of a file
        return os.path.join(os.curdir, path) if path.isidentifier() else path
    if kind is Callable:
        return value if callable(value) else _WRONG
    try:
        return value if isinstance(value, kind) else _WRONG
    except TypeError:  # a protocol or a variable, which no value is an instance of
        return value


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _described(hint: Any) -> str:
    """A type in plain English."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_described, arguments))
    if origin is Annotated:
        return " ".join(
            [_described(arguments[0]), *(str(each) for each in arguments[1:] if isinstance(each, Interval))]
        )
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and arguments[-1] is not ...:
        return f"({', '.join(map(_described, arguments))})"
    if origin in (tuple, list, Sequence):
        return f"a list (each {_described(arguments[0])})"
    if origin in (dict, Mapping):
        return "a mapping from names"
    if origin is Callable:
        return "a function"
    return "None" if hint is type(None) else _NAMES.get(hint, getattr(hint, "__name__", str(hint)))
