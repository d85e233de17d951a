"""Reward shaping: payments of a step beside the terminal reward, by name."""

from __future__ import annotations

from seqgan_env.shaping import potential as potential  # these modules register their shapings, in this order

from seqgan_env.shaping import increments as increments  # isort: skip
from seqgan_env.shaping import prefix as prefix  # isort: skip
from seqgan_env.shaping import length as length  # isort: skip
from seqgan_env.shaping import repetition as repetition  # isort: skip
from seqgan_env.shaping.base import SHAPINGS, Shaping, ShapingContext, ShapingEntry, register_shaping
from seqgan_env.shaping.choice import build_shaping, needed_discriminator, shaping_configs
from seqgan_env.shaping.potential import Potential, PotentialShaping
from seqgan_env.shaping.totals import total_payments

__all__ = [
    "SHAPINGS",
    "Potential",
    "PotentialShaping",
    "Shaping",
    "ShapingContext",
    "ShapingEntry",
    "build_shaping",
    "needed_discriminator",
    "register_shaping",
    "shaping_configs",
    "total_payments",
]
