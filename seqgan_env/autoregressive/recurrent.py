"""Recurrent cores: LSTM, GRU, and LSTM with attention.

Dimensions: those of ``cores``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.autoregressive.cores import Core, CoreConfig, CoreState, look_back, register_core, write_slot
from seqgan_env.checks import PositiveInt
from seqgan_env.tokens import SequenceSpec


@dataclass(frozen=True)
class RecurrentConfig(CoreConfig):
    """The sizes of a recurrent core.

    Raises:
        ValueError: a size is below 1.
    """

    n_layers: PositiveInt = 1
    """Number of layers; between them the same share of elements is dropped."""


def upper_layers(kind: type[nn.LSTM | nn.GRU], hidden_dim: int, n_layers: int) -> nn.ModuleList:
    """The layers after the first of ``n_layers``, each of which reads the outputs of the one before."""
    return nn.ModuleList(kind(hidden_dim, hidden_dim, batch_first=True) for _ in range(n_layers - 1))


def read_layers(
    first: nn.Module, upper: nn.ModuleList, input_BTE: Tensor, dropped: Callable[[Tensor], Tensor]
) -> Tensor:
    """The outputs of the last layer, ``(B, T, H)``.

    Args:
        first: the first layer.
        upper: those of ``upper_layers``.
        input_BTE: read by the first layer as it is.
        dropped: the dropout between two layers.
    """
    output_BTH: Tensor = first(input_BTE)[0]
    for layer in upper:
        output_BTH = layer(dropped(output_BTH))[0]
    return output_BTH


Cell = Callable[[Tensor, CoreState, list[Tensor]], CoreState]
"""Maps an input, the state of a layer and its weights to the state after that input, its output first."""


def step_layers(cell: Cell, first: nn.Module, upper: nn.ModuleList, input_BE: Tensor, state: CoreState) -> CoreState:
    """``read_layers`` of one more input, without dropout.

    Args:
        cell: a step of a layer.
        first: the first layer.
        upper: those of ``upper_layers``.
        input_BE: the input.
        state: that of the last layer, then those of the layers before it.

    Returns:
        The state after it.
    """
    n_parts = len(state) // (1 + len(upper))
    x_BE, stepped, end = input_BE, CoreState(), len(state)
    for layer in (first, *upper):
        part = cell(x_BE, state[end - n_parts : end], layer.all_weights[0])
        x_BE, stepped, end = part[0], part + stepped, end - n_parts
    return stepped


class _RecurrentCore(Core):
    """An embedding and a recurrent network of one layer or several.

    The state is that of the last layer, then those of the layers before it.

    Args:
        spec: the sequences.
        config: the sizes.
    """

    Config = RecurrentConfig
    _kind: type[nn.LSTM | nn.GRU]
    _n_parts: int  # tensors in the state of a layer

    def __init__(self, spec: SequenceSpec, config: RecurrentConfig) -> None:
        super().__init__(spec, config)
        self.rnn = self._kind(config.embedding_dim, config.hidden_dim, batch_first=True)
        self.upper = upper_layers(self._kind, config.hidden_dim, config.n_layers)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, whose weights then lie in one piece, as cuDNN wants them."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        for layer in (self.rnn, *self.upper):
            layer.flatten_parameters()

    def read(self, embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See the base class."""
        self.train(torch.is_grad_enabled())  # cuDNN takes gradients in this mode alone; it changes nothing else
        return read_layers(self.rnn, self.upper, embedded_BTE, lambda x_BTH: self._dropped(x_BTH, rng))

    def initial_state(self, n: int) -> CoreState:
        """Zeros."""
        return tuple(self._zeros(n, self.hidden_dim) for _ in range(self._n_parts * self.config.n_layers))

    def step_embedded(self, embedded_BE: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        return step_layers(self._cell, self.rnn, self.upper, embedded_BE, state)

    def _cell(self, x_BE: Tensor, state: CoreState, weights: list[Tensor]) -> CoreState:
        """The state of a layer after one more input."""
        raise NotImplementedError


class LstmCore(_RecurrentCore):
    """An embedding and an LSTM (eq. 13.28); the state of a layer is its output and its cell."""

    _kind, _n_parts = nn.LSTM, 2

    def _cell(self, x_BE: Tensor, state: CoreState, weights: list[Tensor]) -> CoreState:
        return torch.lstm_cell(x_BE, state, *weights)


class GruCore(_RecurrentCore):
    """An embedding and a GRU (eq. 13.28); the state of a layer is its output."""

    _kind, _n_parts = nn.GRU, 1

    def _cell(self, x_BE: Tensor, state: CoreState, weights: list[Tensor]) -> CoreState:
        return (torch.gru_cell(x_BE, state[0], *weights),)


class AttentionCore(LstmCore):
    """An LSTM that looks back at all its outputs, from the one at the start symbol to the present one.

    Luong's attention with the "general" score (arXiv 1508.04025): with the LSTM's outputs ``h_t`` of eq. 13.28,
    ``a_tj = softmax_j(h_t W h_j / sqrt(H))`` over ``j <= t``, ``c_t = sum_j a_tj h_j``, and what eq. 13.30 reads is
    ``tanh(U [c_t; h_t] + u)`` instead of ``h_t``.
    """

    def __init__(self, spec: SequenceSpec, config: RecurrentConfig) -> None:
        super().__init__(spec, config)
        self.query = nn.Linear(config.hidden_dim, config.hidden_dim, bias=False)
        self.combine = nn.Linear(2 * config.hidden_dim, config.hidden_dim)

    def read(self, embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See the base class."""
        output_BTH = super().read(embedded_BTE, rng)
        context_BTH = F.scaled_dot_product_attention(self.query(output_BTH), output_BTH, output_BTH, is_causal=True)
        return torch.tanh(self.combine(torch.cat([context_BTH, output_BTH], dim=-1)))

    def initial_state(self, n: int) -> CoreState:
        """The state that predicts, the LSTM's state, its outputs so far, and their number."""
        n_read_B = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        memory_BSH = self._zeros(n, self.n_slots, self.hidden_dim)
        return self._zeros(n, self.hidden_dim), *super().initial_state(n), memory_BSH, n_read_B

    def step_embedded(self, embedded_BE: Tensor, state: CoreState) -> CoreState:
        """See the base class."""
        _, *lstm_state, memory_BSH, n_read_B = state
        output_BH, *others = super().step_embedded(embedded_BE, tuple(lstm_state))
        memory_BSH = write_slot(memory_BSH, n_read_B, output_BH)
        memory_BS1H = memory_BSH[:, :, None]
        context_BH = look_back(self.query(output_BH)[:, None], memory_BS1H, memory_BS1H, n_read_B)[:, 0]
        hidden_BH = torch.tanh(self.combine(torch.cat([context_BH, output_BH], dim=-1)))
        return hidden_BH, output_BH, *others, memory_BSH, n_read_B + 1


register_core("lstm", LstmCore)
register_core("gru", GruCore)
register_core("attention", AttentionCore)
