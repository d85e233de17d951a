"""The transformer discriminator against a form that reads one sequence at a time, with attention written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.discriminators import (
    TransformerConfig,
    TransformerDiscriminator,
    build_discriminator,
)
from tests.support.discriminators import SPEC, sequences


def small_transformer(**kwargs: Any) -> TransformerDiscriminator:
    built = build_discriminator("transformer", SPEC, kwargs={"hidden_dim": 6, "n_heads": 2, "n_layers": 2, **kwargs})
    assert isinstance(built, TransformerDiscriminator)
    return built


def slow_logit(weights: dict[str, Tensor], words: list[int], n_heads: int, n_layers: int) -> float:
    """The logit of a sequence without padding: each head and each pair of tokens by itself."""

    def linear(name: str, x_TH: Tensor) -> Tensor:
        return x_TH @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x_TH: Tensor) -> Tensor:
        centred_TH = x_TH - x_TH.mean(dim=1, keepdim=True)
        scaled_TH = centred_TH / (centred_TH.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        return scaled_TH * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x_TH = weights["embedding.weight"][words] + weights["position.weight"][: len(words)]
    size = x_TH.shape[1] // n_heads
    for i in range(n_layers):
        query_TH, key_TH, value_TH = linear(
            f"layers.{i}.attention_in.1", norm(f"layers.{i}.attention_in.0", x_TH)
        ).split(x_TH.shape[1], dim=1)
        read_TH = torch.zeros_like(x_TH)
        for head in range(n_heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(words)):
                score_T = torch.stack([query_TH[t, part] @ key_TH[s, part] for s in range(len(words))])
                weight_T = torch.exp(score_T / math.sqrt(size)) / torch.exp(score_T / math.sqrt(size)).sum()
                read_TH[t, part] = weight_T @ value_TH[:, part]
        x_TH = x_TH + linear(f"layers.{i}.attention_out", read_TH)
        inner = F.gelu(linear(f"layers.{i}.feed_forward.1", norm(f"layers.{i}.feed_forward.0", x_TH)))
        x_TH = x_TH + linear(f"layers.{i}.feed_forward.3", inner)
    return float(linear("output", norm("norm", x_TH).mean(dim=0)[None]))


class TestDefinition:
    def test_it_is_its_definition(self) -> None:
        discriminator, tokens_BT = small_transformer(), sequences(20)
        weights = {name: tensor.double() for name, tensor in discriminator.state_dict().items()}
        words = [[token for token in row_T if token != SPEC.pad_id] for row_T in tokens_BT.tolist()]
        expected_B = [slow_logit(weights, row, n_heads=2, n_layers=2) for row in words]
        assert np.std(expected_B) > 0.01
        np.testing.assert_allclose(discriminator.exact_logits(tokens_BT), expected_B, rtol=0, atol=1e-10)

    def test_padding_changes_nothing(self) -> None:
        """Not even where its embedding is no longer 0."""
        discriminator, tokens_BT = small_transformer(), sequences(20)
        expected_B = discriminator.exact_logits(tokens_BT)
        with torch.no_grad():
            discriminator.embedding.weight[SPEC.pad_id] = 7.0
        np.testing.assert_allclose(discriminator.exact_logits(tokens_BT), expected_B, rtol=0, atol=1e-12)

    def test_every_token_sees_every_other_one(self) -> None:
        """The logit is not a sum over positions, and the order of the tokens counts."""
        rows_BT = np.array([[1, 2, 3, 4, 1, 2], [2, 1, 3, 4, 1, 2], [1, 2, 3, 4, 2, 1], [2, 1, 3, 4, 2, 1]])
        logit_B = small_transformer().exact_logits(rows_BT)
        assert len(set(logit_B)) == 4
        assert abs(logit_B[0] - logit_B[1] - logit_B[2] + logit_B[3]) > 1e-6

    def test_nothing_has_the_logit_of_the_bias(self) -> None:
        empty_1T = np.full((1, SPEC.max_length), SPEC.pad_id)
        bias = small_transformer().output.bias.item()
        assert small_transformer().prefix_logits(empty_1T)[0] == pytest.approx(bias, abs=1e-12)
        assert small_transformer().prefix_logits(np.concatenate([empty_1T, sequences(3)]))[0] == pytest.approx(
            bias, abs=1e-12
        )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hidden_dim": 0}, "hidden_dim must be a whole number of at least 1, got 0"),
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1, got 0"),
        ({"n_heads": 0}, "n_heads must be a whole number of at least 1, got 0"),
        ({"hidden_dim": 6}, "n_heads must divide hidden_dim, got n_heads 4 and hidden_dim 6"),
        ({"dropout": 1.0}, r"dropout must be a finite number in \[0, 1\), got"),
    ],
)
def test_it_refuses(kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**kwargs)
