"""Autoregressive models of token sequences: for the oracle, the generator, and whatever else needs a likelihood."""

from __future__ import annotations

from seqgan_env.autoregressive import recurrent as recurrent  # these modules register their cores

from seqgan_env.autoregressive import transformer as transformer  # isort: skip
from seqgan_env.autoregressive.constrained import ConstrainedModel
from seqgan_env.autoregressive.cores import CORES, Core, CoreConfig, CoreState, register_core
from seqgan_env.autoregressive.maximum_likelihood import LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.autoregressive.model import AutoregressiveModel

__all__ = [
    "CORES",
    "AutoregressiveModel",
    "ConstrainedModel",
    "Core",
    "CoreConfig",
    "CoreState",
    "LikelihoodConfig",
    "MaximumLikelihoodTrainer",
    "register_core",
]
