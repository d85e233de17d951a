"""Losses and baselines, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

BASELINES = ("none", "step", "prefix")
"""What is subtracted from the action values; see ``advantages``."""


def maximum_likelihood_loss(log_prob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The negative of eq. 13.34: the mean negative log-likelihood of a real token, nats per token."""
    return -(log_prob_BT * mask_BT).sum() / mask_BT.sum()


def policy_gradient_loss(log_prob_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The surrogate whose gradient is the estimate of ``-grad J`` (eq. 13.44).

    It is a sum over the tokens of a sequence and a mean over sequences, so its gradient has no scale of its own: with
    unbiased action values it is an unbiased estimate of ``-grad J``.

    Args:
        log_prob_BT: with gradient.
        advantage_BT: taken as constants.
        mask_BT: which tokens the policy chose.
    """
    return -(log_prob_BT * advantage_BT.detach().to(log_prob_BT.dtype) * mask_BT).sum() / len(log_prob_BT)


def advantages(q_BT: Tensor, mask_BT: Tensor, baseline: str = "prefix") -> Tensor:
    """Action values less a baseline that does not depend on the action, so that eq. 13.44 keeps its expectation.

    ``"step"`` subtracts the mean of the other sequences at the same step. ``"prefix"`` subtracts the estimate of the
    value of the state itself, ``V(Y_{1:t-1}) = Q(Y_{1:t-2}, y_{t-1})`` (eq. 13.40), whose completions were drawn
    without knowledge of ``y_t``; the first step of a sequence has no such estimate and takes the mean of the other
    sequences.

    Args:
        q_BT: action values.
        mask_BT: which tokens the policy chose.
        baseline: one of ``BASELINES``.

    Returns:
        ``advantage_BT``, 0 outside the mask.

    Raises:
        ValueError: an unknown baseline.
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}")
    if baseline == "none":
        return q_BT * mask_BT
    advantage_BT = q_BT - _mean_of_others(q_BT, mask_BT)
    if baseline == "prefix":
        follows_BT = mask_BT[:, 1:] & mask_BT[:, :-1]
        advantage_BT[:, 1:] = torch.where(follows_BT, q_BT[:, 1:] - q_BT[:, :-1], advantage_BT[:, 1:])
    return advantage_BT * mask_BT


def normalize(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Advantages divided by their root mean square over the mask: the direction stays, the scale becomes 1."""
    rms = ((advantage_BT.square() * mask_BT).sum() / mask_BT.sum()).sqrt()
    return advantage_BT / rms.clamp(min=1e-8)


def _mean_of_others(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """For each sequence the mean of the others at the same step; 0 where there is no other."""
    others_BT = mask_BT.sum(dim=0) - mask_BT.long()
    total_BT = (q_BT * mask_BT).sum(dim=0) - q_BT * mask_BT
    return total_BT / others_BT.clamp(min=1)
