"""A bidirectional recurrent discriminator.

Dimensions: those of ``tokens``; S time as far as any sequence goes, E embedding, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqgan_env.autoregressive.recurrent import read_layers, upper_layers
from seqgan_env.discriminators.embedded import Embedded
from seqgan_env.discriminators.parts import Linear, Recurrent, RecurrentConfig, without_empty_columns
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.tokens import SequenceSpec


class RecurrentDiscriminator(Recurrent, Embedded):
    """A GRU in either direction, the mean and the maximum of its states over the tokens, dropout, one logit.

    A second layer reads the first one's states of its own direction, and so on; the last one's are pooled.
    The backward GRU reads each sequence from its own last token, so that padding comes after all tokens in both
    directions and changes no state that is pooled.

    Args:
        spec: the task's sequences.
        config: the settings; None is the defaults.
    """

    Config = RecurrentConfig

    def __init__(self, spec: SequenceSpec, config: RecurrentConfig | None = None) -> None:
        super().__init__(spec, config)
        config = self.config
        self.embedding = nn.Embedding(spec.vocab_size + 1, config.embedding_dim, padding_idx=spec.pad_id)
        self.forwards = nn.GRU(config.embedding_dim, config.hidden_dim, batch_first=True)
        self.backwards = nn.GRU(config.embedding_dim, config.hidden_dim, batch_first=True)
        self.upper_forwards = upper_layers(nn.GRU, config.hidden_dim, config.n_layers)
        self.upper_backwards = upper_layers(nn.GRU, config.hidden_dim, config.n_layers)
        self.norm = nn.LayerNorm(4 * config.hidden_dim) if config.layer_norm else nn.Identity()
        self.output = Linear(4 * config.hidden_dim, 1, config.spectral_norm)

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Score a batch; see ``Discriminator.forward``."""
        return super().forward(without_empty_columns(self.spec, tokens_BT), rng)

    def from_embedded(self, embedded_BTE: Tensor, is_token_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See ``Embedded.from_embedded``."""
        is_token_BS1, embedded_BSE, reversed_BSE = (
            is_token_BT[..., None],
            embedded_BTE,
            _reversed(embedded_BTE, is_token_BT),
        )
        directions = (
            read_layers(self.forwards, self.upper_forwards, embedded_BSE, lambda x: self._dropped(x, rng)),
            read_layers(self.backwards, self.upper_backwards, reversed_BSE, lambda x: self._dropped(x, rng)),
        )
        hidden_BSF = torch.cat(directions, dim=-1)
        # the states of both directions stand at different tokens, which makes no difference to the mean or the maximum
        n_tokens_B1 = is_token_BS1.sum(dim=1)
        mean_BF = hidden_BSF.masked_fill(~is_token_BS1, 0).sum(dim=1) / n_tokens_B1.clamp(min=1)
        # `max`, not `amax`, whose gradient looks for the largest a second time
        max_BF = hidden_BSF.masked_fill(~is_token_BS1, -1).max(dim=1).values  # no state of a GRU is below -1
        max_BF = max_BF.masked_fill(n_tokens_B1 == 0, 0)
        features_BF = self._dropped(self.norm(torch.cat([mean_BF, max_BF], dim=-1)), rng)
        logit_real_B: Tensor = self.output(features_BF).squeeze(1)
        return logit_real_B


def _reversed(x_BSE: Tensor, is_token_BS: Tensor) -> Tensor:
    """The tokens of each sequence from the last to the first; what stands at padding is of no consequence."""
    place_BS = is_token_BS.sum(dim=1, keepdim=True) - 1 - torch.arange(x_BSE.shape[1], device=x_BSE.device)
    return x_BSE.gather(1, place_BS.clamp(min=0)[..., None].expand_as(x_BSE))


register_discriminator(
    "gru",
    RecurrentDiscriminator,
    summary="A bidirectional GRU, the mean and the maximum of its states over the tokens.",
    source="Cho et al., arXiv 1406.1078; Schuster and Paliwal (1997)",
    formula="logit(Y) = w · [mean over t of h_t; max over t of h_t] + b, h = [forward GRU(Y); backward GRU(Y)]",
    cost="T 6 H (E + H), and in further layers T 12 H^2: 0.7 million with the defaults and T = 20. The steps come one "
    "after the other, so long sequences take long. Measured: 2.1 s a round.",
    when="Sequences in which tokens far from each other belong together, with few parameters: each state has read all "
    "tokens on one side of it.",
)
