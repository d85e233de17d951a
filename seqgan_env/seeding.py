"""Random generators that are a function of a seed and a key.

Every consumer of randomness asks for a generator by what it is about to do, such as ``("completions", update)``.
Nothing then depends on how much randomness something else has used, and a resumed run equals an uninterrupted one
without any generator state in the checkpoint.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_MIX = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio, as a signed number


def derived_seed(seed: int, *key: str | int) -> int:
    """A seed of 63 bits for one use, independent of those of every other key."""
    parts = (part if isinstance(part, str) else int(part) for part in key)  # NumPy's 3 is 3
    digest = hashlib.sha256(repr((int(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_rng(seed: int, *key: str | int) -> np.random.Generator:
    """The NumPy generator of one use."""
    return np.random.default_rng(derived_seed(seed, *key))


def torch_rng(seed: int, *key: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """The torch generator of one use, on ``device``."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *key))


def hash_rows(tokens_BT: Tensor, seed: int = 0) -> Tensor:
    """A number from 0 to 2^52 - 1 for each sequence, the same wherever that stands: ``hash_B``, int64."""
    hash_B = torch.full_like(tokens_BT[:, 0], seed)
    for token_B in tokens_BT.unbind(dim=1):
        hash_B = (hash_B ^ token_B) * _MIX  # which wraps around
        hash_B = hash_B ^ (hash_B >> 29)
    return hash_B & (2**52 - 1)
