"""BLEU against real sequences as a reward: PG-BLEU of the SeqGAN paper (arXiv 1609.05473, section 4).

End-of-sequence counts as a token here, since it is an action like others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_env.bleu import Bleu
from seqgan_env.checks import PositiveFloat, PositiveInt, check_fields
from seqgan_env.rewards.base import Reward, RewardContext, register_reward


@dataclass(frozen=True)
class BleuConfig:
    """The settings of ``bleu``.

    Raises:
        ValueError: a value is out of range.
    """

    max_n: PositiveInt = 4
    """Tokens of the longest n-grams."""
    n_references: PositiveInt = 1000
    """R, the real sequences it is compared with: the first ones of the training set, at most all."""
    smoothing: PositiveFloat = 0.1
    """Counted where no n-gram of a length is found, so that one missing length does not make BLEU 0."""

    def __post_init__(self) -> None:
        check_fields(self)


def _build(context: RewardContext) -> Reward:
    config: BleuConfig = context.config
    references = context.real_sequences()[: config.n_references]
    bleu = Bleu(context.spec, references, config.max_n, config.smoothing)

    def reward(logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        return torch.from_numpy(bleu.of(tokens_BT.cpu().numpy())[:, -1]).to(logit_real_B)

    return reward


register_reward(
    "bleu",
    _build,
    label="BLEU",
    summary="The BLEU of the sequence against real sequences: a fixed reward, as a rival of learnt ones.",
    source="PG-BLEU, arXiv 1609.05473, section 4",
    low=0.0,
    high=1.0,
    unit="BLEU",
    discriminator="none",
    config=BleuConfig,
)
