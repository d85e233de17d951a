"""The cores of the generators: from the inputs read so far to the state that predicts the next token.

Dimensions: B sequences (lanes), T time, E embedding, H hidden, S slots of a memory, A attention heads, D features of a
head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.tokens import SequenceSpec

CoreState = tuple[Tensor, ...]
"""Tensors whose first dimension is the lane; the first one is ``hidden_BH``, which predicts the next token."""


class Core(nn.Module):
    """What every core has: an embedding of the tokens, and two ways to read them that agree.

    ``forward`` reads whole sequences at once, for their likelihood; ``step`` reads one more input, for generation. A
    step leaves the state that it was given as it was, and each lane of a state stands alone: lanes can be gathered,
    concatenated and overwritten, and lanes that have read different numbers of inputs can take a step together.

    Args:
        spec: the sequences; a lane reads at most the start symbol V and T tokens.
        embedding_dim: E; the embedding has one row more than tokens, for the start symbol.
        hidden_dim: H.
    """

    def __init__(self, spec: SequenceSpec, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.n_slots = spec.max_length + 1
        self.embedding = nn.Embedding(spec.vocab_size + 1, embedding_dim)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """Read whole sequences from the empty state.

        Returns:
            ``hidden_BTH``: entry t is ``state[0]`` after reading inputs 0 to t.
        """
        raise NotImplementedError

    def initial_state(self, n: int) -> CoreState:
        """The state of ``n`` lanes before anything is read."""
        raise NotImplementedError

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """Read one more input."""
        raise NotImplementedError

    def _zeros(self, *shape: int) -> Tensor:
        return self.embedding.weight.new_zeros(shape)


class LstmCore(Core):
    """An embedding and an LSTM (eq. 13.28); the arguments are the base class's."""

    def __init__(self, spec: SequenceSpec, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__(spec, embedding_dim, hidden_dim)
        self.rnn = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """See the base class."""
        hidden_BTH: Tensor = self.rnn(self.embedding(inputs_BT))[0]
        return hidden_BTH

    def initial_state(self, n: int) -> CoreState:
        """The output and the cell."""
        return self._zeros(n, self.hidden_dim), self._zeros(n, self.hidden_dim)

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        hidden_BH, cell_BH = torch.lstm_cell(self.embedding(input_B), state, *self.rnn.all_weights[0])
        return hidden_BH, cell_BH


class GruCore(Core):
    """An embedding and a GRU (eq. 13.28); the arguments are the base class's."""

    def __init__(self, spec: SequenceSpec, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__(spec, embedding_dim, hidden_dim)
        self.rnn = nn.GRU(embedding_dim, hidden_dim, batch_first=True)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """See the base class."""
        hidden_BTH: Tensor = self.rnn(self.embedding(inputs_BT))[0]
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
    ``tanh(U [c_t; h_t] + u)`` instead of ``h_t``. The arguments are the base class's.
    """

    def __init__(self, spec: SequenceSpec, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__(spec, embedding_dim, hidden_dim)
        self.query = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.combine = nn.Linear(2 * hidden_dim, hidden_dim)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """See the base class."""
        output_BTH = super().forward(inputs_BT)
        context_BTH = F.scaled_dot_product_attention(self.query(output_BTH), output_BTH, output_BTH, is_causal=True)
        return torch.tanh(self.combine(torch.cat([context_BTH, output_BTH], dim=-1)))

    def initial_state(self, n: int) -> CoreState:
        """What predicts, the LSTM's output and cell, its outputs so far, and how many they are."""
        n_read_B = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        memory_BSH = self._zeros(n, self.n_slots, self.hidden_dim)
        return self._zeros(n, self.hidden_dim), *super().initial_state(n), memory_BSH, n_read_B

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        _, output_BH, cell_BH, memory_BSH, n_read_B = state
        output_BH, cell_BH = super().step(input_B, (output_BH, cell_BH))
        memory_BSH = _write(memory_BSH, n_read_B, output_BH)
        memory_BS1H = memory_BSH[:, :, None]
        context_BH = _look_back(self.query(output_BH)[:, None], memory_BS1H, memory_BS1H, n_read_B)[:, 0]
        hidden_BH = torch.tanh(self.combine(torch.cat([context_BH, output_BH], dim=-1)))
        return hidden_BH, output_BH, cell_BH, memory_BSH, n_read_B + 1


class TransformerCore(Core):
    """A causal transformer with learned positions, each layer normalised before it is added (arXiv 2002.04745).

    It takes the place of ``g`` in eq. 13.28. The state holds the keys and values of everything read, so that a step
    costs one token and not the whole prefix.

    Args:
        spec: the sequences.
        embedding_dim: E, of tokens and positions; a matrix takes their sum to H.
        hidden_dim: H.
        n_layers: how many layers.
        n_heads: A; it divides H.

    Raises:
        ValueError: a number is below 1, or ``n_heads`` does not divide ``hidden_dim``.
    """

    def __init__(
        self, spec: SequenceSpec, embedding_dim: int, hidden_dim: int, *, n_layers: int = 2, n_heads: int = 4
    ) -> None:
        if n_layers < 1 or n_heads < 1:
            raise ValueError(f"n_layers and n_heads must be at least 1, got {n_layers} and {n_heads}")
        if hidden_dim % n_heads:
            raise ValueError(f"n_heads must divide hidden_dim, got n_heads {n_heads} and hidden_dim {hidden_dim}")
        super().__init__(spec, embedding_dim, hidden_dim)
        self.position = nn.Embedding(self.n_slots, embedding_dim)
        self.enter = nn.Linear(embedding_dim, hidden_dim)
        self.layers = nn.ModuleList(_Layer(hidden_dim, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(hidden_dim)
        self._memory_shape_SAD = (self.n_slots, n_heads, hidden_dim // n_heads)

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """See the base class."""
        position_T = torch.arange(inputs_BT.shape[1], device=inputs_BT.device)
        x_BTH = self.enter(self.embedding(inputs_BT) + self.position(position_T))
        for layer in self.layers:
            x_BTH = layer(x_BTH)
        hidden_BTH: Tensor = self.norm(x_BTH)
        return hidden_BTH

    def initial_state(self, n: int) -> CoreState:
        """What predicts, how many inputs were read, and the keys and values of each layer."""
        n_read_B = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        memories = (self._zeros(n, *self._memory_shape_SAD) for _ in range(2 * len(self.layers)))
        return self._zeros(n, self.hidden_dim), n_read_B, *memories

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        _, n_read_B, *memories = state
        x_BH = self.enter(self.embedding(input_B) + self.position(n_read_B))
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
        key_BSAD, value_BSAD = _write(key_BSAD, n_read_B, key_BAD), _write(value_BSAD, n_read_B, new_BAD)
        return self._add(x_BH, _look_back(query_BAD, key_BSAD, value_BSAD, n_read_B)), key_BSAD, value_BSAD

    def _heads(self, x_H: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``(..., A, D)``."""
        return self.attention_in(x_H).unflatten(-1, (3, self.n_heads, -1)).unbind(-3)  # type: ignore[no-any-return]

    def _add(self, x_H: Tensor, seen_AD: Tensor) -> Tensor:
        x_H = x_H + self.attention_out(seen_AD.flatten(-2))
        added_H: Tensor = x_H + self.feed_forward(x_H)
        return added_H


def _write(memory_BS: Tensor, n_read_B: Tensor, entry_B: Tensor) -> Tensor:
    """A copy of the memory in which each lane's next free slot holds its entry; the entries have any further shape."""
    return memory_BS.index_put((torch.arange(len(n_read_B), device=n_read_B.device), n_read_B), entry_B)


def _look_back(query_BAD: Tensor, key_BSAD: Tensor, value_BSAD: Tensor, n_read_B: Tensor) -> Tensor:
    """Attention of each lane over the slots up to the one that was written last, ``(B, A, D)``."""
    seen_BS = torch.arange(key_BSAD.shape[1], device=n_read_B.device) <= n_read_B[:, None]
    return F.scaled_dot_product_attention(
        query_BAD[:, :, None], key_BSAD.transpose(1, 2), value_BSAD.transpose(1, 2), attn_mask=seen_BS[:, None, None]
    ).squeeze(2)
