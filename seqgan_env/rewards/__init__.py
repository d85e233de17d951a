"""Terminal rewards: functions of the discriminator's logit and of the complete sequence, by name."""

from __future__ import annotations

from seqgan_env.rewards import of_logit as of_logit  # these modules register their rewards

from seqgan_env.rewards import divergences as divergences  # isort: skip
from seqgan_env.rewards.base import REWARDS, DenseReward, Reward, RewardContext, RewardEntry, register_reward

__all__ = ["REWARDS", "DenseReward", "Reward", "RewardContext", "RewardEntry", "register_reward"]
