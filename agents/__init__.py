"""Agents for the sequence tasks: SeqGAN's generator, and the callback that retrains the discriminator."""

from __future__ import annotations

from agents.callbacks import DiscriminatorCallback
from agents.policy import AttentionPolicy, AutoregressivePolicy, GruPolicy, LstmPolicy, TransformerPolicy
from agents.sb3 import PrefixExtractor, SeqGANVecEnv, make_seqgan_vec_env
from agents.seqgan import SeqGAN

__all__ = [
    "AttentionPolicy",
    "AutoregressivePolicy",
    "DiscriminatorCallback",
    "GruPolicy",
    "LstmPolicy",
    "PrefixExtractor",
    "SeqGAN",
    "SeqGANVecEnv",
    "TransformerPolicy",
    "make_seqgan_vec_env",
]
