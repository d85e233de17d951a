"""Losses, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def policy_gradient_factors(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Weight of each log-probability in the surrogate whose gradient is the estimate of ``grad J`` (eq. 13.44).

    It is a sum over the tokens of a sequence and a mean over sequences, so its gradient has no scale of its own: with
    unbiased action values it is an unbiased estimate of ``grad J``.

    Args:
        advantage_BT: taken as constants.
        mask_BT: which tokens the policy chose.
    """
    return advantage_BT.detach() * mask_BT / len(mask_BT)


def clipped_factors(factor_BT: Tensor, log_ratio_BT: Tensor, clip_range: float | None) -> Tensor:
    """The factors of a generator that has changed since it played: the gradient of PPO's objective at its tokens.

    The objective of a token is ``min(r A, clip(r, 1 - c, 1 + c) A)``, r being its probability now over that when it was
    chosen (arXiv 1707.06347, eq. 7). Its gradient is ``r A grad log G``, and 0 where r is past c on the side that A
    pushes it to; at r = 1 it is that of ``policy_gradient_factors``.

    Args:
        factor_BT: the factors when the tokens were chosen: A over a positive number.
        log_ratio_BT: ``log r``.
        clip_range: c; None is no limit.
    """
    ratio_BT = log_ratio_BT.exp()
    changed_BT = factor_BT * ratio_BT
    if clip_range is None:
        return changed_BT
    past_BT = torch.where(factor_BT > 0, ratio_BT > 1 + clip_range, ratio_BT < 1 - clip_range)
    return changed_BT.masked_fill(past_BT, 0)


def policy_gradient_loss(log_prob_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The negative of that surrogate: ``policy_gradient_factors`` times ``log_prob_BT``, which has the gradient."""
    return -(log_prob_BT * policy_gradient_factors(advantage_BT, mask_BT).to(log_prob_BT.dtype)).sum()


def last_step_loss(log_prob_MV: Tensor, q_MV: Tensor, n_sequences: int) -> Tensor:
    """The surrogate of the last step with the inner sum of eq. 13.44 taken exactly, over every token there is.

    Its gradient is ``-sum_y grad G(y | Y_{1:T-1}) Q(Y_{1:T-1}, y)``, a mean over all ``n_sequences``, of which those
    that never reach the last step contribute nothing. It takes the place of those tokens' ``policy_gradient_factors``;
    being that term's expectation given ``Y_{1:T-1}``, it has no variance from the choice of ``y_T``, and a baseline
    would change nothing.
    """
    return -(log_prob_MV.exp() * q_MV.to(log_prob_MV.dtype)).sum() / n_sequences
