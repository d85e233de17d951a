"""A transformer encoder as a discriminator.

Dimensions: those of ``tokens``; S time as far as any sequence goes, A attention heads, D features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.checks import PositiveInt, ShareBelowOne, check_fields
from seqgan_env.discriminators.embedded import Embedded
from seqgan_env.discriminators.parts import Linear, without_empty_columns
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.dropout import dropout
from seqgan_env.tokens import SequenceSpec


@dataclass(frozen=True)
class TransformerConfig:
    """The settings of ``TransformerDiscriminator``.

    Raises:
        ValueError: a value is out of range, or ``n_heads`` does not divide ``hidden_dim``.
    """

    hidden_dim: PositiveInt = 64
    """Size of the embeddings and of the state at each token."""
    n_layers: PositiveInt = 2
    """Number of layers."""
    n_heads: PositiveInt = 4
    """Attention heads; a divisor of ``hidden_dim``."""
    dropout: ShareBelowOne = 0.1
    """Share of the features that training drops, of the embeddings and of what each layer adds."""
    spectral_norm: bool = False
    """Whether each matrix of attention (queries, keys and values as one), of the feed-forward networks and of the
    output is divided by its largest singular value; the gains of the normalisations stay as they are."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden_dim % self.n_heads:
            raise ValueError(
                f"n_heads must divide hidden_dim, got n_heads {self.n_heads} and hidden_dim {self.hidden_dim}"
            )


class TransformerDiscriminator(Embedded):
    """A transformer in which each token sees all others, each layer normalised before it is added; the mean, one logit.

    Positions are learned. Padding is seen by no token and is no part of the mean.

    Args:
        spec: the task's sequences.
        config: the settings; None is the defaults.
    """

    Config = TransformerConfig

    def __init__(self, spec: SequenceSpec, config: TransformerConfig | None = None) -> None:
        super().__init__(spec, config)
        config = self.config
        self.embedding = nn.Embedding(spec.vocab_size + 1, config.hidden_dim, padding_idx=spec.pad_id)
        self.position = nn.Embedding(spec.max_length, config.hidden_dim)
        self.layers = nn.ModuleList(
            _Layer(config.hidden_dim, config.n_heads, config.dropout, config.spectral_norm)
            for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.output = Linear(config.hidden_dim, 1, config.spectral_norm)

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Score a batch; see ``Discriminator.forward``."""
        return super().forward(without_empty_columns(self.spec, tokens_BT), rng)

    def from_embedded(self, embedded_BTE: Tensor, is_token_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See ``Embedded.from_embedded``."""
        is_token_BS, position_S = is_token_BT, torch.arange(is_token_BT.shape[1], device=self.device)
        # of an empty prefix the first place is seen, since an average over nothing is no number
        seen_B11S = (is_token_BS | (position_S == 0))[:, None, None]
        x_BSH = embedded_BTE + self.position(position_S)
        if self.training and self.config.dropout > 0:
            x_BSH = dropout(x_BSH, self.config.dropout, rng)
        for layer in self.layers:
            x_BSH = layer(x_BSH, seen_B11S, rng)
        sum_BH = self.norm(x_BSH).masked_fill(~is_token_BS[..., None], 0).sum(dim=1)
        mean_BH = sum_BH / is_token_BS.sum(dim=1, keepdim=True).clamp(min=1)
        logit_real_B: Tensor = self.output(mean_BH).squeeze(1)
        return logit_real_B


class _Layer(nn.Module):
    """Self-attention, then a feed-forward network, each added to its input."""

    def __init__(self, hidden_dim: int, n_heads: int, dropout: float, spectral_norm: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.attention_in = nn.Sequential(nn.LayerNorm(hidden_dim), Linear(hidden_dim, 3 * hidden_dim, spectral_norm))
        self.attention_out = Linear(hidden_dim, hidden_dim, spectral_norm)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            Linear(hidden_dim, 4 * hidden_dim, spectral_norm),
            nn.GELU(),
            Linear(4 * hidden_dim, hidden_dim, spectral_norm),
        )

    def forward(self, x_BSH: Tensor, seen_B11S: Tensor, rng: torch.Generator | None) -> Tensor:
        heads = self.attention_in(x_BSH).unflatten(-1, (3, self.n_heads, -1)).unbind(2)
        query_BASD, key_BASD, value_BASD = (part_BSAD.transpose(1, 2) for part_BSAD in heads)
        read_BASD = F.scaled_dot_product_attention(query_BASD, key_BASD, value_BASD, attn_mask=seen_B11S)
        x_BSH = x_BSH + self._dropped(self.attention_out(read_BASD.transpose(1, 2).flatten(2)), rng)
        return x_BSH + self._dropped(self.feed_forward(x_BSH), rng)

    def _dropped(self, x_BSH: Tensor, rng: torch.Generator | None) -> Tensor:
        return dropout(x_BSH, self.dropout, rng) if self.training and self.dropout > 0 else x_BSH


register_discriminator(
    "transformer",
    TransformerDiscriminator,
    summary="A transformer encoder with learned positions, and the mean over the tokens.",
    source="Vaswani et al., arXiv 1706.03762; normalised before each layer, arXiv 2002.04745",
    formula="logit(Y) = w · mean over t of norm(encoder(E(Y) + P))_t + b",
    cost="T (12 H^2 + 2 T H) a layer: 2 million with the defaults and T = 20, all tokens side by side. Measured: 3.2 s "
    "a round.",
    when="Long sequences and a GPU: all tokens are read side by side, and any two of them meet in one layer.",
)
