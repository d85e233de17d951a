"""From the discriminator's logit to the reward of a complete sequence.

With ``logit = log D(Y) - log(1 - D(Y))`` every reward is a function of the logit alone, and is computed from it so that
it stays finite where ``D`` itself would round to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RewardFunction = Callable[[Tensor], Tensor]
"""Maps ``logit_real_B`` to ``reward_B``, both of shape ``(B,)``."""


def log_d(logit_real_B: Tensor) -> Tensor:
    """The usual reward, ``log D(Y)`` (eq. 13.37), in nats, at most 0."""
    return F.logsigmoid(logit_real_B)


def neg_log_one_minus_d(logit_real_B: Tensor) -> Tensor:
    """The reward ``-log(1 - D(Y))`` (eq. 13.36), in nats, at least 0: what minimising eq. 13.35 asks for.

    As ``1 - sigmoid(x) = sigmoid(-x)`` it is ``-logsigmoid(-x)``; PyTorch's ``softplus`` is the same but rounds
    ``exp(-x)`` to 0 from x = 20 on.
    """
    return -F.logsigmoid(-logit_real_B)


def log_ratio(logit_real_B: Tensor) -> Tensor:
    """``log D(Y) - log(1 - D(Y))``, in nats: with the optimal discriminator, ``log p_data(Y) - log G(Y)``."""
    return logit_real_B


def probability(logit_real_B: Tensor) -> Tensor:
    """``D(Y)`` itself, in [0, 1], the reward of the SeqGAN paper's experiments."""
    return torch.sigmoid(logit_real_B)


def constant(logit_real_B: Tensor) -> Tensor:
    """1 for every sequence: a control, the reward that says nothing."""
    return torch.ones_like(logit_real_B)


REWARDS: dict[str, RewardFunction] = {
    "log_d": log_d,
    "neg_log_one_minus_d": neg_log_one_minus_d,
    "log_ratio": log_ratio,
    "d": probability,
    "constant": constant,
}
"""The rewards by name."""


def get_reward(name: str) -> RewardFunction:
    """Look a reward up.

    Raises:
        ValueError: there is no reward of that name.
    """
    if name not in REWARDS:
        raise ValueError(f"reward must be one of {', '.join(REWARDS)}; got {name!r}")
    return REWARDS[name]
