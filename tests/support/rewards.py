"""Registered rewards as functions of the logit alone."""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_env.rewards import REWARDS, ComparingReward, RewardContext
from seqgan_env.task import Task
from seqgan_env.tokens import SequenceSpec

OF_LOGIT = [name for name in REWARDS if name not in ("relativistic", "rank", "bleu", "random", "oracle")]
"""The rewards that are functions of the logit alone."""


def pay(name: str, logit_real_B: Tensor) -> Tensor:
    """The registered reward of these logits, for sequences of a single token."""
    entry = REWARDS[name]
    context = RewardContext(
        SequenceSpec(1, 1), None, lambda: torch.zeros(1, 1, dtype=torch.int64).numpy(), entry.config()
    )
    reward = entry.build(context)
    assert not isinstance(reward, ComparingReward)
    return reward(logit_real_B, torch.zeros(len(logit_real_B), 1, dtype=torch.int64))


def pay_in(task: Task, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
    """The registered reward of a task for these logits, built anew."""
    entry = REWARDS[str(task.config.reward)]
    log_prob = task.source.log_prob  # type: ignore[attr-defined]
    context = RewardContext(task.spec, None, lambda: task.real_sequences, task.config.build_reward_config(), log_prob)
    reward = entry.build(context)
    if isinstance(reward, ComparingReward):
        reward = reward.beside(torch.from_numpy(task.scoring.discriminator.exact_logits(reward.compared)))
    return reward(logit_real_B, tokens_BT)
