"""Discriminators: networks, the optimum they aim at, and how they are trained."""

from __future__ import annotations

from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.causal import CausalConfig, CausalDiscriminator
from seqgan_env.discriminators.cnn import PAPER_FILTERS, CNNConfig, CNNDiscriminator
from seqgan_env.discriminators.ensemble import EnsembleConfig, EnsembleDiscriminator
from seqgan_env.discriminators.generative import GenerativeConfig, GenerativeDiscriminator
from seqgan_env.discriminators.log_ratio import LogRatioConfig, LogRatioDiscriminator
from seqgan_env.discriminators.losses import LOSSES, Objective, discriminator_loss, discriminator_scores, get_objective
from seqgan_env.discriminators.optimal import OptimalDiscriminator
from seqgan_env.discriminators.parts import RecurrentConfig
from seqgan_env.discriminators.recurrent import RecurrentDiscriminator
from seqgan_env.discriminators.registry import (
    DISCRIMINATORS,
    build_discriminator,
    check_discriminator,
    discriminator_kind,
    load_discriminator,
    register_discriminator,
    save_discriminator,
)
from seqgan_env.discriminators.tabular import TabularConfig, TabularDiscriminator
from seqgan_env.discriminators.training import DiscriminatorTrainer
from seqgan_env.discriminators.transformer import TransformerConfig, TransformerDiscriminator

__all__ = [
    "DISCRIMINATORS",
    "LOSSES",
    "PAPER_FILTERS",
    "CNNConfig",
    "CNNDiscriminator",
    "CausalConfig",
    "CausalDiscriminator",
    "Discriminator",
    "DiscriminatorTrainer",
    "EnsembleConfig",
    "EnsembleDiscriminator",
    "GenerativeConfig",
    "GenerativeDiscriminator",
    "LogRatioConfig",
    "LogRatioDiscriminator",
    "Objective",
    "OptimalDiscriminator",
    "RecurrentConfig",
    "RecurrentDiscriminator",
    "TabularConfig",
    "TabularDiscriminator",
    "TransformerConfig",
    "TransformerDiscriminator",
    "build_discriminator",
    "check_discriminator",
    "discriminator_kind",
    "discriminator_loss",
    "discriminator_scores",
    "get_objective",
    "load_discriminator",
    "register_discriminator",
    "save_discriminator",
]
