"""Reading prefixes: their tokens as a network takes them, and features for the policies of Stable-Baselines3.

Dimensions: B episodes, T time, S tokens of the longest prefix and one, E embedding, H features.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from agents.observations import tokens_of, tokens_space
from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.device import may_look
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import within_memory


def check_ids(tokens_BT: Tensor, spec: SequenceSpec) -> None:
    """Refuse what is neither a token's id nor the padding id V.

    Raises:
        ValueError: there is such a number.
    """
    wrong_BT = (tokens_BT < 0) | (tokens_BT > spec.pad_id) | (tokens_BT != tokens_BT.long())
    if wrong_BT.any():
        got = tokens_BT[wrong_BT][0].item()
        raise ValueError(f"observation must hold ids in [0, {spec.vocab_size}), or {spec.pad_id} as padding; got {got}")


def prefix_inputs(tokens_BT: Tensor, spec: SequenceSpec) -> tuple[Tensor, Tensor]:
    """The inputs of a causal network that reads each prefix, and the place where it has read it.

    Args:
        tokens_BT: prefixes, padded with V; of any dtype, since Stable-Baselines3 turns observations into floats (which
            hold whole numbers exactly up to 2^24).
        spec: the form of the sequences.

    Returns:
        ``inputs_BS``, the start symbol V and the tokens as far as the longest prefix goes, and ``length_B``: entry
        ``length_B[b]`` of the network's output has read all of prefix b and nothing after it.
    """
    if may_look(tokens_BT.device):
        check_ids(tokens_BT, spec)
    tokens_BT = tokens_BT.long()
    length_B = spec.lengths(tokens_BT)
    longest = int(length_B.max()) if len(length_B) else 0
    return spec.with_start(tokens_BT[:, :longest]), length_B


class PrefixExtractor(BaseFeaturesExtractor):
    """Features of a prefix for the policies of Stable-Baselines3: an embedding, and what reads the tokens so far.

    Args:
        observation_space: ``Box(0, V, (T,))``, or a ``Dict`` with that as ``tokens``.
        features_dim: size of the features, H.
        embedding_dim: E.
        encoder: ``"recurrent"``, a GRU, or ``"convolutional"``, causal convolutions over the whole prefix.

    Raises:
        ValueError: the space is not that of a sequence task, or the encoder is unknown.
    """

    @check_arguments
    def __init__(
        self,
        observation_space: spaces.Space[Any],
        features_dim: PositiveInt = 64,
        embedding_dim: PositiveInt = 32,
        encoder: str = "recurrent",
    ) -> None:
        check_choice("encoder", encoder, ("recurrent", "convolutional"))
        space = tokens_space(observation_space)
        super().__init__(observation_space, features_dim)
        self.spec = SequenceSpec(int(space.high.max()), space.shape[0])
        self.encoder: _Recurrent | _Convolutional
        with within_memory(f"an extractor of features_dim {features_dim} and embedding_dim {embedding_dim}"):
            self.embedding = nn.Embedding(self.spec.vocab_size + 1, embedding_dim)
            if encoder == "recurrent":
                self.encoder = _Recurrent(embedding_dim, features_dim)
            else:
                self.encoder = _Convolutional(embedding_dim, features_dim, n_inputs=space.shape[0] + 1)

    def forward(self, observations: PyTorchObs) -> Tensor:
        """``(B, T)`` token ids of any dtype, or a dictionary of observations, to ``(B, H)``."""
        inputs_BS, length_B = prefix_inputs(tokens_of(observations), self.spec)
        features_BSH = self.encoder(self.embedding(inputs_BS))
        features_BH: Tensor = features_BSH[torch.arange(len(length_B), device=length_B.device), length_B]
        return features_BH


class _Recurrent(nn.GRU):
    """``(B, S, E)`` to ``(B, S, H)``."""

    def __init__(self, embedding_dim: int, features_dim: int) -> None:
        super().__init__(embedding_dim, features_dim, batch_first=True)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The outputs alone."""
        features_BSH: Tensor = super().forward(input, hx)[0]
        return features_BSH


class _Convolutional(nn.Module):
    """``(B, S, E)`` to ``(B, S, H)``: causal convolutions of width 3, each with twice the dilation of the one before.

    There are as many as it takes for the last output to see the first of ``n_inputs`` inputs (a temporal convolutional
    network, arXiv 1803.01271).
    """

    def __init__(self, embedding_dim: int, features_dim: int, n_inputs: int) -> None:
        super().__init__()
        layers = [nn.Conv1d(embedding_dim, features_dim, 3)]
        while 2 * sum(layer.dilation[0] for layer in layers) < n_inputs - 1:
            layers.append(nn.Conv1d(features_dim, features_dim, 3, dilation=2 * layers[-1].dilation[0]))
        self.layers = nn.ModuleList(layers)

    def forward(self, embedded_BSE: Tensor) -> Tensor:
        """Each layer after the first is added to what it reads."""
        features_BHS = embedded_BSE.transpose(1, 2)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv1d)
            new_BHS = F.relu(layer(F.pad(features_BHS, (2 * layer.dilation[0], 0))))
            features_BHS = features_BHS + new_BHS if i else new_BHS
        return features_BHS.transpose(1, 2)
