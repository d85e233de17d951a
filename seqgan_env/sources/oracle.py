"""The synthetic oracle: a randomly initialised LSTM whose sequences stand for real data.

SeqGAN, arXiv 1609.05473, section 4: all parameters are drawn from N(0, 1), the first input is token 0, and every
sequence has T tokens. Its likelihood (eq. 13.31) is known exactly, so that a generator can be measured against it. The
cell has no peepholes, and each of the gates input, forget, output and the candidate reads ``x @ W + h @ U + b``.

Suffixes: B batch, T time, V vocabulary, E embedding, H hidden, G the four gates side by side (4 H), and K blocks of S
tokens into which the vocabulary is cut for sampling.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import pickletools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from seqgan_env.parallel import parallel_map
from seqgan_env.softmax import LOG2_E, Logits2, log2_prob
from seqgan_env.sources.base import check_whole_number, split_known
from seqgan_env.tokens import SequenceSpec, Tokens

Array = npt.NDArray[np.float32]

START_TOKEN = 0
"""What the oracle reads before the first token."""
N_PARAMETERS = 15
"""The embedding; input weights, recurrent weights and bias of each gate; output weights and bias."""
_CHUNK_LOGITS = 2**20
"""How many logits are computed at a time, to bound memory and to stay near the caches. No result depends on it."""
_CHUNK_ROWS = 2**10
"""How many sequences advance together at most."""


class _Network(NamedTuple):
    """The parameters, laid out for speed."""

    gates_VG: torch.Tensor  # what each token adds to the gates, bias included
    recurrent_HG: torch.Tensor
    output_HV: torch.Tensor  # V is filled up to K * S with tokens of probability zero
    output_bias_V: torch.Tensor


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

    def __init__(
        self,
        vocab_size: int = 5000,
        max_length: int = 20,
        embedding_dim: int = 32,
        hidden_dim: int = 32,
        seed: int = 0,
    ) -> None:
        self.spec = SequenceSpec(vocab_size, max_length, eos_id=None)
        self.embedding_dim = check_whole_number("embedding_dim", embedding_dim, 1)
        self.hidden_dim = check_whole_number("hidden_dim", hidden_dim, 1)
        self.seed: int | None = check_whole_number("seed", seed, 0)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], max_length: int = 20) -> LSTMOracle:
        """Read the parameter file that the literature shares: a pickle of fifteen float32 arrays.

        Nothing in the file is run, and nothing but arrays is built from it.

        Args:
            path: the file; the sizes V, E and H are those of its arrays.
            max_length: T.

        Raises:
            ValueError: a file that cannot be read, or is anything else; the message begins with the path.
        """
        try:
            arrays = read_array_pickle(Path(path).read_bytes())
            vocab_size, embedding_dim, hidden_dim = _sizes(arrays)
        except OSError as error:
            raise ValueError(f"{os.fspath(path)}: the oracle's parameters cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: not an oracle's parameter file: {error}") from error
        oracle = cls(vocab_size, max_length, embedding_dim, hidden_dim)
        oracle.seed = None
        oracle.parameters = arrays
        return oracle

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

    def sample(self, n: int, rng: np.random.Generator) -> Tokens:
        """Draw ``n`` independent sequences, shape ``(n, T)``.

        The first rows of a larger sample are those of a smaller one from the same generator state.

        Raises:
            ValueError: a negative ``n``.
        """
        uniform_BT = torch.from_numpy(rng.random((check_whole_number("n", n, 0), self.spec.max_length)))
        tokens_BT = torch.empty_like(uniform_BT, dtype=torch.int64)
        network = self._network

        def draw(rows: slice) -> None:
            for t, hidden_BH in enumerate(self._walk(tokens_BT[rows])):
                logits_BV = torch.addmm(network.output_bias_V, hidden_BH, network.output_HV)
                tokens_BT[rows, t] = _choose(logits_BV, uniform_BT[rows, t], self.spec.vocab_size)

        size = max(1, min(_CHUNK_ROWS, _CHUNK_LOGITS // self.spec.vocab_size))
        parallel_map(draw, [slice(start, start + size) for start in range(0, n, size)], tokens_BT.device)
        return tokens_BT.numpy()

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each sequence (eq. 13.31), nats, shape ``(B,)``.

        Each token's is computed in single precision, to about 1e-6, and their sum in double precision.

        Raises:
            ValueError: a batch that is not of complete sequences.
        """
        tokens_BT = self.spec.validate(tokens_BT, complete=True)
        network = self._network

        def evaluate(chunk_BT: torch.Tensor) -> npt.NDArray[np.float64]:
            hidden_MH = torch.stack(list(self._walk(chunk_BT)), dim=1).flatten(0, 1)
            logits2 = Logits2(hidden_MH, network.output_HV.t(), network.output_bias_V)
            token_M = chunk_BT.flatten()
            log2_prob_M = torch.cat([log2_prob(logits2.of(part), token_M[part])[0] for part in logits2.chunks])
            return log2_prob_M.view(chunk_BT.shape).double().sum(dim=1).numpy() / LOG2_E

        if not len(tokens_BT):
            return np.zeros(0)
        tokens = torch.from_numpy(tokens_BT)
        return np.concatenate(parallel_map(evaluate, tokens.split(_CHUNK_ROWS), tokens.device))

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set, independently, shapes ``(n, T)``; see `split_known`."""
        return split_known(self, n_train, n_test, seed)

    @functools.cached_property
    def _network(self) -> _Network:
        embedding_VE, *gates, output_HV, output_bias_V = self.parameters
        input_EG, recurrent_HG, bias_G = (np.concatenate(gates[i::3], axis=-1) for i in range(3))
        blocks, block_size = _blocks(self.spec.vocab_size)
        fill = blocks * block_size - self.spec.vocab_size
        return _Network(
            gates_VG=torch.from_numpy(embedding_VE @ input_EG + bias_G),
            recurrent_HG=torch.from_numpy(recurrent_HG),
            output_HV=torch.from_numpy(np.pad(output_HV, ((0, 0), (0, fill)))),
            output_bias_V=torch.from_numpy(np.pad(output_bias_V, (0, fill), constant_values=-np.inf)),
        )

    def _walk(self, tokens_BT: torch.Tensor) -> Iterator[torch.Tensor]:
        """Give the hidden state at each step, shape ``(B, H)``; token t is read only after step t was given."""
        network = self._network
        hidden_BH = network.recurrent_HG.new_zeros(len(tokens_BT), self.hidden_dim)
        cell_BH = torch.zeros_like(hidden_BH)
        input_B = tokens_BT.new_full((len(tokens_BT),), START_TOKEN)
        for t in range(self.spec.max_length):
            gates_BG = torch.addmm(network.gates_VG[input_B], hidden_BH, network.recurrent_HG)
            input_BH, forget_BH, output_BH, candidate_BH = gates_BG.chunk(4, dim=1)
            cell_BH = forget_BH.sigmoid() * cell_BH + input_BH.sigmoid() * candidate_BH.tanh()
            hidden_BH = output_BH.sigmoid() * cell_BH.tanh()
            yield hidden_BH
            input_B = tokens_BT[:, t]


def _blocks(vocab_size: int) -> tuple[int, int]:
    """K and S: as many blocks as a block has tokens, or nearly."""
    block_size = max(1, round(vocab_size**0.5))
    return -(-vocab_size // block_size), block_size


def _choose(logits_BV: torch.Tensor, uniform_B: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Sample one token a row by inverting the cumulative distribution, first over blocks, then inside one.

    Token v is chosen where u times the total weight falls between the cumulated weights of the tokens below v and that
    of v included. Rounding can put it on or past the last sum; it is brought back just below, so that the choice is
    always a token of positive weight. The logits are overwritten.

    Args:
        logits_BV: the logits, filled up to ``K * S`` columns with minus infinity.
        uniform_B: u, float64 in [0, 1).
        vocab_size: V before filling up.
    """
    blocks, block_size = _blocks(vocab_size)
    weight_BKS = logits_BV.sub_(logits_BV.amax(dim=1, keepdim=True)).exp_().unflatten(1, (blocks, block_size))
    block_BK = weight_BKS.sum(dim=2).double().cumsum(dim=1)
    target_B1 = _below(uniform_B[:, None] * block_BK[:, -1:], block_BK)
    chosen_B1 = torch.searchsorted(block_BK, target_B1, right=True)
    before_B1 = torch.where(chosen_B1 > 0, block_BK.gather(1, (chosen_B1 - 1).clamp_min(0)), 0.0)
    row_B = torch.arange(len(weight_BKS), device=weight_BKS.device)
    inside_BS = weight_BKS[row_B, chosen_B1[:, 0]].double().cumsum(dim=1)
    offset_B1 = torch.searchsorted(inside_BS, _below(target_B1 - before_B1, inside_BS), right=True)
    return (chosen_B1 * block_size + offset_B1)[:, 0]


def _below(target_B1: torch.Tensor, cumulated_BK: torch.Tensor) -> torch.Tensor:
    """Bring a target strictly below the last cumulated weight."""
    last_B1 = cumulated_BK[:, -1:]
    return torch.minimum(target_B1, torch.nextafter(last_B1, torch.zeros_like(last_B1)))


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


class _Array:
    """What the pickle of an array builds here: its parts, to be checked before an array is made of them."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self.parts = (data, dtype, shape, "F" if is_fortran else "C")

    def to_numpy(self) -> Array:
        data, dtype, shape, order = self.parts
        if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, _DType):
            raise ValueError("each array in it must be made of bytes and a dtype")
        if dtype.code != "f4" or dtype.byte_order not in ("<", ">", "="):
            raise ValueError(f"each array in it must be float32, got {dtype.byte_order!r:.40} {dtype.code!r:.40}")
        array: Array = np.frombuffer(data, dtype.byte_order + "f4").reshape(shape, order=order).astype(np.float32)
        return array


class _DType:
    """What the pickle of a dtype builds here: a code such as ``f4`` and a byte order."""

    __slots__ = ("byte_order", "code")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code
        self.byte_order: Any = "="

    def __setstate__(self, state: Any) -> None:
        self.byte_order = state[1]


class _Global:
    """A function that a pickle may call by its name; the file can neither look into it nor change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _Array,
}
"""Every name that numpy writes into the pickle of an array, and what stands in for it here."""


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows the names in `_GLOBALS` and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up among the stand-ins."""
        call = _GLOBALS.get((module.replace("numpy._core", "numpy.core"), name))
        if call is None:
            raise pickle.UnpicklingError(f"it asks for {module!r:.40} {name!r:.40}")
        return _Global(call)


def read_array_pickle(data: bytes) -> list[Array]:
    """Read a pickled list of float32 arrays without building anything else.

    Each name in the file is replaced by a stand-in which only keeps what it is given, so that neither numpy nor
    anything else is called by the file. Two things are refused before reading: a memo index beyond the size of the
    file, since the unpickler would set aside as much memory as the index says, and codes of the extension registry,
    which bypass names.

    Args:
        data: the pickle, of any protocol that Python 3 writes with bytes in it (3 and above).

    Raises:
        ValueError: it is anything else.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name.startswith("EXT") or (opcode.name.endswith("PUT") and int(argument or 0) > len(data)):
                raise pickle.UnpicklingError(f"it uses {opcode.name} {argument}")
        loaded = _ArrayUnpickler(io.BytesIO(data)).load()
        if not isinstance(loaded, (list, tuple)) or not all(isinstance(item, _Array) for item in loaded):
            raise ValueError("it must hold a list of numpy arrays")
        return [item.to_numpy() for item in loaded]
    except (
        pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError
    ) as error:  # fmt: skip
        raise ValueError(f"it must be a pickle of numpy arrays and nothing else: {error}") from error
