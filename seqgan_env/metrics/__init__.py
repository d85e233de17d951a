"""Measures of generated sequences and of discriminators: quality and diversity, side by side, by name."""

from __future__ import annotations

from seqgan_env.metrics import likelihood as likelihood  # these modules register their metrics, in this order

from seqgan_env.metrics import samples as samples  # isort: skip
from seqgan_env.metrics import discrimination as discrimination  # isort: skip
from seqgan_env.metrics.base import (
    METRICS,
    Column,
    EvaluationBatch,
    Metric,
    columns,
    columns_of_role,
    measure,
    register_metric,
)
from seqgan_env.metrics.likelihood import likelihood_metrics

__all__ = [
    "METRICS",
    "Column",
    "EvaluationBatch",
    "Metric",
    "columns",
    "columns_of_role",
    "likelihood_metrics",
    "measure",
    "register_metric",
]
