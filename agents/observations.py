"""The tokens of an observation in either form, an array or a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces


def tokens_of(observation: Any) -> Any:
    """The tokens of an observation in either form: the array itself, or that of a dictionary."""
    return observation["tokens"] if isinstance(observation, Mapping) else observation


def tokens_space(space: spaces.Space[Any]) -> spaces.Box:
    """The space of the tokens of an observation in either form, ``Box(0, V, (T,))``.

    Raises:
        ValueError: the space is not that of a sequence task.
    """
    tokens = space.spaces.get("tokens") if isinstance(space, spaces.Dict) else space
    if not isinstance(tokens, spaces.Box) or len(tokens.shape) != 1:
        raise ValueError(f"the observations must be Box(0, V, (T,)), or a Dict with that as 'tokens'; got {space}")
    return tokens
