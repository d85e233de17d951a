"""Parts that several networks share: settings, layers with spectral norm, and the columns worth reading."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.checks import NonNegativeFloat, PositiveInt, ShareBelowOne, check_fields
from seqgan_env.device import may_look
from seqgan_env.dropout import dropout
from seqgan_env.tokens import SequenceSpec

Network = TypeVar("Network", bound=nn.Module)


def spectrally_normalised(weight: Tensor) -> Tensor:
    """A weight divided by its largest singular value, with gradient (arXiv 1802.05957, eq. 8).

    The singular value is exact: each call computes all of them, in place of the paper's power iteration. So there is no
    state, and training and evaluation are one function. It takes time that grows with the cube of a square matrix's
    size: seconds on a CPU for 1,720.

    Args:
        weight: shape ``(out, ...)``, read as a matrix of ``out`` rows; one of zeros stays as it is.
    """
    norm = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    normalised: Tensor = weight / norm.clamp(min=torch.finfo(weight.dtype).tiny)
    return normalised


@dataclass(frozen=True)
class RecurrentConfig:
    """The settings that recurrent discriminators share.

    Raises:
        ValueError: a value is out of range.
    """

    embedding_dim: PositiveInt = 32
    """Size of a token's embedding."""
    hidden_dim: PositiveInt = 64
    """Size of the state of a layer, in each direction there is."""
    n_layers: PositiveInt = 1
    """Number of layers, in each direction there is."""
    dropout: ShareBelowOne = 0.25
    """Share of the features that the output reads, and of those between layers, that training drops."""
    l2: NonNegativeFloat = 0.0
    """Weight of the L2 term on the output layer."""
    spectral_norm: bool = False
    """Whether the output's matrix is divided by its largest singular value; the recurrent matrices stay as they are."""
    layer_norm: bool = False
    """Whether the features that the output reads are normalised (arXiv 1607.06450), before any is dropped."""

    def __post_init__(self) -> None:
        check_fields(self)


class _Normalised(nn.Module):
    """A layer that may divide its weight by its largest singular value.

    A parametrisation of torch would do so too, but it can't be pickled.
    """

    weight: Tensor
    spectral_norm: bool

    @property
    def applied_weight(self) -> Tensor:
        """The weight that the layer applies, with gradient."""
        return spectrally_normalised(self.weight) if self.spectral_norm else self.weight

    @torch.no_grad()
    def fold(self) -> None:
        """Let the weight be the one that the layer applies now."""
        self.weight.copy_(self.applied_weight)
        self.spectral_norm = False


class Linear(_Normalised, nn.Linear):
    """A linear layer; with ``spectral_norm`` its Lipschitz constant is 1.

    Args:
        n_in: the size of its inputs.
        n_out: that of its outputs.
        spectral_norm: whether its matrix is divided by its largest singular value.
    """

    def __init__(self, n_in: int, n_out: int, spectral_norm: bool) -> None:
        super().__init__(n_in, n_out)
        self.spectral_norm = spectral_norm

    def forward(self, x: Tensor) -> Tensor:
        """See ``torch.nn.Linear``."""
        return F.linear(x, self.applied_weight, self.bias)


class Conv1d(_Normalised, nn.Conv1d):
    """A convolution over time; with ``spectral_norm`` its Lipschitz constant is 1 in a window.

    A place lies in at most as many windows as the filters are wide, so in a whole sequence the constant is at most the
    root of the width.

    Args:
        n_in: the size of its inputs at each place.
        n_out: the number of its filters.
        width: places in a window.
        spectral_norm: whether its filters, as a matrix with a row for each, are divided by its largest singular value.
    """

    def __init__(self, n_in: int, n_out: int, width: int, spectral_norm: bool) -> None:
        super().__init__(n_in, n_out, width)
        self.spectral_norm = spectral_norm

    def forward(self, x: Tensor) -> Tensor:
        """See ``torch.nn.Conv1d``."""
        filtered: Tensor = self._conv_forward(x, self.applied_weight, self.bias)
        return filtered


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A context in which a network is in evaluation mode; afterwards it is in the mode that it was in."""
    was_training = network.training
    if was_training:
        network.eval()
    try:
        yield
    finally:
        if was_training:
            network.train()


def folded(network: Network) -> Network:
    """A copy in evaluation mode whose weights are normalised once and for all; the network itself where none is to be.

    Args:
        network: it is only read.
    """
    if not any(layer.spectral_norm for layer in network.modules() if isinstance(layer, _Normalised)):
        return network
    copied = copy.deepcopy(network).eval()
    for layer in copied.modules():
        if isinstance(layer, _Normalised):
            layer.fold()
    return copied


def l2_penalty(layer: Linear, l2: float) -> Tensor:
    """``l2 / 2`` times the squared norm of the weight that a layer applies and of its bias.

    Of a single row with spectral norm the weight's norm is 1, so that the bias alone is drawn to zero.
    """
    return 0.5 * l2 * (layer.applied_weight.square().sum() + layer.bias.square().sum())


class Recurrent(nn.Module):
    """The methods that recurrent discriminators share, beside their own base class, which makes the attributes."""

    config: Any
    output: Linear

    def penalty(self) -> Tensor:
        """``l2 / 2`` times the squared norm of the output layer, bias included."""
        return l2_penalty(self.output, self.config.l2)

    def _dropped(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        return dropout(x, self.config.dropout, rng) if self.training and self.config.dropout > 0 else x


def without_empty_columns(spec: SequenceSpec, tokens_BT: Tensor) -> Tensor:
    """The columns up to the end of the longest sequence, at least one; all of them on a GPU, which would have to wait.

    Args:
        spec: the task's sequences.
        tokens_BT: sequences, padded with V.
    """
    if not may_look(tokens_BT.device):
        return tokens_BT
    return tokens_BT[:, : max(1, int(spec.is_token(tokens_BT).any(dim=0).sum()))]
