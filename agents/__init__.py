"""Agents for the sequence tasks: SeqGAN's generator, and the callback that retrains the discriminator."""

from __future__ import annotations

from agents.callbacks import DiscriminatorCallback
from agents.policy import AutoregressivePolicy, LstmPolicy
from agents.sb3 import PrefixExtractor, SeqGANVecEnv, make_seqgan_vec_env
from agents.seqgan import SeqGAN

__all__ = [
    "AutoregressivePolicy",
    "DiscriminatorCallback",
    "LstmPolicy",
    "PrefixExtractor",
    "SeqGAN",
    "SeqGANVecEnv",
    "make_seqgan_vec_env",
]
