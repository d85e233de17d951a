"""Statistics of a batch in place of its action values, as pure functions of tensors.

A reward is a function of its sequence alone; what depends on the others of the batch belongs here. The gradient is not
that of the expected reward any more. Dimensions: B sequences, T time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RANK_STEEPNESS = 16.0
"""Of the logistic function that ranks go through, the one of LeakGAN's code, which counts rewards in the order in which
they come and calls that their rank."""


def softmax_values(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """``B exp(r) / sum exp(r)``, r being the reward of a whole sequence: its likelihood ratio by D, of mean 1.

    With the reward log_ratio, ``log D / (1 - D)``, and the baseline ``batch`` it makes MaliGAN's estimate of the
    gradient of the forward KL (arXiv 1702.07983). The sum in its denominator gives it a bias, which falls as 1/B.

    Args:
        q_BT: the reward of each sequence at each of its tokens, float64.
        mask_BT: which tokens the policy chose.

    Returns:
        The values, at least 0; 0 outside the mask.
    """
    reward_B = torch.where(mask_BT, q_BT, -torch.inf).amax(dim=1)
    weight_B = reward_B.softmax(dim=0) * mask_BT.any(dim=1).sum()
    return weight_B[:, None] * mask_BT


def rank_values(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """``1 / (1 + exp(16 (rank / n - 1/2)))`` of the value's rank among the n of its step, 1 being the highest.

    LeakGAN's bootstrapped rescaled activation (arXiv 1709.08624): what a batch is paid has the same mean
    and spread whatever the discriminator, and no value outweighs the rest. Equal values share the mean of their ranks.

    Args:
        q_BT: action values, float64.
        mask_BT: which tokens the policy chose.

    Returns:
        The values, between 0 and 1; 0 outside the mask.
    """
    rank_BT = torch.zeros_like(q_BT)
    for t in mask_BT.any(dim=0).nonzero().flatten():
        chosen_B = mask_BT[:, t]
        q_N = q_BT[chosen_B, t]
        _, place_N, count_U = q_N.unique(return_inverse=True, return_counts=True)
        higher_U = count_U.flip(0).cumsum(0).flip(0) - count_U
        rank_BT[chosen_B, t] = (higher_U + (count_U + 1).to(q_N) / 2)[place_N] / len(q_N)
    return torch.sigmoid(RANK_STEEPNESS * (0.5 - rank_BT)) * mask_BT


BATCH_STATISTICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"softmax": softmax_values, "rank": rank_values}
"""The statistics by name: each maps ``q_BT`` and the mask of chosen tokens to values."""
