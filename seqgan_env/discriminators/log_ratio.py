"""A log-ratio of two sequence models as a discriminator: the logit is a sum with one term for each token.

Dimensions: those of ``tokens``; S time as far as any sequence goes, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.autoregressive.recurrent import read_layers, upper_layers
from seqgan_env.checks import ShareBelowOne
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.parts import Linear, Recurrent, RecurrentConfig, without_empty_columns
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.tokens import SequenceSpec


@dataclass(frozen=True)
class LogRatioConfig(RecurrentConfig):
    """The settings of ``LogRatioDiscriminator``.

    Raises:
        ValueError: a value is out of range.
    """

    dropout: ShareBelowOne = 0.0
    """Share of the features of embedding and states that training drops."""
    spectral_norm: bool = False
    """Whether W is divided by its largest singular value, so that it can't begin at zero; the recurrent matrices stay
    as they are."""


class LogRatioDiscriminator(Recurrent, Discriminator):
    """A learned log-ratio of each token given those before it, ``r_t = W h_t + c``; the logit sums the entries y_t.

    The optimum ``log p(Y) - log G(Y)`` is by eq. 13.31 such a sum, of ``log p(y_t | Y_{1:t-1}) - log G(y_t |
    Y_{1:t-1})``. The logit of a complete sequence fixes its terms only up to what moves from one step to another, so
    the terms themselves need not become these. ``h_t`` is the state of an LSTM that has read the start symbol and the
    tokens before t. W and c begin at zero, so that ``D = 1/2``;
    with spectral norm c alone does.

    The logit of a prefix, as ``prefix_logits`` gives it, is the sum over the tokens it has.

    Args:
        spec: the task's sequences.
        config: the settings; None is the defaults.
    """

    Config = LogRatioConfig

    def __init__(self, spec: SequenceSpec, config: LogRatioConfig | None = None) -> None:
        super().__init__(spec, config)
        config = self.config
        self.embedding = nn.Embedding(spec.vocab_size + 1, config.embedding_dim)  # the last row is the start symbol
        self.rnn = nn.LSTM(config.embedding_dim, config.hidden_dim, batch_first=True)
        self.upper = upper_layers(nn.LSTM, config.hidden_dim, config.n_layers)
        self.norm = nn.LayerNorm(config.hidden_dim) if config.layer_norm else nn.Identity()
        self.output = Linear(config.hidden_dim, spec.vocab_size, config.spectral_norm)
        if not config.spectral_norm:  # a matrix of zeros has no direction
            nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The sum of ``token_logits``; see ``Discriminator.forward``."""
        return self.token_logits(tokens_BT, rng).sum(dim=1)

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The term of each token, with gradient, in one pass.

        Only the rows of W that belong to the tokens are read, so that nothing of the size B x T x V is held.

        Args:
            tokens_BT: sequences or prefixes, padded with V.
            rng: where dropout takes its noise from in training mode.

        Returns:
            ``logit_real_BT``, each entry the log-ratio of a token given those before it; exactly 0 at padding.
        """
        tokens_BS = without_empty_columns(self.spec, tokens_BT)
        hidden_BSH = self._hidden(tokens_BS, rng)
        row_BS = tokens_BS.clamp(max=self.spec.vocab_size - 1)
        weight_BSH, bias_BS = F.embedding(row_BS, self.output.applied_weight), self.output.bias[row_BS]
        logit_real_BS = (hidden_BSH * weight_BSH).sum(dim=-1) + bias_BS
        logit_real_BS = logit_real_BS.masked_fill(~self.spec.is_token(tokens_BS), 0)
        return F.pad(logit_real_BS, (0, tokens_BT.shape[1] - tokens_BS.shape[1]))

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """``W h_t + c`` as it is; see ``Discriminator.all_token_logits``."""
        logit_real_BTV: Tensor = self.output(self._hidden(tokens_BT))
        return logit_real_BTV.masked_fill(~self.spec.is_token(tokens_BT)[:, :, None], 0)

    def _hidden(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """``h_BTH``, which has read the start symbol and the tokens before each."""
        embedded_BTE = self._dropped(self.embedding(self.spec.with_start(tokens_BT[:, :-1])), rng)
        hidden_BTH = read_layers(self.rnn, self.upper, embedded_BTE, lambda x: self._dropped(x, rng))
        return self._dropped(self.norm(hidden_BTH), rng)


register_discriminator(
    "log_ratio",
    LogRatioDiscriminator,
    summary="A sum of learned log-ratios, one for each token given its prefix.",
    source="eq. 13.31 applied to the optimum of eq. 13.32; this project",
    formula="logit(Y) = sum over t of (W h_t + c)[y_t], h_t = LSTM(start, y_1, ..., y_{t-1})",
    cost="T 4 H (E + H), and in further layers T 8 H^2: 0.5 million with the defaults and T = 20, one step after the "
    "other. The vocabulary plays no part, except where the terms of every token are asked for, T V H more. "
    "Measured: 1.0 s a round.",
    when="Where a value of each prefix is needed, for shaping and for pictures: the logit of a prefix is the sum of "
    "its terms, and the terms of all prefixes take one pass.",
)
