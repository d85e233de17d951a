"""The transformer core.

Dimensions: those of ``cores``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.autoregressive.cores import Core, CoreConfig, CoreState, look_back, register_core, write_slot
from seqgan_env.checks import PositiveInt
from seqgan_env.tokens import SequenceSpec


@dataclass(frozen=True)
class TransformerConfig(CoreConfig):
    """The sizes of a transformer.

    Raises:
        ValueError: a size is below 1, or ``n_heads`` does not divide ``hidden_dim``.
    """

    n_layers: PositiveInt = 2
    """Number of layers."""
    n_heads: PositiveInt = 4
    """Attention heads, A; a divisor of ``hidden_dim``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_dim % self.n_heads:
            raise ValueError(
                f"n_heads must divide hidden_dim, got n_heads {self.n_heads} and hidden_dim {self.hidden_dim}"
            )


class TransformerCore(Core):
    """A causal transformer with learned positions, each layer normalised before it is added (arXiv 2002.04745).

    It takes the place of ``g`` in eq. 13.28. The state holds the keys and values of everything read, so that a step
    costs one token and not the whole prefix. Token and position embeddings are added in E dimensions; a matrix takes
    their sum to H.

    Args:
        spec: the sequences.
        config: the sizes.
    """

    Config = TransformerConfig

    def __init__(self, spec: SequenceSpec, config: TransformerConfig) -> None:
        super().__init__(spec, config)
        embedding_dim, hidden_dim, n_heads = config.embedding_dim, config.hidden_dim, config.n_heads
        self.position = nn.Embedding(self.n_slots, embedding_dim)
        self.enter = nn.Linear(embedding_dim, hidden_dim)
        self.layers = nn.ModuleList(_Layer(hidden_dim, n_heads) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(hidden_dim)
        self._memory_shape_SAD = (self.n_slots, n_heads, hidden_dim // n_heads)

    def read(self, embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See the base class."""
        position_T = torch.arange(embedded_BTE.shape[1], device=embedded_BTE.device)
        x_BTH = self.enter(embedded_BTE + self.position(position_T))
        for layer in self.layers:
            x_BTH = layer(x_BTH)
        hidden_BTH: Tensor = self.norm(x_BTH)
        return hidden_BTH

    def initial_state(self, n: int) -> CoreState:
        """The state that predicts, the number of inputs read, and the keys and values of each layer."""
        n_read_B = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        memories = (self._zeros(n, *self._memory_shape_SAD) for _ in range(2 * len(self.layers)))
        return self._zeros(n, self.hidden_dim), n_read_B, *memories

    def step_embedded(self, embedded_BE: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        _, n_read_B, *memories = state
        x_BH = self.enter(embedded_BE + self.position(n_read_B))
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, _Layer)
            x_BH, *memories[2 * i : 2 * i + 2] = layer.step(x_BH, memories[2 * i], memories[2 * i + 1], n_read_B)
        return self.norm(x_BH), n_read_B + 1, *memories


class _Layer(nn.Module):
    """Self-attention over what was read, then a feed-forward network, each added to its input."""

    def __init__(self, hidden_dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_in = nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, 3 * hidden_dim))
        self.attention_out = nn.Linear(hidden_dim, hidden_dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            nn.Linear(hidden_dim, 4 * hidden_dim),
            nn.GELU(),
            nn.Linear(4 * hidden_dim, hidden_dim),
        )

    def forward(self, x_BTH: Tensor) -> Tensor:
        """All positions at once, each of which sees itself and those before it."""
        query_BATD, key_BATD, value_BATD = (part_BTAD.transpose(1, 2) for part_BTAD in self._heads(x_BTH))
        seen_BATD = F.scaled_dot_product_attention(query_BATD, key_BATD, value_BATD, is_causal=True)
        return self._add(x_BTH, seen_BATD.transpose(1, 2))

    def step(
        self, x_BH: Tensor, key_BSAD: Tensor, value_BSAD: Tensor, n_read_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One position, with the keys and values of those before it; both come back with its own."""
        query_BAD, key_BAD, new_BAD = self._heads(x_BH)
        key_BSAD, value_BSAD = write_slot(key_BSAD, n_read_B, key_BAD), write_slot(value_BSAD, n_read_B, new_BAD)
        return self._add(x_BH, look_back(query_BAD, key_BSAD, value_BSAD, n_read_B)), key_BSAD, value_BSAD

    def _heads(self, x_H: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``(..., A, D)``."""
        return self.attention_in(x_H).unflatten(-1, (3, self.n_heads, -1)).unbind(-3)  # type: ignore[no-any-return]

    def _add(self, x_H: Tensor, seen_AD: Tensor) -> Tensor:
        x_H = x_H + self.attention_out(seen_AD.flatten(-2))
        added_H: Tensor = x_H + self.feed_forward(x_H)
        return added_H


register_core("transformer", TransformerCore)
