"""A task: which sequences are real, what scores them, and what the score pays.

The single and the vector environment share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqgan_env.discriminators import Discriminator, build_discriminator, check_discriminator
from seqgan_env.rewards import get_reward
from seqgan_env.sources import build_source
from seqgan_env.sources.base import Source, check_whole_number
from seqgan_env.tokens import SequenceSpec, Tokens

Weights = Mapping[str, npt.NDArray[Any]]
"""A discriminator's ``state_dict`` as NumPy arrays."""


@dataclass(frozen=True)
class TaskConfig:
    """A task in plain values, so that it travels: through ``env.spec``, to a worker process, into ``config.json``.

    Args:
        source: ``"oracle"`` (the synthetic LSTM), ``"grammar"`` (embedded English sentences) or the path of a text file
            with one sequence a line.
        vocab_size: V of the oracle; None is its default, 5000.
        max_length: T; None is the source's default (20 for the oracle, the longest line for a text file).
        source_seed: the oracle's parameters, and which real sequences are drawn.
        level: ``"word"`` or ``"char"``, for a text file; None is ``"word"``.
        min_count: a text file's words rarer than this become the unknown token; None is 1.
        long_lines: ``"error"`` or ``"drop"``, for a text file's lines longer than T; None is ``"error"``.
        n_real: size of the training set of real sequences.
        n_held_out: size of the held-out set.
        discriminator: ``"cnn"``, ``"tabular"`` (for a task small enough to enumerate), or the path of a saved one.
        discriminator_kwargs: arguments of its class, such as ``{"filters": [[2, 64], [3, 64]]}``.
        discriminator_seed: its initial weights.
        reward: a key of ``seqgan_env.rewards.REWARDS``.
        device: where the discriminator computes: ``"cpu"``, ``"cuda"``, ``"auto"``, …

    Raises:
        ValueError: an unknown reward or device, or a size below 1.
    """

    source: str = "oracle"
    vocab_size: int | None = None
    max_length: int | None = None
    source_seed: int = 0
    level: str | None = None
    min_count: int | None = None
    long_lines: str | None = None
    n_real: int = 10_000
    n_held_out: int = 5_000
    discriminator: str = "cnn"
    discriminator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    discriminator_seed: int = 0
    reward: str = "log_d"
    device: str = "cpu"

    def __post_init__(self) -> None:
        get_reward(self.reward)
        resolve_device(self.device)
        for name in ("n_real", "n_held_out"):
            check_whole_number(name, getattr(self, name), 1)

    def build_source(self) -> Source:
        """The source of real sequences.

        Raises:
            ValueError: the source does not exist, or cannot be what is asked.
        """
        return build_source(
            self.source,
            vocab_size=self.vocab_size,
            max_length=self.max_length,
            seed=self.source_seed,
            level=self.level,
            min_count=self.min_count,
            long_lines=self.long_lines,
        )


def resolve_device(device: str) -> torch.device:
    """``"auto"`` is a CUDA device where there is one, else the CPU.

    Raises:
        ValueError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        torch.zeros((), device=resolved).item()
    except (AssertionError, ImportError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(f"device must be 'auto', 'cpu' or a device that is here; got {device!r}: {reason}") from error
    return resolved


class Task:
    """What ``TaskConfig`` describes; what costs time is made when first needed.

    Args:
        config: the description.

    Raises:
        ValueError: the source or the discriminator cannot be what is described.
    """

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.source: Source = config.build_source()
        self.spec: SequenceSpec = self.source.spec
        self.discriminator_version = 0
        """How often the discriminator was replaced or given new weights."""
        check_discriminator(config.discriminator, self.spec, config.discriminator_kwargs)
        self._reward = get_reward(config.reward)
        self._device = resolve_device(config.device)
        self._discriminator: Discriminator | None = None

    @cached_property
    def _split(self) -> tuple[Tokens, Tokens]:
        return self.source.split(self.config.n_real, self.config.n_held_out, self.config.source_seed)

    @property
    def real_sequences(self) -> Tokens:
        """The training set of real sequences, shape ``(n_real, T)``."""
        return self._split[0]

    @property
    def held_out_sequences(self) -> Tokens:
        """Real sequences that nothing is trained on, shape ``(n_held_out, T)``."""
        return self._split[1]

    @property
    def discriminator(self) -> Discriminator:
        """The current discriminator."""
        if self._discriminator is None:
            c = self.config
            built = build_discriminator(
                c.discriminator, self.spec, seed=c.discriminator_seed, kwargs=c.discriminator_kwargs
            )
            self._discriminator = built.to(self._device)
        return self._discriminator

    def encode_prefix(self, options: Mapping[str, Any] | None) -> Any:
        """The prefix that ``reset(options=...)`` asks for, as token ids.

        Raises:
            ValueError: an unknown option, or text where tokens have none or that the vocabulary does not hold.
        """
        unknown = sorted(map(repr, set(options or ()) - {"prefix"}))
        if unknown:
            raise ValueError(f"options may hold 'prefix', got {', '.join(unknown)}")
        prefix = (options or {}).get("prefix", ())
        if not isinstance(prefix, str):
            return prefix
        if self.source.vocabulary is None:
            raise ValueError(f"prefix must be token ids: the tokens of source {self.config.source!r} have no text")
        return self.source.vocabulary.encode(prefix, allow_unknown=False)

    def words(self, tokens_T: Tokens) -> list[str]:
        """The tokens of one sequence as a person reads them."""
        ids = [int(token) for token in tokens_T if token != self.spec.pad_id]
        vocabulary = self.source.vocabulary
        return [str(token) if vocabulary is None else vocabulary.tokens[token] for token in ids]

    def score(self, sequences: Any) -> npt.NDArray[np.float64]:
        """The terminal reward of each complete sequence (eq. 13.38), shape ``(B,)``.

        Args:
            sequences: token ids, shape ``(B, t)`` with ``t <= T``.

        Raises:
            ValueError: see ``SequenceSpec.validate``.
        """
        return self.score_complete(self.spec.validate(sequences, complete=True, name="sequences"))

    def score_complete(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """``score`` for sequences that are known to be complete.

        Raises:
            ValueError: the discriminator answers with NaN or infinity, which no agent could learn from.
        """
        logit_real_B = self.discriminator.logits(tokens_BT)
        if not np.isfinite(logit_real_B).all():
            wrong = logit_real_B[~np.isfinite(logit_real_B)][0]
            raise ValueError(f"the discriminator's logits must be finite, got {wrong}")
        return np.asarray(self._reward(torch.from_numpy(logit_real_B)).numpy(), dtype=np.float64)

    def set_discriminator(self, discriminator: Discriminator, version: int | None = None) -> None:
        """Score with this very object from now on.

        Args:
            discriminator: of the same task.
            version: its version; None is one more than the current.

        Raises:
            ValueError: it is none, or is made for other sequences.
        """
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"the discriminator must be a Discriminator, got {type(discriminator).__name__}")
        if discriminator.spec != self.spec:
            raise ValueError(f"the discriminator is made for {discriminator.spec}, the task has {self.spec}")
        self._discriminator = discriminator.eval()
        self.discriminator_version = self.discriminator_version + 1 if version is None else version

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.discriminator.state_dict().items()}

    def load_discriminator(self, weights: Weights, version: int | None = None) -> None:
        """Copy new weights into the discriminator.

        Args:
            weights: what ``discriminator_weights`` gives, of a discriminator of the same kind.
            version: their version; None is one more than the current.

        Raises:
            ValueError: they do not fit; nothing has changed.
        """
        try:
            self.discriminator.load_weights({name: torch.tensor(array) for name, array in weights.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the weights do not fit the task's discriminator: {error}") from error
        self.discriminator_version = self.discriminator_version + 1 if version is None else version
