"""Agents for the sequence tasks: SeqGAN's generator, and the callback that retrains the discriminator."""

from __future__ import annotations

from agents.callbacks import DiscriminatorCallback
from agents.collapse import CollapseAlarm
from agents.policy import AutoregressivePolicy
from agents.sb3.actor_critic import GeneratorActorCritic, with_generator
from agents.sb3.features import PrefixExtractor
from agents.sb3.replay import RelabellingDictReplayBuffer, RelabellingReplayBuffer
from agents.sb3.vec_env import SeqGANVecEnv, make_seqgan_vec_env
from agents.seqgan import SeqGAN

__all__ = [
    "AutoregressivePolicy",
    "CollapseAlarm",
    "DiscriminatorCallback",
    "GeneratorActorCritic",
    "PrefixExtractor",
    "RelabellingDictReplayBuffer",
    "RelabellingReplayBuffer",
    "SeqGAN",
    "SeqGANVecEnv",
    "make_seqgan_vec_env",
    "with_generator",
]
