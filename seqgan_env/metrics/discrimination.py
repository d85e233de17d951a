"""Measures of a discriminator on held-out real and fresh generated sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from seqgan_env.discriminators import discriminator_scores
from seqgan_env.discriminators.losses import N_BINS, equal_weights, log_losses
from seqgan_env.metrics.base import Column, EvaluationBatch, Logits, register_metric

LOG_RATIO_BOUND = 10.0
"""The logits that are correlated are cut off at plus and minus this, nats: there D is certain to five in 100,000."""


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
                narrow=f"{label}\nloss",
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
        both = batch.logits["trained"], batch.logits["optimal"]
        found = {
            "discriminator_share_of_optimum": share_of_optimum(*both),
            "discriminator_correlation": correlation(*both),
        }
        return {name: value for name, value in found.items() if value is not None}


def share_of_optimum(logits: Logits, optimal: Logits) -> float | None:
    """``(log 2 - log-loss of D) / (log 2 - log-loss of D*)``: 1 for D*, 0 for guessing, below 0 for less than that.

    The denominator estimates the Jensen-Shannon divergence of the real and the generated sequences, in nats, and the
    numerator is that less the mean divergence KL(D* || D) of the two answers.

    Args:
        logits: those of D.
        optimal: those of D* for the same sequences.

    Returns:
        The share; None where the denominator is not above twice its standard error, since then these sequences don't
        show that there is anything to learn, and the quotient would be noise.
    """
    best, error = _reduction(optimal)
    return _reduction(logits)[0] / best if best > 2 * error else None


def correlation(logits: Logits, optimal: Logits) -> float | None:
    """Pearson's correlation of two discriminators' logits, with both kinds of sequence weighted equally.

    Not that of ranks: the policy gradient with a baseline is linear in the reward, so that a logit which is an affine
    function of the exact log-ratio points the same way, while the right order alone doesn't. Both are cut off at
    ``LOG_RATIO_BOUND``, as a sequence that one of the distributions all but excludes has a log-ratio of any size, and a
    few of them would decide the number.

    Args:
        logits: those of D.
        optimal: those of D* for the same sequences, the exact log-ratio ``log p(Y) - log G(Y)``.

    Returns:
        The correlation; None where one of them is constant up to rounding (a standard deviation of 1e-6 nats).
    """
    x_M, y_M = (np.concatenate(each).clip(-LOG_RATIO_BOUND, LOG_RATIO_BOUND) for each in (logits, optimal))
    covariance = np.cov(x_M, y_M, ddof=0, aweights=equal_weights(*map(len, logits)))
    deviations = np.sqrt(covariance.diagonal())
    return float(covariance[0, 1] / deviations.prod()) if deviations.min() > 1e-6 else None


def _reduction(logits: Logits) -> tuple[float, float]:
    """``log 2`` less the log-loss, nats per sequence, and its standard error."""
    losses = log_losses(*logits)
    mean = 0.5 * sum(loss_B.mean() for loss_B in losses)
    return math.log(2) - mean, 0.5 * math.sqrt(sum(loss_B.var() / len(loss_B) for loss_B in losses))


register_metric("discriminator", Discrimination("trained", "discriminator", "D", "the trained discriminator"))
register_metric("optimal", Discrimination("optimal", "optimal", "D*", "the best possible discriminator, p/(p + G)"))
register_metric("against_optimum", AgainstOptimum())
