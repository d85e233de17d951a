"""Losses of a discriminator and its measures, as pure functions of logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(logit_real_B: Tensor, logit_generated_B: Tensor) -> Tensor:
    """Half the negative of eq. 13.32: the mean log-loss over as many real as generated sequences.

    Returns:
        A scalar in nats per sequence; log 2 for a discriminator that knows nothing.
    """
    return 0.5 * (F.softplus(-logit_real_B).mean() + F.softplus(logit_generated_B).mean())


def discriminator_scores(
    logit_real_B: npt.NDArray[np.float64], logit_generated_B: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Accuracy and log-loss (nats per sequence) with both kinds weighted equally; a logit of 0 counts as half right."""
    right_real, right_generated = np.heaviside(logit_real_B, 0.5), np.heaviside(-logit_generated_B, 0.5)
    log_loss = 0.5 * (np.logaddexp(0, -logit_real_B).mean() + np.logaddexp(0, logit_generated_B).mean())
    return {
        "accuracy": float(0.5 * (right_real.mean() + right_generated.mean())),
        "log_loss": float(log_loss),
    }
