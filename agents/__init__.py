"""Agents for the sequence tasks: SeqGAN's generator, and the callback that retrains the discriminator."""

from __future__ import annotations

from agents.actor_critic import GeneratorActorCritic, with_generator
from agents.callbacks import DiscriminatorCallback
from agents.policy import AttentionPolicy, AutoregressivePolicy, GruPolicy, LstmPolicy, TransformerPolicy
from agents.replay import RelabellingDictReplayBuffer, RelabellingReplayBuffer
from agents.sb3 import PrefixExtractor, SeqGANVecEnv, make_seqgan_vec_env
from agents.seqgan import SeqGAN

__all__ = [
    "AttentionPolicy",
    "AutoregressivePolicy",
    "DiscriminatorCallback",
    "GeneratorActorCritic",
    "GruPolicy",
    "LstmPolicy",
    "PrefixExtractor",
    "RelabellingDictReplayBuffer",
    "RelabellingReplayBuffer",
    "SeqGAN",
    "SeqGANVecEnv",
    "TransformerPolicy",
    "make_seqgan_vec_env",
    "with_generator",
]
