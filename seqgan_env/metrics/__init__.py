"""Measures of generated sequences and of discriminators: quality and diversity, side by side, by name."""

from __future__ import annotations

from seqgan_env.metrics import likelihood as likelihood  # these modules register their metrics, in this order

from seqgan_env.metrics import temperatures as temperatures  # isort: skip
from seqgan_env.metrics import samples as samples  # isort: skip
from seqgan_env.metrics import overlap as overlap  # isort: skip
from seqgan_env.metrics import real_diversity as real_diversity  # isort: skip
from seqgan_env.metrics import novelty as novelty  # isort: skip
from seqgan_env.metrics import statistics as statistics  # isort: skip
from seqgan_env.metrics import language_model as language_model  # isort: skip
from seqgan_env.metrics import discrimination as discrimination  # isort: skip
from seqgan_env.metrics.base import (
    METRICS,
    Column,
    EvaluationBatch,
    Metric,
    MetricEntry,
    check_groups,
    columns,
    columns_of_role,
    measure,
    metric_groups,
    register_metric,
)
from seqgan_env.metrics.likelihood import likelihood_metrics

__all__ = [
    "METRICS",
    "Column",
    "EvaluationBatch",
    "Metric",
    "MetricEntry",
    "check_groups",
    "columns",
    "columns_of_role",
    "likelihood_metrics",
    "measure",
    "metric_groups",
    "register_metric",
]
