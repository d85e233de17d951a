"""Terminal rewards: functions of the discriminator's logit and of the complete sequence, by name."""

from __future__ import annotations

from seqgan_env.rewards import of_logit as of_logit  # these modules register their rewards, in this order

from seqgan_env.rewards import divergences as divergences  # isort: skip
from seqgan_env.rewards import f_divergence as f_divergence  # isort: skip
from seqgan_env.rewards import comparing as comparing  # isort: skip
from seqgan_env.rewards import bleu as bleu  # isort: skip
from seqgan_env.rewards import controls as controls  # isort: skip
from seqgan_env.rewards import composite as composite  # isort: skip
from seqgan_env.rewards.base import (
    REWARDS,
    ComparingReward,
    CompositeReward,
    DenseReward,
    Reward,
    RewardContext,
    RewardEntry,
    RewardFunction,
    register_reward,
    reward_entry,
)
from seqgan_env.rewards.payment import Payment, check_clip

__all__ = [
    "REWARDS",
    "ComparingReward",
    "CompositeReward",
    "DenseReward",
    "Payment",
    "Reward",
    "RewardContext",
    "RewardEntry",
    "RewardFunction",
    "check_clip",
    "register_reward",
    "reward_entry",
]
