"""The discriminator that no training can beat, where both likelihoods are known, and how near it another one is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.losses import equal_weights, log_losses
from seqgan_env.tokens import SequenceSpec, Tokens

LogProb = Callable[[Tokens], npt.NDArray[np.float64]]
"""Maps complete sequences ``(B, T)`` to their log-probabilities ``(B,)``, nats."""
Logits = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A discriminator's logits of real and of generated sequences, shapes ``(B,)``."""

LOG_RATIO_BOUND = 10.0
"""The logits that are correlated are cut off at plus and minus this, nats: there D is certain to five in 100,000."""


class OptimalDiscriminator(Discriminator):
    """``D*(Y) = p(Y) / (p(Y) + G(Y))``, the maximiser of eq. 13.32 for a fixed generator.

    Its logit is ``log p(Y) - log G(Y)``. It has no parameters and follows the generator it was given as that one
    learns, so it is always the optimum for the current generator. It lives in one process only.

    Args:
        spec: the task's sequences.
        log_prob_real: log-probability of a sequence under the data's distribution, such as ``KnownSource.log_prob``.
        log_prob_generated: the same under the generator.
        token_log_ratio: the terms of their difference, one for each token, shape ``(B, T)``; may be left out.
        all_token_log_ratio: the same of every token that might stand in each place, shape ``(B, T, V)``.
    """

    def __init__(
        self,
        spec: SequenceSpec,
        log_prob_real: LogProb,
        log_prob_generated: LogProb,
        token_log_ratio: LogProb | None = None,
        all_token_log_ratio: LogProb | None = None,
    ) -> None:
        super().__init__(spec)
        self._token_log_ratio = token_log_ratio
        self._all_token_log_ratio = all_token_log_ratio
        self._log_prob_real = log_prob_real
        self._log_prob_generated = log_prob_generated

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The exact log-ratio; see ``Discriminator.forward``."""
        tokens = tokens_BT.cpu().numpy()
        return torch.as_tensor(self._log_prob_real(tokens) - self._log_prob_generated(tokens))

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The exact log-ratio of each token; see ``Discriminator.token_logits``."""
        if self._token_log_ratio is None:
            raise ValueError("the optimal discriminator was made without token_log_ratio")
        return torch.as_tensor(self._token_log_ratio(tokens_BT.cpu().numpy()))

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """The exact log-ratio of every token; see ``Discriminator.all_token_logits``."""
        if self._all_token_log_ratio is None:
            raise ValueError("the optimal discriminator was made without all_token_log_ratio")
        return torch.as_tensor(self._all_token_log_ratio(tokens_BT.cpu().numpy()))


def beside_optimum(logits: Logits, optimal: Logits) -> dict[str, float]:
    """``share_of_optimum`` and ``correlation`` by name, each if it is defined.

    Args:
        logits: those of D.
        optimal: those of D* for the same sequences.
    """
    found = {"share_of_optimum": share_of_optimum(logits, optimal), "correlation": correlation(logits, optimal)}
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
    mean = 0.5 * sum(float(loss_B.mean()) for loss_B in losses)
    return math.log(2) - mean, 0.5 * math.sqrt(sum(loss_B.var() / len(loss_B) for loss_B in losses))
