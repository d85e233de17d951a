"""Small policies and environments for the tests of ``agents``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents import LstmPolicy
from seqgan_env.tokens import SequenceSpec

ORACLE: dict[str, Any] = {
    "vocab_size": 20,
    "max_length": 6,
    "n_real": 200,
    "n_held_out": 100,
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 4], [2, 4]]},
}
"""Keyword arguments of ``SeqGAN-v0``: an oracle of 20 tokens, six steps, and a discriminator of a few weights."""

GRAMMAR: dict[str, Any] = {
    "n_real": 200,
    "n_held_out": 100,
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 4], [2, 4]]},
}
"""Keyword arguments of ``SeqGANGrammar-v0``, whose sequences end by end-of-sequence."""

POLICY: dict[str, Any] = {"embedding_dim": 4, "hidden_dim": 4}
"""The policy's own keyword arguments."""


def lstm(spec: SequenceSpec, seed: int = 0, *, hidden_dim: int = 4, scale: float = 4.0) -> LstmPolicy:
    """An ``LstmPolicy`` in double precision whose distribution is far from uniform and depends on the whole prefix."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = LstmPolicy(
            spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64),
            spaces.Discrete(spec.vocab_size),
            lambda _: 1e-3,
            eos_id=spec.eos_id,
            embedding_dim=3,
            hidden_dim=hidden_dim,
        )
    policy.set_training_mode(False)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(scale)
    return policy.double()


def prefixes(spec: SequenceSpec, n: int, rng: np.random.Generator) -> torch.Tensor:
    """Random prefixes of every length from 0 to T, padded, shape ``(n, T)``; what end-of-sequence ends stays ended."""
    tokens_BT = rng.integers(spec.vocab_size, size=(n, spec.max_length))
    tokens_BT[np.arange(spec.max_length) >= rng.integers(spec.max_length + 1, size=(n, 1))] = spec.pad_id
    if spec.eos_id is not None:
        ended_BT = np.cumsum(tokens_BT == spec.eos_id, axis=1) > 0
        tokens_BT[:, 1:][ended_BT[:, :-1]] = spec.pad_id
    return torch.from_numpy(spec.validate(tokens_BT))
