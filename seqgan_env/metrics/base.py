"""The interface of a metric, and what a metric declares of its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from seqgan_env.discriminators import Discriminator
from seqgan_env.registry import Registry
from seqgan_env.sources import Source
from seqgan_env.tokens import Tokens

LogProb = Callable[[Tokens], npt.NDArray[np.float64]]
"""Maps complete sequences ``(B, T)`` to their log-probabilities ``(B,)``, nats."""


@dataclass(frozen=True)
class Column:
    """One number that a metric gives, as tables, plots and legends show it."""

    label: str
    """Its name in a table or a plot."""
    unit: str
    """Its unit, such as ``nats per token``."""
    better: Literal["lower", "higher", "neither"]
    """The direction that is better."""
    help: str
    """A sentence for the legend, without a full stop."""
    subject: Literal["generator", "discriminator"] = "generator"
    """The side of the game that it measures."""
    panel: str = ""
    """The plot that shows it, together with all others of that panel; empty is none."""
    role: Literal["", "quality", "diversity", "overall"] = ""
    """Its part in a comparison: the axes of quality against diversity, and the number that sums both up."""
    narrow: str = ""
    """Its name over two short lines, for the table of a terminal; empty leaves it to the report."""


@dataclass(frozen=True)
class EvaluationBatch:
    """Everything a metric may look at."""

    source: Source
    """Of the real sequences."""
    test_BT: Tokens
    """Real sequences that nothing was trained on."""
    generated_BT: Tokens
    """Sequences drawn from the generator."""
    log_prob: LogProb
    """The generator's log-probability of sequences."""
    discriminators: Mapping[str, Discriminator] = field(default_factory=dict)
    """Those there are, by the names ``trained`` and ``optimal``."""
    source_test_B: npt.NDArray[np.float64] | None = None
    """The source's log-probability of ``test_BT``; pass it to avoid recomputing."""


class Metric(Protocol):
    """Some numbers about a generator, or about the discriminator it plays against."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The numbers it may give, by field."""

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure; a field that does not apply to the batch is left out."""


METRICS: Registry[Metric] = Registry("metric")
"""The metrics by name, in the order of their columns in a table."""


def register_metric(name: str, metric: Metric) -> None:
    """Make a metric part of every evaluation, table and report.

    Args:
        name: an identifier.
        metric: the metric.

    Raises:
        ValueError: the name is taken or no identifier, a column is another metric's, or a column lacks label, unit or
            help.
    """
    taken = columns()
    for field_name, column in metric.columns.items():
        if field_name in taken:
            raise ValueError(f"metric {name!r} has the column {field_name!r} of another metric")
        if not (column.label.strip() and column.unit.strip() and column.help.strip()):
            raise ValueError(f"column {field_name!r} of metric {name!r} must declare label, unit and help")
    METRICS.register(name, metric)


def columns() -> dict[str, Column]:
    """The columns of all metrics by field."""
    return {name: column for metric in METRICS.values() for name, column in metric.columns.items()}


def columns_of_role(role: str, subject: str = "generator") -> list[str]:
    """The fields of the columns with a role, in the order of the metrics."""
    return [name for name, column in columns().items() if (column.role, column.subject) == (role, subject)]


def measure(batch: EvaluationBatch) -> dict[str, float]:
    """All metrics that apply to a batch.

    Raises:
        ValueError: a metric gives a field that it has not declared.
    """
    measured: dict[str, float] = {}
    for name, metric in METRICS.items():
        values = metric(batch)
        if unknown := sorted(set(values) - set(metric.columns)):
            raise ValueError(f"metric {name!r} must declare its columns, got {', '.join(unknown)}")
        measured |= values
    return measured
