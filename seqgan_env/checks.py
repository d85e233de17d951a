"""Checks of arguments at the boundary: each returns what is valid and raises a ``ValueError`` that names both sides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np

Config = TypeVar("Config")


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy; a boolean is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_whole_number(name: str, value: Any, at_least: int) -> int:
    """Return ``value`` if it is a whole number that is large enough.

    Raises:
        ValueError: it is not.
    """
    if not is_whole(value) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, not {value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


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


def build_config(config_class: type[Config], arguments: Mapping[str, Any], owner: str) -> Config:
    """A configuration from plain values.

    Args:
        config_class: a dataclass.
        arguments: its fields by name.
        owner: whose configuration it is, for an error.

    Raises:
        ValueError: an unknown field, or a value that the configuration refuses.
    """
    fields = [field.name for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    if unknown := sorted(set(map(str, arguments)) - set(fields)):
        raise ValueError(f"{owner} takes {', '.join(fields) or 'no arguments'}; got {', '.join(unknown)}")
    try:
        return config_class(**arguments)
    except TypeError as error:
        raise ValueError(f"{owner} cannot be made with {dict(arguments)}: {error}") from error
