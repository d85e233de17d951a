"""Losses and baselines, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

BASELINES = ("none", "batch", "step", "prefix", "learned")
"""What is subtracted from the action values; see ``advantages``."""

_RIDGE = 1.0  # of the learned baseline: as much as one token more that says every weight is 0


def maximum_likelihood_factors(mask_BT: Tensor) -> Tensor:
    """What each log-probability of a real token counts in eq. 13.34, as a mean over tokens: they sum to 1."""
    return mask_BT.double() / mask_BT.sum()


def maximum_likelihood_loss(log_prob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The negative of eq. 13.34: the mean negative log-likelihood of a real token, nats per token."""
    return -(log_prob_BT * maximum_likelihood_factors(mask_BT).to(log_prob_BT.dtype)).sum()


def policy_gradient_factors(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """What each log-probability counts in the surrogate whose gradient is the estimate of ``grad J`` (eq. 13.44).

    It is a sum over the tokens of a sequence and a mean over sequences, so its gradient has no scale of its own: with
    unbiased action values it is an unbiased estimate of ``grad J``.

    Args:
        advantage_BT: taken as constants.
        mask_BT: which tokens the policy chose.
    """
    return advantage_BT.detach() * mask_BT / len(mask_BT)


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


def advantages(q_BT: Tensor, mask_BT: Tensor, baseline: str = "prefix", features_BTH: Tensor | None = None) -> Tensor:
    """Action values less a baseline that does not depend on the action, so that eq. 13.44 keeps its expectation.

    - ``"batch"``: the mean over all chosen tokens of the other sequences.
    - ``"step"``: the mean over the other sequences at the same step.
    - ``"prefix"``: the estimate of the value of the state itself, ``V(Y_{1:t-1}) = Q(Y_{1:t-2}, y_{t-1})``
      (eq. 13.40), whose completions were drawn without knowledge of ``y_t``; the first step of a sequence has no such
      estimate and takes the mean of the other sequences.
    - ``"learned"``: what a regression, fitted on one half of the sequences, says of the states of the other half.

    Args:
        q_BT: action values.
        mask_BT: which tokens the policy chose.
        baseline: one of ``BASELINES``.
        features_BTH: for ``"learned"``: what describes the state ``Y_{1:t-1}`` in which token t was chosen.

    Returns:
        ``advantage_BT``, 0 outside the mask.

    Raises:
        ValueError: an unknown baseline, or a learned one without features.
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}")
    if baseline == "none":
        return q_BT * mask_BT
    if baseline == "batch":
        others_B1 = mask_BT.sum() - mask_BT.sum(dim=1, keepdim=True)
        total_BT = q_BT * mask_BT
        return (q_BT - (total_BT.sum() - total_BT.sum(dim=1, keepdim=True)) / others_B1.clamp(min=1)) * mask_BT
    advantage_BT = q_BT - _mean_of_others(q_BT, mask_BT)
    follows_BT = mask_BT[:, 1:] & mask_BT[:, :-1]
    if baseline == "prefix":
        advantage_BT[:, 1:] = torch.where(follows_BT, q_BT[:, 1:] - q_BT[:, :-1], advantage_BT[:, 1:])
    if baseline == "learned":
        if features_BTH is None:
            raise ValueError("the learned baseline needs features_BTH")
        advantage_BT = q_BT - _fitted_on_the_other_half(features_BTH, q_BT, mask_BT)
    return advantage_BT * mask_BT


def root_mean_square(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Of the advantages over the mask; never quite 0, so that one can divide by it."""
    rms: Tensor = ((advantage_BT.square() * mask_BT).sum() / mask_BT.sum()).sqrt()
    return rms.clamp(min=1e-8)


def normalize(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Advantages divided by their root mean square over the mask: the direction stays, the scale becomes 1."""
    return advantage_BT / root_mean_square(advantage_BT, mask_BT)


def _mean_of_others(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """For each sequence the mean of the others at the same step; 0 where there is no other."""
    others_BT = mask_BT.sum(dim=0) - mask_BT.long()
    total_BT = (q_BT * mask_BT).sum(dim=0) - q_BT * mask_BT
    return total_BT / others_BT.clamp(min=1)


def _fitted_on_the_other_half(features_BTH: Tensor, q_BT: Tensor, mask_BT: Tensor) -> Tensor:
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
