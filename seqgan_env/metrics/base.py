"""The interface of a metric, and what a metric declares of its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqgan_env.checks import check_choice
from seqgan_env.discriminators import Discriminator
from seqgan_env.discriminators.optimal import Logits
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
    """Its part in a comparison: the axes of its metric's plot of quality against diversity, or the one number that sums
    a generator or a discriminator up."""
    in_tables: bool = True
    """Whether tables have it; if not, it is in the records, in TensorBoard and in the plot of its panel alone."""
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
    log_prob: LogProb | None
    """The generator's log-probability of sequences; None where it can only be drawn from."""
    discriminators: Mapping[str, Discriminator] = field(default_factory=dict)
    """Those there are, by the names ``trained`` and ``optimal``."""
    source_test_B: npt.NDArray[np.float64] | None = None
    """The source's log-probability of ``test_BT``; pass it to avoid recomputing."""
    train_BT: Tokens | None = None
    """Real sequences that the generator may have learned from, where they are known."""
    validation_BT: Tokens | None = None
    """Real sequences that neither the generator has learned from nor ``test_BT`` holds, where there are some."""
    seed: int = 0
    """Whatever a metric draws, or fits, follows it."""
    tempered: Callable[[float], tuple[Tokens, LogProb]] | None = None
    """Gives as many sequences of the generator at a temperature, and its log-probability there; None where it has no
    temperature, or another one than 1 already."""

    def without_end(self, tokens_BT: Tokens) -> Tokens:
        """Sequences as text: end-of-sequence, which is an action and no part of it, becomes padding."""
        spec = self.source.spec
        return tokens_BT if spec.eos_id is None else np.where(tokens_BT == spec.eos_id, spec.pad_id, tokens_BT)

    @cached_property
    def logits(self) -> Mapping[str, Logits]:
        """The logits of ``test_BT`` and of ``generated_BT`` under each of the discriminators."""
        return {name: (d.logits(self.test_BT), d.logits(self.generated_BT)) for name, d in self.discriminators.items()}


class Metric(Protocol):
    """Some numbers about a generator, or about the discriminator it plays against."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The numbers it may give, by field."""

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure; a field that does not apply to the batch is left out."""


@dataclass(frozen=True)
class MetricEntry:
    """A registered metric."""

    metric: Metric
    """The metric."""
    group: str | None
    """The group that an evaluation must ask for to have it; None is in every evaluation."""


RESERVED = (
    *("phase", "step", "temperature", "wall_time_s", "steps", "scored"),
    *("loss", "nll_validation", "discriminator_version", "reward_mean", "policy_entropy"),
)
"""Fields of an evaluation that are no metric's."""
METRICS: Registry[MetricEntry] = Registry("metric")
"""The metrics by name, in the order of their columns in a table."""


def register_metric(name: str, metric: Metric, *, group: str | None = None) -> None:
    """Make a metric part of evaluations, tables and reports.

    Args:
        name: an identifier.
        metric: the metric.
        group: an identifier: only evaluations that ask for the group have the metric, since it takes long or means
            little for most sources. None is in every evaluation.

    Raises:
        ValueError: the name is taken, it or the group is no identifier, a column is another metric's or reserved, it
            lacks label, unit or help, it sums up what another one does, it has a name for a table that it is not in,
            or the metric has a quality without a diversity, or the contrary.
    """
    if group is not None and not (isinstance(group, str) and group.isidentifier()):
        raise ValueError(f"the group of metric {name!r} must be an identifier or None, got {group!r}")
    if isinstance(metric, type) or not callable(metric) or not isinstance(getattr(metric, "columns", None), Mapping):
        raise ValueError(f"a metric must be an object with columns that can be called, got {metric!r}")
    taken = columns()
    summed_up = {column.subject for column in taken.values() if column.role == "overall"}
    axes = sorted(column.role for column in metric.columns.values() if column.role in ("quality", "diversity"))
    if axes not in ([], ["diversity", "quality"]):
        raise ValueError(f"metric {name!r} must have one quality and one diversity, or neither, got {', '.join(axes)}")
    for field_name, column in metric.columns.items():
        if field_name in taken:
            raise ValueError(f"metric {name!r} has the column {field_name!r} of another metric")
        if field_name in RESERVED:
            raise ValueError(f"metric {name!r} has the column {field_name!r}, which is reserved")
        check_choice("better", column.better, ("lower", "higher", "neither"))
        check_choice("subject", column.subject, ("generator", "discriminator"))
        check_choice("role", column.role, ("", "quality", "diversity", "overall"))
        if column.role == "overall" and column.subject in summed_up:
            raise ValueError(f"column {field_name!r} has the role {column.role!r}, which is taken")
        if not (column.label.strip() and column.unit.strip() and column.help.strip()):
            raise ValueError(f"column {field_name!r} of metric {name!r} must declare label, unit and help")
        if column.narrow and not column.in_tables:
            raise ValueError(f"column {field_name!r} is in no table, so narrow must be empty, got {column.narrow!r}")
    METRICS.register(name, MetricEntry(metric, group))


def columns() -> dict[str, Column]:
    """The columns of all metrics by field."""
    return {name: column for entry in METRICS.values() for name, column in entry.metric.columns.items()}


def columns_of_role(role: str, subject: str = "generator") -> list[str]:
    """The fields of the columns with a role, in the order of the metrics."""
    return [name for name, column in columns().items() if (column.role, column.subject) == (role, subject)]


def trade_offs() -> list[tuple[str, str]]:
    """The fields of quality and of diversity of each metric that has both, in the order of the metrics."""
    roles = [{column.role: name for name, column in entry.metric.columns.items()} for entry in METRICS.values()]
    return [(of["quality"], of["diversity"]) for of in roles if "quality" in of]


def metric_groups() -> list[str]:
    """The groups of metrics that an evaluation may ask for."""
    return list(dict.fromkeys(entry.group for entry in METRICS.values() if entry.group is not None))


def check_groups(groups: Sequence[str]) -> None:
    """Refuse names that are no groups of metrics.

    Raises:
        ValueError: one is not registered; the message lists those that are.
    """
    for group in groups:
        check_choice("metrics", group, metric_groups())


def measure(batch: EvaluationBatch, groups: Sequence[str] = ()) -> dict[str, float]:
    """All metrics that apply to a batch.

    Args:
        batch: the sequences, and what is known of them.
        groups: of the metrics that are measured on request, those to measure.

    Raises:
        ValueError: an unknown group, or a metric gives a field that it has not declared.
    """
    check_groups(groups)
    measured: dict[str, float] = {}
    for name, entry in METRICS.items():
        if entry.group is not None and entry.group not in groups:
            continue
        metric = entry.metric
        values = metric(batch)
        if not isinstance(values, Mapping):
            raise ValueError(f"metric {name!r} must give its fields by name, got {values!r}")
        if unknown := sorted(set(values) - set(metric.columns)):
            raise ValueError(f"metric {name!r} must declare its columns, got {', '.join(unknown)}")
        if not all(isinstance(value, (Real, np.generic, Tensor)) for value in values.values()):
            raise ValueError(f"metric {name!r} must give numbers, got {values!r}")
        measured |= {field_name: float(value) for field_name, value in values.items()}
    return measured
