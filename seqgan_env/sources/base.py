"""The interface of a source of real sequences."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.seeding import numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary


class Source(Protocol):
    """A source of real sequences (``p_data`` in the equations)."""

    @property
    def spec(self) -> SequenceSpec:
        """The vocabulary size, the horizon and the end-of-sequence token."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The map between text and ids, or None where tokens have no text."""

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set, shapes ``(n, T)``, the same for the same seed.

        A finite source returns at most what it has, and no line stands in both of its sets. Lines that differ in
        unknown words alone are equal sequences, which may, where held-out lines have a file of their own. A known
        source draws both sets independently from its distribution: a likely sequence may stand in both, and the
        held-out set is an unbiased sample all the same.
        """


@runtime_checkable
class KnownSource(Source, Protocol):
    """A source whose exact likelihood is known, so that Kullback-Leibler divergences can be measured."""

    def sample(self, n: int, rng: np.random.Generator) -> Tokens:
        """Draw ``n`` independent sequences, shape ``(n, T)``."""

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each complete sequence (eq. 13.31), nats, shape ``(B,)``."""


@runtime_checkable
class FactoredSource(KnownSource, Protocol):
    """A known source whose likelihood is also known token by token (eq. 13.31)."""

    def token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each token given those before it, nats, shape ``(B, T)``; 0 at padding."""

    def all_token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The same of every token that might stand in each place, shape ``(B, T, V)``; 0 at padding."""


@check_arguments
def split_known(
    source: KnownSource, n_train: PositiveInt, n_test: PositiveInt, seed: NonNegativeInt
) -> tuple[Tokens, Tokens]:
    """Draw a training and a held-out set from a known source; neither depends on the size of the other.

    Args:
        source: where to draw from.
        n_train: the number of training sequences.
        n_test: the number of held-out sequences.
        seed: decides both sets.

    Raises:
        ValueError: a size below 1, or a negative seed.
    """
    train_BT = source.sample(n_train, numpy_rng(seed, "split", "train"))
    return train_BT, source.sample(n_test, numpy_rng(seed, "split", "held_out"))
