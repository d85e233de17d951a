"""Baselines and advantages, as pure functions of tensors.

A baseline maps the action values ``q_BT`` and the mask of chosen tokens to a value for each token that does not depend
on that token, so that eq. 13.44 keeps its expectation. Dimensions: B sequences, T time, H features, M tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_env.checks import check_choice

BASELINES = ("none", "batch", "step", "prefix", "learned")
"""The baselines by name; see ``advantages``."""
OF_BEFORE = ("prefix", "learned")
"""Those that use the value of the token before: it must be an estimate that does not know the token itself."""

_RIDGE = 1.0  # of the learned baseline: as much as one token more that says every weight is 0


def advantages(
    q_BT: Tensor,
    mask_BT: Tensor,
    baseline: str = "prefix",
    features_BTH: Tensor | None = None,
    discount: float = 1.0,
) -> Tensor:
    """Action values less a baseline: ``none``, ``batch_mean``, ``step_mean``, ``prefix_value`` or ``learned_value``.

    Args:
        q_BT: action values.
        mask_BT: which tokens the policy chose.
        baseline: one of ``BASELINES``.
        features_BTH: for ``"learned"``: what describes the state ``Y_{1:t-1}`` in which token t was chosen.
        discount: of the action values, which the value before a token has once more.

    Returns:
        ``advantage_BT``, 0 outside the mask.

    Raises:
        ValueError: an unknown baseline, or a learned one without features.
    """
    check_choice("baseline", baseline, BASELINES)
    if baseline == "none":
        return q_BT * mask_BT
    if baseline == "batch":
        value_BT = batch_mean(q_BT, mask_BT)
    elif baseline == "step":
        value_BT = step_mean(q_BT, mask_BT)
    elif baseline == "prefix":
        value_BT = prefix_value(q_BT, mask_BT, discount)
    elif features_BTH is None:
        raise ValueError("the learned baseline needs features_BTH")
    else:
        value_BT = learned_value(q_BT, mask_BT, features_BTH)
    return (q_BT - value_BT) * mask_BT


def batch_mean(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over all chosen tokens of the other sequences, shape ``(B, 1)``."""
    others_B1 = mask_BT.sum() - mask_BT.sum(dim=1, keepdim=True)
    total_BT = q_BT * mask_BT
    return (total_BT.sum() - total_BT.sum(dim=1, keepdim=True)) / others_B1.clamp(min=1)


def step_mean(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over the other sequences at the same step; 0 where there is no other."""
    others_BT = mask_BT.sum(dim=0) - mask_BT.long()
    total_BT = (q_BT * mask_BT).sum(dim=0) - q_BT * mask_BT
    return total_BT / others_BT.clamp(min=1)


def prefix_value(q_BT: Tensor, mask_BT: Tensor, discount: float = 1.0) -> Tensor:
    """The estimate of the value of the state itself, ``V(Y_{1:t-1}) = Q(Y_{1:t-2}, y_{t-1})`` (eq. 13.40).

    Its completions were drawn without knowledge of ``y_t``. The first step of a sequence has no such estimate and takes
    the mean of the other sequences. With a discount it is ``Q(Y_{1:t-2}, y_{t-1})`` over it.
    """
    follows_BT = mask_BT[:, 1:] & mask_BT[:, :-1]
    value_BT = step_mean(q_BT, mask_BT)
    value_BT[:, 1:] = torch.where(follows_BT, q_BT[:, :-1] / discount, value_BT[:, 1:])
    return value_BT


def learned_value(q_BT: Tensor, mask_BT: Tensor, features_BTH: Tensor) -> Tensor:
    """Ridge regression of ``Q(Y_{1:t-1}, y_t)`` on the state ``Y_{1:t-1}``, fitted on even rows for odd ones and back.

    The state is described by the features, by the estimate of its own value, ``Q(Y_{1:t-2}, y_{t-1})``, and by whether
    there is one. The weights know nothing of the sequence they are used on, and the description nothing of ``y_t``.
    """
    before_BT = torch.nn.functional.pad(q_BT * mask_BT, (1, 0))[:, :-1]
    first_BT = torch.nn.functional.pad(mask_BT, (1, 0))[:, :-1].logical_not()
    parts = [features_BTH.to(q_BT), before_BT[:, :, None], first_BT[:, :, None].to(q_BT)]
    x_BTH = torch.cat([*parts, torch.ones_like(before_BT)[:, :, None]], dim=2)
    value_BT = torch.zeros_like(q_BT)
    even_B = torch.arange(len(q_BT), device=q_BT.device) % 2 == 0
    for half_B in (even_B, ~even_B):
        counts_BT1 = (mask_BT & half_B[:, None]).to(q_BT)[:, :, None]
        x_HM, counted_MH = x_BTH.flatten(0, 1).t(), (x_BTH * counts_BT1).flatten(0, 1)
        ridge_HH = _RIDGE * torch.eye(len(x_HM), dtype=q_BT.dtype, device=q_BT.device)
        # solve, but without looking whether it could: the ridge sees to that
        weight_H = torch.linalg.solve_ex(x_HM @ counted_MH + ridge_HH, counted_MH.t() @ q_BT.flatten()).result
        value_BT = torch.where(half_B[:, None], value_BT, x_BTH @ weight_H)
    return value_BT


def root_mean_square(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The root mean square of the advantages over the mask, at least 1e-8, so that one can divide by it."""
    rms: Tensor = ((advantage_BT.square() * mask_BT).sum() / mask_BT.sum()).sqrt()
    return rms.clamp(min=1e-8)
