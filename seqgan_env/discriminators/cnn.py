"""The convolutional discriminator of the SeqGAN paper (arXiv 1609.05473, section 3.2 and appendix A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.checks import NonNegativeFloat, PositiveInt, ShareBelowOne, check_fields
from seqgan_env.device import may_look
from seqgan_env.discriminators.embedded import Embedded
from seqgan_env.discriminators.parts import Conv1d, Linear, folded, l2_penalty
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.dropout import dropout
from seqgan_env.tokens import SequenceSpec, Tokens

PAPER_FILTERS: tuple[tuple[int, int], ...] = (
    (1, 100),
    (2, 200),
    (3, 200),
    (4, 200),
    (5, 200),
    (6, 100),
    (7, 100),
    (8, 100),
    (9, 100),
    (10, 100),
    (15, 160),
    (20, 160),
)
"""(width, count) of the paper's filters for T = 20; 1,720 in all."""

_MAX_TABLE_ELEMENTS = 1 << 27  # half a gigabyte; see CNNDiscriminator.scorer


@dataclass(frozen=True)
class CNNConfig:
    """The settings of ``CNNDiscriminator``.

    Raises:
        ValueError: a value is out of range.
    """

    embedding_dim: PositiveInt = 64
    """Size of a token's embedding."""
    filters: tuple[tuple[PositiveInt, PositiveInt], ...] = PAPER_FILTERS
    """``(width, count)`` of the convolutions; widths above T are left out."""
    dropout: ShareBelowOne = 0.25
    """Share of the features that training drops."""
    l2: NonNegativeFloat = 0.2
    """Weight of the L2 term on the output layer."""
    spectral_norm: bool = False
    """Whether the filters of each width and the matrices of the highway layer and of the output are divided by their
    largest singular value. Each update, and each scoring with new weights, then decomposes two matrices of as many
    rows and columns as there are filters: seconds on a CPU with the default ones, so choose fewer."""

    def __post_init__(self) -> None:
        check_fields(self)

    def fitting(self, spec: SequenceSpec) -> list[tuple[int, int]]:
        """The filters that are not wider than T.

        Raises:
            ValueError: there is none.
        """
        fitting = [(width, count) for width, count in self.filters if width <= spec.max_length]
        if not fitting:
            raise ValueError(f"filters must hold a width of at most T = {spec.max_length}, got {self.filters}")
        return fitting


class CNNDiscriminator(Embedded):
    """Embedding, convolutions of several widths, max over time, a highway layer, dropout, one logit.

    Args:
        spec: the task's sequences.
        config: the settings; None is those of the paper (which keeps 0.75 of the features in training).

    Raises:
        ValueError: no filter fits T.
    """

    Config = CNNConfig

    def __init__(self, spec: SequenceSpec, config: CNNConfig | None = None) -> None:
        super().__init__(spec, config)
        config = self.config
        table, embedding_dim = config.fitting(spec), config.embedding_dim
        n_features = sum(n for _, n in table)
        self.dropout = config.dropout
        self.l2 = config.l2
        self.embedding = nn.Embedding(spec.vocab_size + 1, embedding_dim, padding_idx=spec.pad_id)
        self.convolutions = nn.ModuleList(Conv1d(embedding_dim, n, w, config.spectral_norm) for w, n in table)
        self.transform = Linear(n_features, n_features, config.spectral_norm)
        self.gate = Linear(n_features, n_features, config.spectral_norm)
        self.output = Linear(n_features, 1, config.spectral_norm)
        # The highway layer starts as nearly the identity (Srivastava et al., 2015).
        nn.init.constant_(self.gate.bias, -2.0)

    @classmethod
    def check(cls, spec: SequenceSpec, config: CNNConfig) -> None:
        """See ``Discriminator.check``."""
        config.fitting(spec)

    def from_embedded(self, embedded_BTE: Tensor, is_token_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See ``Embedded.from_embedded``."""
        embedded_BET, n_windows = embedded_BTE.transpose(1, 2).contiguous(), self._n_windows(is_token_BT)
        filtered = [conv(embedded_BET[..., : n_windows + conv.kernel_size[0] - 1]) for conv in self._convolutions]
        # `max`, not `amax`, whose gradient looks for the largest a second time
        pooled_BF = torch.cat([filtered_BFP.max(dim=2).values for filtered_BFP in filtered], dim=1)
        return self._judge(pooled_BF, rng)

    def scorer(self, n: int) -> Callable[[Tensor], Tensor]:
        """See ``Discriminator.scorer``.

        A convolution over embedded tokens is a sum of rows of the table embedding x filter. For more windows than there
        are tokens in the vocabulary it pays to make these tables once; the sums then cost no multiplication.
        """
        network = folded(self)
        convolutions = network._convolutions
        n_rows = self.spec.vocab_size + 1
        n_elements = n_rows * sum(conv.out_channels * conv.kernel_size[0] for conv in convolutions)
        if n * self.spec.max_length < n_rows or n_elements > _MAX_TABLE_ELEMENTS:
            return network
        # row v * width + k: what token v contributes at place k of a window; the places lie together, since the windows
        # around a token read them all
        tables_RC = [
            (network.embedding.weight @ conv.weight.permute(1, 2, 0).flatten(1)).view(-1, conv.out_channels)
            for conv in convolutions
        ]

        def score(tokens_BT: Tensor) -> Tensor:
            pooled, n_windows = [], self._n_windows(self.spec.is_token(tokens_BT))
            for conv, table_RC in zip(convolutions, tables_RC, strict=True):
                width = conv.kernel_size[0]
                place_K = torch.arange(width, device=tokens_BT.device)
                rows_BPK = tokens_BT.unfold(1, width, 1)[:, :n_windows] * width + place_K
                sums_BPC = F.embedding_bag(rows_BPK.flatten(0, 1), table_RC, mode="sum").unflatten(
                    0, rows_BPK.shape[:2]
                )
                pooled.append(sums_BPC.amax(dim=1) if conv.bias is None else sums_BPC.amax(dim=1) + conv.bias)
            return network._judge(torch.cat(pooled, dim=1))

        return score

    def row_logits(self, tokens_BT: Tokens | Tensor) -> npt.NDArray[np.float64]:
        """The logits in single precision, row by row; see ``Discriminator.row_logits``.

        For one sequence most of a network's time goes into calling torch's operations, so these are NumPy's, on the
        weights as they are: nothing is copied that could become stale.
        """
        weight = self.embedding.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32 or self.config.spectral_norm:
            return super().row_logits(tokens_BT)
        network = _Arrays(self)
        return np.array([network.logit(row_T) for row_T in np.asarray(tokens_BT)], dtype=np.float64)

    @property
    def _convolutions(self) -> list[nn.Conv1d]:
        return [conv for conv in self.convolutions if isinstance(conv, nn.Conv1d)]

    def _n_windows(self, is_token_BT: Tensor) -> int:
        """The number of windows of each width that are read: all that hold a token, and one of padding for the rest."""
        return int(is_token_BT.any(dim=0).sum()) + 1 if may_look(is_token_BT.device) else self.spec.max_length

    def _judge(self, pooled_BF: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The layers after the convolutions and the maximum over time."""
        # max and relu commute, and pooling first leaves relu less to do
        features_BF = F.relu(pooled_BF)
        gate_BF = torch.sigmoid(self._product(self.gate, features_BF))
        features_BF = gate_BF * F.relu(self._product(self.transform, features_BF)) + (1.0 - gate_BF) * features_BF
        if self.training and self.dropout > 0:
            features_BF = dropout(features_BF, self.dropout, rng)
        logit_real_B: Tensor = self.output(features_BF).squeeze(1)
        return logit_real_B

    def _product(self, layer: Linear, x_BF: Tensor) -> Tensor:
        """``layer(x)``, which in evaluation, on a CPU and in torch's "medium" precision is computed in bfloat16.

        Torch would do so by itself only on processors with units for whole matrices.
        """
        is_medium = torch.get_float32_matmul_precision() == "medium"
        if self.training or not is_medium or x_BF.device.type != "cpu" or x_BF.dtype != torch.float32:
            product_BF: Tensor = layer(x_BF)
            return product_BF
        return F.linear(x_BF.bfloat16(), layer.applied_weight.bfloat16(), layer.bias.bfloat16()).float()

    def penalty(self) -> Tensor:
        """``l2 / 2`` times the squared norm of the output layer, bias included, as in the paper's code."""
        return l2_penalty(self.output, self.l2)


class _Arrays:
    """The layers of a network as arrays that share its memory, for one sequence at a time.

    Args:
        network: on a CPU, in single precision.
    """

    def __init__(self, network: CNNDiscriminator) -> None:
        self._pad_id, self._embedding_UE = network.spec.pad_id, network.embedding.weight.detach().numpy()
        self._filters = [(conv.kernel_size[0], *_arrays(conv)) for conv in network._convolutions]
        self._gate, self._transform = _arrays(network.gate), _arrays(network.transform)
        self._output = _arrays(network.output)

    def logit(self, tokens_T: npt.NDArray[np.int64]) -> np.float32:
        """The logit of one sequence or prefix, as ``CNNDiscriminator.from_embedded`` computes it."""
        n_places, embedded_ET = len(tokens_T), np.ascontiguousarray(self._embedding_UE[tokens_T].T)
        n_windows, (over_E, over_T) = np.count_nonzero(tokens_T != self._pad_id) + 1, embedded_ET.strides
        with np.errstate(all="ignore"):  # what is not finite is found by whoever asked
            pooled = []
            for width, filter_CK, bias_C in self._filters:
                shape = min(n_windows, n_places - width + 1), len(embedded_ET), width
                windows_PEK = np.ndarray(shape, np.float32, embedded_ET, 0, (over_T, over_E, over_T))
                pooled.append((windows_PEK.reshape(shape[0], -1) @ filter_CK.T).max(axis=0) + bias_C)
            features_F = np.maximum(np.concatenate(pooled), 0)
            gate_F = 0.5 * (1 + np.tanh(0.5 * (self._gate[0] @ features_F + self._gate[1])))  # the logistic function
            highway_F = np.maximum(self._transform[0] @ features_F + self._transform[1], 0)
            logit: np.float32 = (self._output[0] @ (gate_F * highway_F + (1 - gate_F) * features_F) + self._output[1])[
                0
            ]
        return logit


def _arrays(layer: nn.Linear | nn.Conv1d) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The weight, with a row for each output, and the bias."""
    assert layer.bias is not None
    return layer.weight.detach().flatten(1).numpy(), layer.bias.detach().numpy()


register_discriminator(
    "cnn",
    CNNDiscriminator,
    summary="Convolutions of several widths over the tokens' embeddings, maximum over time, a highway layer.",
    source="arXiv 1609.05473, section 3.2",
    formula="logit(Y) = w · highway(max over t of relu(K_k * E(Y))_t, for each filter k) + b",
    cost="At most T E times the sum of width x count over the filters, and 2 F^2 of the highway layer, F being the "
    "number of filters: 14 million with the default ones and T = 20. Scored by tables, as many sequences are on a CPU, "
    "additions take the place of the first. Measured with five narrow widths, F = 320: 1.3 s a round.",
    when="The paper's choice, to compare with its results: it sees groups of neighbouring tokens wherever they stand. "
    "While it scores many sequences its convolutions become sums of table rows, which makes Monte Carlo fast on a CPU.",
)
