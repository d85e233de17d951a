"""A small CNN, and sequences for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqgan_env.discriminators import CNNDiscriminator, OptimalDiscriminator, build_discriminator
from seqgan_env.enumeration import n_sequences, sequence_index
from seqgan_env.tokens import SequenceSpec, Tokens

SPEC = SequenceSpec(5, 6, eos_id=0)
SMALL: dict[str, Any] = {"embedding_dim": 4, "filters": [[1, 2], [3, 4], [6, 3]]}


def small(seed: int = 0, **kwargs: Any) -> CNNDiscriminator:
    built = build_discriminator("cnn", SPEC, seed=seed, kwargs={**SMALL, **kwargs})
    assert isinstance(built, CNNDiscriminator)
    return built


def sequences(n: int, seed: int = 0) -> Tokens:
    """Sequences of all lengths from 1 to T."""
    tokens_BT = np.random.default_rng(seed).integers(0, 5, (n, 6))
    has_ended_BT = np.cumsum(tokens_BT == 0, axis=1) > 0
    tokens_BT[:, 1:][has_ended_BT[:, :-1]] = SPEC.pad_id
    return SPEC.validate(tokens_BT, complete=True)


def counting(n: int) -> tuple[SequenceSpec, Tokens, Tokens]:
    """Sequences that count upwards (real) and downwards (generated); one token in twenty is another.

    Every token is as frequent in both, so that only the order tells them apart.
    """
    spec, rng = SequenceSpec(6, 5), np.random.default_rng(0)
    start_B1, steps_T = rng.integers(0, 6, (n, 1)), np.arange(5)
    real_BT, generated_BT = (start_B1 + steps_T) % 6, (start_B1 - steps_T) % 6
    noise_BT = rng.random(real_BT.shape) < 0.05
    real_BT = np.where(noise_BT, rng.integers(0, 6, real_BT.shape), real_BT)
    return spec, real_BT, np.where(noise_BT, rng.integers(0, 6, real_BT.shape), generated_BT)


def optimal(spec: SequenceSpec, seed: int = 0) -> OptimalDiscriminator:
    """The optimum where every sequence has a probability of its own, beside a generator that knows nothing."""
    n = n_sequences(spec)
    log_p_K = np.log(np.random.default_rng(seed).dirichlet(np.ones(n)))
    return OptimalDiscriminator(
        spec, lambda rows_BT: log_p_K[sequence_index(spec, rows_BT)], lambda rows_BT: np.full(len(rows_BT), -np.log(n))
    )
