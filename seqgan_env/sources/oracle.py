"""The synthetic oracle: a randomly initialised LSTM whose sequences stand for real data.

SeqGAN, arXiv 1609.05473, section 4: all parameters are drawn from N(0, 1), the first input is token 0, and every
sequence has T tokens. Its likelihood (eq. 13.31) is known exactly, so that a generator can be measured against it. The
cell has no peepholes, and each of the gates input, forget, output and the candidate reads ``x @ W + h @ U + b``.

Suffixes: B batch, T time, V vocabulary, E embedding, H hidden.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.device import resolve_device
from seqgan_env.files import read_bytes, refusal
from seqgan_env.sources.array_pickle import Array, read_array_pickle
from seqgan_env.sources.base import split_known
from seqgan_env.tokens import SequenceSpec, Tokens

START_TOKEN = 0
"""The token that the oracle reads before the first one."""
N_PARAMETERS = 15
"""The embedding; input weights, recurrent weights and bias of each gate; output weights and bias."""


class LSTMOracle:
    """The oracle of the SeqGAN paper.

    Args:
        vocab_size: V.
        max_length: T, the length of every sequence.
        embedding_dim: E.
        hidden_dim: H.
        seed: decides the parameters, which are made when they are first needed.

    Raises:
        ValueError: a size below 1, or a negative seed.
    """

    @check_arguments
    def __init__(
        self,
        vocab_size: PositiveInt = 5000,
        max_length: PositiveInt = 20,
        embedding_dim: PositiveInt = 32,
        hidden_dim: PositiveInt = 32,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.spec = SequenceSpec(vocab_size, max_length, eos_id=None)
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.seed: int | None = seed
        self.sha256: str | None = None
        """Of the parameter file, where there is one."""
        self.device = torch.device("cpu")
        """The device of likelihoods. Sequences are drawn on the CPU, so that a seed draws the same everywhere."""

    @classmethod
    @check_arguments
    def from_file(cls, path: str | os.PathLike[str], max_length: PositiveInt = 20) -> LSTMOracle:
        """Read the parameter file that the literature shares: a pickle of fifteen float32 arrays.

        Nothing in the file is run, and nothing but arrays is built from it.

        Args:
            path: the file; the sizes V, E and H are those of its arrays.
            max_length: T.

        Raises:
            ValueError: a file that cannot be read, or is anything else; the message begins with the path.
        """
        with refusal(path, "oracle's parameter file"):
            arrays = read_array_pickle(content := read_bytes(path))
            vocab_size, embedding_dim, hidden_dim = _sizes(arrays)
        oracle = cls(vocab_size, max_length, embedding_dim, hidden_dim)
        oracle.seed = None
        oracle.parameters = arrays
        oracle.sha256 = hashlib.sha256(content).hexdigest()
        return oracle

    @check_arguments
    def to(self, device: str) -> LSTMOracle:
        """Compute likelihoods on another device from now on; returns itself.

        Args:
            device: ``"cpu"``, ``"cuda"``, ``"auto"``, …

        Raises:
            ValueError: there is no such device here.
        """
        self.device = resolve_device(device)
        self.__dict__.pop("_scorer", None)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the network on the device, so that a copy can be read where there is no such device."""
        return {name: value for name, value in self.__dict__.items() if name != "_scorer"}

    @property
    def vocabulary(self) -> None:
        """None: the tokens have no text."""
        return None

    @functools.cached_property
    def parameters(self) -> list[Array]:
        """The fifteen arrays, in the order of `parameter_shapes`."""
        rng = np.random.default_rng(self.seed)
        shapes = parameter_shapes(self.spec.vocab_size, self.embedding_dim, self.hidden_dim)
        return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]

    @functools.cached_property
    def model(self) -> AutoregressiveModel:
        """The network of the parameters; the start symbol has the embedding of token 0."""
        embedding_VE, *gates, output_HV, output_bias_V = map(torch.from_numpy, self.parameters)
        # torch's order of the gates is input, forget, candidate, output
        input_HE, recurrent_HH, bias_H = (torch.cat([gates[3 * g + i].t() for g in (0, 1, 3, 2)]) for i in range(3))
        weights = {
            "core.embedding.weight": torch.cat([embedding_VE, embedding_VE[START_TOKEN, None]]),
            "core.rnn.weight_ih_l0": input_HE,
            "core.rnn.weight_hh_l0": recurrent_HH,
            "core.rnn.bias_ih_l0": bias_H,
            "core.rnn.bias_hh_l0": torch.zeros_like(bias_H),
            "output.weight": output_HV.t().contiguous(),
            "output.bias": output_bias_V,
        }
        with torch.device("meta"):  # no initial weights are drawn
            model = AutoregressiveModel(self.spec, "lstm", embedding_dim=self.embedding_dim, hidden_dim=self.hidden_dim)
        model.load_state_dict(weights, assign=True)
        return model.requires_grad_(False).eval()

    @functools.cached_property
    def _scorer(self) -> AutoregressiveModel:
        """The network on its device.

        On a GPU in double precision, whose products nothing rounds to TF32; Apple's has no such numbers, and no TF32.
        """
        if self.device.type == "cpu":
            return self.model
        return copy.deepcopy(self.model).to(self.device, torch.float32 if self.device.type == "mps" else torch.float64)

    @check_arguments
    def sample(self, n: NonNegativeInt, rng: np.random.Generator) -> Tokens:
        """Draw ``n`` independent sequences, shape ``(n, T)``.

        The first rows of a larger sample are those of a smaller one from the same generator state.

        Raises:
            ValueError: a negative ``n``.
        """
        uniform_BT = torch.from_numpy(rng.random((n, self.spec.max_length)))
        return self.model.sample(n, uniform_BT=uniform_BT).numpy()

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each sequence (eq. 13.31), nats, shape ``(B,)``.

        Each token's is computed in single precision, to about 1e-6, and their sum in double precision.

        Raises:
            ValueError: a batch that is not of complete sequences.
        """
        return self._scorer.sequence_log_prob(self.spec.validate(tokens_BT, complete=True))

    def token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each token given those before it, nats, shape ``(B, T)``; 0 at padding."""
        return self._scorer.token_log_prob(self.spec.validate(tokens_BT))

    def all_token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The same of every token that might stand in each place, shape ``(B, T, V)``; 0 at padding."""
        tokens_BT = self.spec.validate(tokens_BT)
        return self._scorer.all_log_prob(torch.from_numpy(tokens_BT).to(self.device)).double().cpu().numpy()

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set, independently, shapes ``(n, T)``; see `split_known`."""
        return split_known(self, n_train, n_test, seed)


def parameter_shapes(vocab_size: int, embedding_dim: int, hidden_dim: int) -> list[tuple[int, ...]]:
    """The shapes of the fifteen arrays: embedding; (W, U, b) of input, forget, output and candidate; the output's."""
    gate: list[tuple[int, ...]] = [(embedding_dim, hidden_dim), (hidden_dim, hidden_dim), (hidden_dim,)]
    return [(vocab_size, embedding_dim), *gate * 4, (hidden_dim, vocab_size), (vocab_size,)]


def _sizes(arrays: Sequence[Array]) -> tuple[int, int, int]:
    """Check an oracle's arrays and return V, E and H."""
    if len(arrays) != N_PARAMETERS:
        raise ValueError(f"it must hold {N_PARAMETERS} arrays, got {len(arrays)}")
    if arrays[0].ndim != 2 or arrays[1].ndim != 2 or not arrays[0].size or not arrays[1].size:
        raise ValueError(f"arrays 0 and 1 must be matrices, got the shapes {arrays[0].shape} and {arrays[1].shape}")
    (vocab_size, embedding_dim), hidden_dim = arrays[0].shape, arrays[1].shape[1]
    for i, shape in enumerate(parameter_shapes(vocab_size, embedding_dim, hidden_dim)):
        if arrays[i].shape != shape:
            raise ValueError(f"array {i} must have shape {shape}, got {arrays[i].shape}")
        if arrays[i].dtype != np.float32:
            raise ValueError(f"array {i} must be float32, got {arrays[i].dtype}")
        if not np.isfinite(arrays[i]).all():
            raise ValueError(f"array {i} must be finite, got NaN or infinity in it")
    return vocab_size, embedding_dim, hidden_dim
