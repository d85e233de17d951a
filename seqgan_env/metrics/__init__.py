"""What generated sequences are worth: quality and diversity, side by side."""

from __future__ import annotations

from seqgan_env.metrics.likelihood import likelihood_metrics

__all__ = ["likelihood_metrics"]
