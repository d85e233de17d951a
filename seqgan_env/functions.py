"""Functions given by name, so that a task stays plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.envs.registration import load_env_creator


def load_function(name: str, value: Any) -> Callable[..., Any]:
    """A function given as itself or as ``"module:function"``.

    Args:
        name: of the argument, for an error.
        value: the function, or its name.

    Raises:
        ValueError: there is none.
    """
    if isinstance(value, str):
        try:
            if value.startswith("."):
                raise ImportError("the module's name is relative to nothing")
            value = load_env_creator(value)
        except (Exception, SystemExit) as error:  # of the module's own code too
            reason = str(error) if isinstance(error, (AttributeError, ImportError, ValueError)) else repr(error)
            raise ValueError(f"{name} must be a function or 'module:function', got {value!r}: {reason}") from error
    if not callable(value):
        raise ValueError(f"{name} must be a function or 'module:function', got {value!r}")
    function: Callable[..., Any] = value
    return function
