"""The recurrent cores of the generators: from the tokens read so far to the state that predicts the next one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RecurrentState = tuple[Tensor, ...]
"""Tensors whose first dimension is the sequence; the first one is ``hidden_BH``, which predicts the next token."""


class LstmCore(nn.Module):
    """An embedding and an LSTM (eq. 13.28).

    Args:
        vocab_size: V; the embedding has one row more, for the start symbol V.
        embedding_dim: E.
        hidden_dim: H.
    """

    def __init__(self, vocab_size: int, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size + 1, embedding_dim)
        self.rnn = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """Read whole sequences from the empty state.

        Returns:
            ``hidden_BTH``: entry t is the state after reading inputs 0 to t.
        """
        hidden_BTH: Tensor = self.rnn(self.embedding(inputs_BT))[0]
        return hidden_BTH

    def initial_state(self, n: int) -> RecurrentState:
        """The state before anything is read."""
        zeros_BH = self.embedding.weight.new_zeros(n, self.hidden_dim)
        return zeros_BH, zeros_BH

    def step(self, input_B: Tensor, state: RecurrentState) -> RecurrentState:
        """Read one more input."""
        hidden_BH, cell_BH = torch.lstm_cell(self.embedding(input_B), state, *self.rnn.all_weights[0])
        return hidden_BH, cell_BH
