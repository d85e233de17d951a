"""Tasks of every kind with actions and prefixes for them, and what it means that two results are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.reference_env import TINY, mean_token

SMALL_GRAMMAR: dict[str, Any] = {
    "source": "grammar",
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 3], [2, 4]]},
}


def assert_same(ours: Any, theirs: Any, path: str = "") -> None:
    """Equal in value, type, shape and keys, to the last bit."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{path}/{key}")
    elif isinstance(theirs, np.ndarray) and theirs.dtype != object:
        assert ours.dtype == theirs.dtype, path
        np.testing.assert_array_equal(ours, theirs, strict=True, err_msg=path)
    elif isinstance(theirs, (np.ndarray, tuple)):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    else:
        assert type(ours) is type(theirs), path
        assert ours == theirs, path


CASES: dict[str, tuple[dict[str, Any], list[int], list[list[int]]]] = {
    "oracle": (TINY, [0, 1, 2], [[], [2], [0, 1]]),
    # three tokens in ten end an episode, and a prefix of 15 is two tokens from the horizon
    "grammar": (SMALL_GRAMMAR, [0, 0, 0, 1, 3, 10, 50, 99, 150, 151], [[], [3, 10], [5] * 15]),
    "shaped": (
        {**SMALL_GRAMMAR, "shaping": "discriminator", "shaping_gamma": 0.9, "reward_clip": [-0.7, None]},
        [0, 0, 1, 3, 10],
        [[], [3, 10]],
    ),
    "potential": ({**TINY, "shaping": mean_token, "observation": "dict"}, [0, 1, 2], [[], [2], [0, 1]]),
    # of a constrained task an action is the place of a token among those that are allowed
    "constrained": (
        {**SMALL_GRAMMAR, "min_length": 3, "allowed_tokens": ["a", "bird", 7], "observation": "dict"},
        [0, 1, 2, 3],
        [[], [3, 10], [5] * 15],
    ),
    "allowed_next": (
        {**TINY, "allowed_next": "tests.support.reference_env:no_repetition"},
        [0, 1, 2],
        [[], [2], [0, 1]],
    ),
}
"""A task's arguments, the actions to choose from, and the prefixes."""


def nth_allowed(mask_V: np.ndarray, n: int) -> int:
    """One of the tokens that the mask allows; 0 where the episode is over and the action is ignored."""
    allowed = np.flatnonzero(mask_V)
    return int(allowed[n % len(allowed)]) if len(allowed) else 0
