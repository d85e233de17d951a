"""Slow, obvious forms of what `seqgan_env` computes fast: token batches, rewards, the CNN, the likelihood metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.tokens import SequenceSpec, Tokens

TINY: dict[str, Any] = {
    "vocab_size": 3,
    "max_length": 3,
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[2, 4], [3, 8]]},
}
"""Keyword arguments of a task that can be enumerated: 27 sequences."""

BAD_ACTIONS: list[tuple[Any, str]] = [
    (3, r"an action must be a token id in \[0, 3\), got 3"),
    (-1, r"an action must be a token id in \[0, 3\), got -1"),
    (2**63, "got 9223372036854775808"),
    (10**30, "an action must be a whole number, got object"),
    (1.0, r"an action must be a whole number, got float64 \[1.0\]"),
    (float("nan"), r"an action must be a whole number, got float64 \[nan\]"),
    (True, "an action must be a whole number, got bool"),
    (None, "an action must be a whole number, got object"),
    ("1", "an action must be a whole number, got <U1"),
]
"""Actions of a task with V = 3 that are none, and what is said about them."""


def no_repetition(tokens_BT: Tokens, length_B: Tokens, vocab_size: int = 3) -> npt.NDArray[np.bool_]:
    """A constraint on three tokens: none twice in a row."""
    allowed_BV = np.ones((len(tokens_BT), vocab_size), dtype=np.bool_)
    for b, length in enumerate(length_B):
        if length:
            allowed_BV[b, tokens_BT[b, length - 1]] = False
    return allowed_BV


def mean_token(tokens_BT: Tokens, length_B: Tokens) -> npt.NDArray[np.float64]:
    """A potential: the mean of the tokens, 0.25 at the start."""
    return np.array(
        [row[:n].mean() if n else 0.25 for row, n in zip(tokens_BT.astype(np.float64), length_B, strict=True)]
    )


def tokens_of(spec: SequenceSpec, row: Sequence[int]) -> list[int] | None:
    """The tokens of one row of a batch, read from left to right; None if the row breaks a convention."""
    if len(row) > spec.max_length:
        return None
    tokens: list[int] = []
    is_over = False
    for token in row:
        if token == spec.pad_id:
            is_over = True
        elif is_over or not 0 <= token < spec.vocab_size:
            return None
        else:
            tokens.append(token)
            is_over = token == spec.eos_id
    return tokens


def has_ended(spec: SequenceSpec, tokens: Sequence[int]) -> bool:
    """Whether there is nothing to add to these tokens."""
    return len(tokens) == spec.max_length or (spec.eos_id is not None and spec.eos_id in tokens)


def rewards_of(logit: float) -> dict[str, float]:
    """The rewards as they are defined, from ``D = 1 / (1 + exp(-logit))``, with sixty digits."""
    with localcontext() as context:
        context.prec = 60
        d = 1 / (1 + (-Decimal(logit)).exp())
        log_d, log_one_minus_d = d.ln(), (1 - d).ln()
        ratio, log_ratio = d / (1 - d), log_d - log_one_minus_d
        return {
            "log_d": float(log_d),  # eq. 13.37
            "neg_log_one_minus_d": float(-log_one_minus_d),  # eq. 13.36
            "log_ratio": float(log_d - log_one_minus_d),
            "d": float(d),
            "centered": float(2 * d - 1),
            "constant": 1.0,
            "exact_log_ratio": float(log_d - log_one_minus_d),  # of the optimal D
            "both_divergences": float(min(ratio, Decimal(1000)) + max(min(log_ratio, Decimal(10)), Decimal(-10)) / 2),
        }


def log_loss(logit_real: Sequence[float], logit_generated: Sequence[float]) -> float:
    """Half the negative of eq. 13.32: minus the mean log D of real and the mean log(1 - D) of generated sequences."""
    real = [-math.log(1 / (1 + math.exp(-x))) for x in logit_real]
    generated = [-math.log(1 / (1 + math.exp(x))) for x in logit_generated]  # 1 - D, without its cancellation
    return 0.5 * (sum(real) / len(real) + sum(generated) / len(generated))


def cnn_logit(weights: Mapping[str, npt.NDArray[Any]], tokens: Sequence[int]) -> float:
    """The CNN discriminator of one sequence in double precision, one filter and one position at a time."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    embedded_TE = [w["embedding.weight"][token] for token in tokens]
    features = []
    k = 0
    while f"convolutions.{k}.weight" in w:
        kernels, biases = w[f"convolutions.{k}.weight"], w[f"convolutions.{k}.bias"]
        for kernel_EW, bias in zip(kernels, biases, strict=True):
            width = kernel_EW.shape[1]
            responses = [
                max(0.0, bias + sum(kernel_EW[:, i] @ embedded_TE[t + i] for i in range(width)))
                for t in range(len(tokens) - width + 1)
            ]
            features.append(max(responses))
        k += 1
    feature_F = np.array(features)
    gate_F = 1 / (1 + np.exp(-(w["gate.weight"] @ feature_F + w["gate.bias"])))
    transformed_F = np.maximum(0, w["transform.weight"] @ feature_F + w["transform.bias"])
    feature_F = gate_F * transformed_F + (1 - gate_F) * feature_F
    return float(w["output.weight"][0] @ feature_F + w["output.bias"][0])
