"""Recurrent cores: LSTM, GRU, and LSTM with attention.

Dimensions: those of ``cores``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.autoregressive.cores import Core, CoreConfig, CoreState, look_back, register_core, write_slot
from seqgan_env.tokens import SequenceSpec


class LstmCore(Core):
    """An embedding and an LSTM (eq. 13.28)."""

    def __init__(self, spec: SequenceSpec, config: CoreConfig) -> None:
        super().__init__(spec, config)
        self.rnn = nn.LSTM(config.embedding_dim, config.hidden_dim, batch_first=True)

    def read(self, embedded_BTE: Tensor) -> Tensor:
        """See the base class."""
        hidden_BTH: Tensor = self.rnn(embedded_BTE)[0]
        return hidden_BTH

    def initial_state(self, n: int) -> CoreState:
        """The output and the cell."""
        return self._zeros(n, self.hidden_dim), self._zeros(n, self.hidden_dim)

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        hidden_BH, cell_BH = torch.lstm_cell(self.embedding(input_B), state, *self.rnn.all_weights[0])
        return hidden_BH, cell_BH


class GruCore(Core):
    """An embedding and a GRU (eq. 13.28)."""

    def __init__(self, spec: SequenceSpec, config: CoreConfig) -> None:
        super().__init__(spec, config)
        self.rnn = nn.GRU(config.embedding_dim, config.hidden_dim, batch_first=True)

    def read(self, embedded_BTE: Tensor) -> Tensor:
        """See the base class."""
        hidden_BTH: Tensor = self.rnn(embedded_BTE)[0]
        return hidden_BTH

    def initial_state(self, n: int) -> CoreState:
        """The output alone."""
        return (self._zeros(n, self.hidden_dim),)

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        return (torch.gru_cell(self.embedding(input_B), state[0], *self.rnn.all_weights[0]),)


class AttentionCore(LstmCore):
    """An LSTM that looks back at all its outputs, from the one at the start symbol to the present one.

    Luong's attention with the "general" score (arXiv 1508.04025): with the LSTM's outputs ``h_t`` of eq. 13.28,
    ``a_tj = softmax_j(h_t W h_j / sqrt(H))`` over ``j <= t``, ``c_t = sum_j a_tj h_j``, and what eq. 13.30 reads is
    ``tanh(U [c_t; h_t] + u)`` instead of ``h_t``.
    """

    def __init__(self, spec: SequenceSpec, config: CoreConfig) -> None:
        super().__init__(spec, config)
        self.query = nn.Linear(config.hidden_dim, config.hidden_dim, bias=False)
        self.combine = nn.Linear(2 * config.hidden_dim, config.hidden_dim)

    def read(self, embedded_BTE: Tensor) -> Tensor:
        """See the base class."""
        output_BTH = super().read(embedded_BTE)
        context_BTH = F.scaled_dot_product_attention(self.query(output_BTH), output_BTH, output_BTH, is_causal=True)
        return torch.tanh(self.combine(torch.cat([context_BTH, output_BTH], dim=-1)))

    def initial_state(self, n: int) -> CoreState:
        """The state that predicts, the LSTM's output and cell, its outputs so far, and their number."""
        n_read_B = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        memory_BSH = self._zeros(n, self.n_slots, self.hidden_dim)
        return self._zeros(n, self.hidden_dim), *super().initial_state(n), memory_BSH, n_read_B

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        _, output_BH, cell_BH, memory_BSH, n_read_B = state
        output_BH, cell_BH = super().step(input_B, (output_BH, cell_BH))
        memory_BSH = write_slot(memory_BSH, n_read_B, output_BH)
        memory_BS1H = memory_BSH[:, :, None]
        context_BH = look_back(self.query(output_BH)[:, None], memory_BS1H, memory_BS1H, n_read_B)[:, 0]
        hidden_BH = torch.tanh(self.combine(torch.cat([context_BH, output_BH], dim=-1)))
        return hidden_BH, output_BH, cell_BH, memory_BSH, n_read_B + 1


register_core("lstm", LstmCore)
register_core("gru", GruCore)
register_core("attention", AttentionCore)
