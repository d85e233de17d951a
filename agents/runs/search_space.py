"""The settings that a search goes over, as data: a new one is one line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.runs.config import RunConfig


@dataclass(frozen=True)
class Range:
    """The values of a setting between two ends, which belong to it; whole numbers where both ends are.

    Raises:
        ValueError: the ends are not in order, or have no logarithm where that is asked for.
    """

    low: float
    """The least value."""
    high: float
    """The greatest value."""
    log: bool = False
    """Draw the logarithm evenly, not the value."""
    step: float | None = None
    """Only the multiples of it above the least value; None allows all."""

    def __post_init__(self) -> None:
        if not (-math.inf < self.low < self.high < math.inf and (self.low > 0 or not self.log)):
            positive = "above 0 " if self.log else ""
            raise ValueError(
                f"a range goes from a number {positive}to a greater one, got {self.low!r} to {self.high!r}"
            )


Space = Mapping[str, Range | tuple[Any, ...]]
"""The values that a setting may take, as a range or one by one, by its dotted name in ``RunConfig``."""

SPACE: Space = {
    "pretraining.learning_rate": Range(1e-3, 0.1, log=True),
    "pretraining.schedule": ("cosine", "constant", "plateau"),
    "pretraining.batch_size": Range(16, 512, log=True),
    "pretraining.warmup": Range(0.0, 0.2, step=0.02),
    "pretraining.weight_decay": Range(1e-5, 0.1, log=True),
    "pretraining.label_smoothing": Range(0.0, 0.1, step=0.01),
    "pretraining.weight_averaging": (0.0, 0.9, 0.99, 0.999),
    "generator.kwargs.n_layers": Range(1, 3),
    "generator.kwargs.dropout": Range(0.0, 0.5, step=0.05),
    "generator.kwargs.variational": (False, True),
    "generator.kwargs.embedding_std": Range(0.01, 1.0, log=True),
}
"""The settings that are searched by default."""


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The settings of a run with some of them changed.

    Args:
        config: the settings.
        settings: values by dotted name, such as ``pretraining.learning_rate`` or ``generator.kwargs.dropout``.

    Raises:
        ValueError: a name is unknown, or a value out of range.
    """
    plain = config.to_dict()
    for name, value in settings.items():
        *parts, last = name.split(".")
        node: Any = plain
        for part in parts:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise ValueError(f"a setting must be one of this run, such as pretraining.learning_rate; got {name!r}")
        node[last] = value
    return RunConfig.from_dict(plain)


def check_space(config: RunConfig, space: Space) -> None:
    """Refuse a space that does not fit the run.

    Raises:
        ValueError: it is empty, a name is unknown, or an end of a range or one of several values is out of range.
    """
    if not space:
        raise ValueError("a search needs at least one setting that no flag fixes, got none")
    for name, values in space.items():
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            with_settings(config, {name: value})


def to_plain(space: Space) -> dict[str, Any]:
    """The space as JSON has it."""
    return {name: dataclasses.asdict(v) if isinstance(v, Range) else list(v) for name, v in space.items()}
