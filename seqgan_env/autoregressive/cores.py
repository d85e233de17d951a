"""The cores of autoregressive models: from the inputs read so far to the state that predicts the next token.

Dimensions: B sequences (lanes), T time, E embedding, H hidden, S slots of a memory, A attention heads, D features of a
head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgan_env.checks import PositiveFloat, PositiveInt, ShareBelowOne, build_config, check_fields
from seqgan_env.dropout import dropout
from seqgan_env.registry import Registry
from seqgan_env.tokens import SequenceSpec

CoreState = tuple[Tensor, ...]
"""Tensors whose first dimension is the lane; the first one is ``hidden_BH``, which predicts the next token."""


def rows_of(state: CoreState, rows: Any) -> CoreState:
    """The state of some lanes, in any order and number.

    Args:
        state: of all lanes.
        rows: indices or a boolean mask.
    """
    return tuple(part[rows] for part in state)


@dataclass(frozen=True)
class CoreConfig:
    """The sizes that every core has.

    Raises:
        ValueError: a size is below 1.
    """

    embedding_dim: PositiveInt = 32
    """Size of a token's embedding, E."""
    hidden_dim: PositiveInt = 32
    """Size of the state that predicts the next token, H."""
    dropout: ShareBelowOne = 0.1
    """Share of the embedding's and of the state's elements that maximum likelihood drops."""
    variational: bool = False
    """Drop the same elements at all steps of a sequence (arXiv 1512.05287)."""
    embedding_std: PositiveFloat = 0.1
    """Standard deviation of the embeddings before training. A rare token is seen so seldom that much of its embedding
    stays the noise that it began as: the smaller that is, the less it disturbs."""

    def __post_init__(self) -> None:
        check_fields(self)


class Core(nn.Module):
    """An embedding of the tokens, and two ways to read them that agree.

    ``read`` reads whole sequences at once, for their likelihood; ``step`` reads one more input, for generation. A
    step leaves the state that it was given as it was, and each lane of a state stands alone: lanes can be gathered,
    concatenated and overwritten, and lanes that have read different numbers of inputs can take a step together.

    Args:
        spec: the sequences; a lane reads at most the start symbol V and T tokens. The embedding has one row more than
            there are tokens, for the start symbol.
        config: the sizes, an instance of the class's own ``Config``.
    """

    Config: type[CoreConfig] = CoreConfig
    """The sizes and further settings of the core, a frozen dataclass."""

    def __init__(self, spec: SequenceSpec, config: Any) -> None:
        super().__init__()
        self.config = config
        self.hidden_dim: int = config.hidden_dim
        self.n_slots = spec.max_length + 1
        self.embedding = nn.Embedding(spec.vocab_size + 1, config.embedding_dim)
        with torch.no_grad():
            self.embedding.weight.mul_(config.embedding_std)

    def forward(self, inputs_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Read whole sequences from the empty state.

        Args:
            inputs_BT: token ids, the start symbol first.
            rng: where dropout takes its noise from; None drops nothing.

        Returns:
            ``hidden_BTH``: entry t is ``state[0]`` after reading inputs 0 to t.
        """
        embedded_BTE = self._dropped(self.embedding(inputs_BT), rng)
        return self._dropped(self.read(embedded_BTE, rng), rng)

    def read(self, embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Read whole sequences of embedded inputs, ``hidden_BTH``.

        Args:
            embedded_BTE: the embeddings, after their dropout.
            rng: where dropout between layers takes its noise from; None drops nothing.
        """
        raise NotImplementedError

    def _dropped(self, x_BTE: Tensor, rng: torch.Generator | None) -> Tensor:
        if rng is None or self.config.dropout == 0:
            return x_BTE
        shape = (len(x_BTE), 1, x_BTE.shape[2]) if self.config.variational else None
        return dropout(x_BTE, self.config.dropout, rng, shape)

    def initial_state(self, n: int) -> CoreState:
        """The state of ``n`` lanes before anything is read."""
        raise NotImplementedError

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        """Read one more input."""
        return self.step_embedded(self.embedding(input_B), state)

    def step_embedded(self, embedded_BE: Tensor, state: CoreState) -> CoreState:
        """Read the embedding of one more input, which may be that of no token."""
        raise NotImplementedError

    def _zeros(self, *shape: int) -> Tensor:
        return self.embedding.weight.new_zeros(shape)


def write_slot(memory_BS: Tensor, n_read_B: Tensor, entry_B: Tensor) -> Tensor:
    """A copy of the memory in which each lane's next free slot holds its entry; the entries have any further shape."""
    return memory_BS.index_put((torch.arange(len(n_read_B), device=n_read_B.device), n_read_B), entry_B)


def look_back(query_BAD: Tensor, key_BSAD: Tensor, value_BSAD: Tensor, n_read_B: Tensor) -> Tensor:
    """Attention of each lane over the slots up to the one that was written last, ``(B, A, D)``."""
    seen_BS = torch.arange(key_BSAD.shape[1], device=n_read_B.device) <= n_read_B[:, None]
    return F.scaled_dot_product_attention(
        query_BAD[:, :, None], key_BSAD.transpose(1, 2), value_BSAD.transpose(1, 2), attn_mask=seen_BS[:, None, None]
    ).squeeze(2)


CORES: Registry[type[Core]] = Registry("core")
"""The cores by name."""


def register_core(name: str, core_class: type[Core]) -> None:
    """Make a core available by name: to ``AutoregressiveModel``, to ``SeqGAN`` and to the command line.

    Args:
        name: an identifier, such as ``"lstm"``; ``SeqGAN`` also knows it as ``"LstmPolicy"``.
        core_class: its class.

    Raises:
        ValueError: the name is taken or no identifier, or the class is no core.
    """
    if not (isinstance(core_class, type) and issubclass(core_class, Core)) or not core_class.__doc__:
        raise ValueError(f"a core must be a documented subclass of Core, got {core_class!r}")
    CORES.register(name, core_class)


def build_core(name: str, spec: SequenceSpec, arguments: dict[str, Any]) -> Core:
    """A freshly initialised core.

    Args:
        name: a key of ``CORES``.
        spec: the sequences.
        arguments: fields of its ``Config``.

    Raises:
        ValueError: an unknown name or field, or a value out of range.
    """
    core_class = CORES.lookup(name)
    return core_class(spec, build_config(core_class.Config, arguments, f"core {name!r}"))
