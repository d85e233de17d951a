"""Measures of a discriminator on held-out real and fresh generated sequences."""

from __future__ import annotations

from collections.abc import Mapping

from seqgan_env.discriminators import discriminator_scores
from seqgan_env.discriminators.losses import N_BINS
from seqgan_env.discriminators.optimal import beside_optimum
from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric


class Discrimination:
    """``discriminator_scores`` of one of the batch's discriminators.

    Args:
        name: its key in ``EvaluationBatch.discriminators``.
        prefix: of the fields.
        label: its symbol in a table.
        help: who it is.
    """

    def __init__(self, name: str, prefix: str, label: str, help: str) -> None:
        self._name = name
        self._prefix = prefix
        self.columns: Mapping[str, Column] = {
            f"{prefix}_accuracy": Column(
                f"{label} accuracy",
                "share",
                "higher",
                f"of {help} on held-out sequences",
                subject="discriminator",
                narrow=f"{label}\nacc." if name == "trained" else "",
            ),
            f"{prefix}_log_loss": Column(
                f"{label} log-loss",
                "nats per sequence; 0.693 is guessing",
                "lower",
                f"of {help} on held-out sequences",
                subject="discriminator",
                panel="log-loss on held-out sequences",
                role="overall" if name == "trained" else "",
                narrow=f"{label}\nloss" if name == "trained" else "",
            ),
            f"{prefix}_calibration_error": Column(
                f"{label} calibration error",
                "probability",
                "lower",
                f"mean distance of {help} from the share of real sequences in {N_BINS} bins of held-out ones",
                subject="discriminator",
                panel="calibration error on held-out sequences",
                in_tables=False,
            ),
        }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Score both kinds of sequence."""
        if self._name not in batch.discriminators:
            return {}
        scores = discriminator_scores(*batch.logits[self._name])
        return {f"{self._prefix}_{name}": value for name, value in scores.items()}


class AgainstOptimum:
    """The trained discriminator beside the best possible one; left out is what is not defined on the batch."""

    columns = {
        "discriminator_share_of_optimum": Column(
            "D share of optimum",
            "share; 0 is guessing, 1 is D*",
            "higher",
            "part of the best possible reduction of the log-loss below guessing that the trained discriminator reaches",
            subject="discriminator",
            panel="share of the best possible reduction of the log-loss",
            narrow="D\nshare",
        ),
        "discriminator_correlation": Column(
            "D correlation",
            "Pearson correlation",
            "higher",
            "of the logit of the trained discriminator with the exact log p/G on held-out sequences",
            subject="discriminator",
            panel="correlation of the logit with the exact log-ratio",
            in_tables=False,
        ),
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Compare the logits."""
        if not {"trained", "optimal"} <= batch.discriminators.keys():
            return {}
        found = beside_optimum(batch.logits["trained"], batch.logits["optimal"])
        return {f"discriminator_{name}": value for name, value in found.items()}


register_metric("discriminator", Discrimination("trained", "discriminator", "D", "the trained discriminator"))
register_metric("optimal", Discrimination("optimal", "optimal", "D*", "the best possible discriminator, p/(p + G)"))
register_metric("against_optimum", AgainstOptimum())
