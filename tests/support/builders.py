"""Small generators and environments for the tests of ``agents``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from agents.policy import policy_names
from seqgan_env.autoregressive import CORES, AutoregressiveModel
from seqgan_env.tokens import SequenceSpec
from tests.support import reference

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

RETRAIN: dict[str, Any] = {"n_generated": 16, "batch_size": 8, "n_held_out": 8, "learning_rate": 0.01}
"""Settings of a round of the discriminator."""


_SCALE = {"lstm": 4.0, "gru": 3.0, "attention": 2.0, "transformer": 2.0}

every_kind = pytest.mark.parametrize("kind", CORES)
"""Runs a test with the name of each of the cores, for ``make_generator``."""


def policy_name(kind: str) -> str:
    """The name that ``SeqGAN`` gives to a generator with a core."""
    return next(name for name, core in policy_names().items() if core == kind)


def make_generator(
    kind: str,
    spec: SequenceSpec,
    seed: int = 0,
    *,
    hidden_dim: int = 4,
    scale: float | None = None,
    **core_kwargs: Any,
) -> AutoregressiveModel:
    """A generator in double precision whose distribution is far from uniform and depends on the whole prefix.

    Its initial parameters are scaled up, by what suits its kind if ``scale`` is not given.
    """
    if kind == "transformer":
        core_kwargs = {"n_heads": 2, **core_kwargs}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = AutoregressiveModel(
            spec, kind, embedding_dim=3, hidden_dim=hidden_dim, **{"dropout": 0.0, "embedding_std": 1.0, **core_kwargs}
        )
    generator.eval()
    with torch.no_grad():
        for module in generator.modules():
            if not isinstance(module, nn.LayerNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.mul_(_SCALE[kind] if scale is None else scale)
    return generator.double()


def lstm(spec: SequenceSpec, seed: int = 0, *, hidden_dim: int = 4, scale: float = 4.0) -> AutoregressiveModel:
    """``make_generator("lstm", ...)``."""
    return make_generator("lstm", spec, seed, hidden_dim=hidden_dim, scale=scale)


SPECS = [
    SequenceSpec(3, 3),
    SequenceSpec(3, 3, 0),
    SequenceSpec(2, 4, 1),
    SequenceSpec(4, 4, 3),
    SequenceSpec(3, 1),
    SequenceSpec(1, 3),
    SequenceSpec(1, 3, 0),
]
"""Tasks that can be enumerated: with and without end-of-sequence, a single step, a single token."""


def show(spec: SequenceSpec) -> str:
    """The name of a task in a test's id."""
    return f"V={spec.vocab_size},T={spec.max_length},eos={spec.eos_id}"


def score_by(spec: SequenceSpec, table: Mapping[reference.Prefix, float]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The reward of each row of a batch, looked up."""
    code_T = (spec.vocab_size + 1) ** torch.arange(spec.max_length)
    rows_BT = torch.from_numpy(reference.padded(spec, table))
    values = torch.full(((spec.vocab_size + 1) ** spec.max_length,), torch.nan, dtype=torch.float64)
    values[rows_BT @ code_T] = torch.tensor(list(table.values()), dtype=torch.float64)
    return lambda tokens_MT: values[tokens_MT @ code_T]


tasks = st.builds(
    lambda vocab_size, max_length, eos: SequenceSpec(vocab_size, max_length, eos % vocab_size if eos >= 0 else None),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(-1, 4),
)
"""Small tasks of all shapes, with and without an end-of-sequence token, a single token and a single step among them."""


def prefixes(spec: SequenceSpec, n: int, rng: np.random.Generator) -> torch.Tensor:
    """Random prefixes of every length from 0 to T, padded, shape ``(n, T)``; what end-of-sequence ends stays ended."""
    tokens_BT = rng.integers(spec.vocab_size, size=(n, spec.max_length))
    tokens_BT[np.arange(spec.max_length) >= rng.integers(spec.max_length + 1, size=(n, 1))] = spec.pad_id
    if spec.eos_id is not None:
        ended_BT = np.cumsum(tokens_BT == spec.eos_id, axis=1) > 0
        tokens_BT[:, 1:][ended_BT[:, :-1]] = spec.pad_id
    return torch.from_numpy(spec.validate(tokens_BT))


def masks(n: int, max_length: int, rng: np.random.Generator) -> torch.Tensor:
    """Which tokens were chosen: from the end of a given prefix, often empty, to the end of the sequence."""
    start_B1 = rng.integers(max_length, size=(n, 1)) * (rng.random((n, 1)) < 0.3)
    length_B1 = rng.integers(start_B1 + 1, max_length + 1)
    return torch.from_numpy((np.arange(max_length) >= start_B1) & (np.arange(max_length) < length_B1))


batches = st.builds(
    lambda n, max_length, seed: (
        torch.from_numpy(np.random.default_rng(seed).normal(size=(n, max_length))),
        masks(n, max_length, np.random.default_rng(seed + 1)),
    ),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1000),
)
"""A number for each token of a few sequences, and which of them were chosen."""
