"""Two files as one source: one to train on, another one that is held out, as published corpora come.

Suffixes: B rows asked for, L lines of a file, T time.
"""

from __future__ import annotations

import hashlib

import numpy as np

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.seeding import numpy_rng
from seqgan_env.sources.finite import FiniteSource
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary


class FilePair:
    """The sequences of two files of one form.

    Args:
        train: the file to train on.
        held_out: the other one, read with the vocabulary and the T of the first.
    """

    def __init__(self, train: FiniteSource, held_out: FiniteSource) -> None:
        self.spec = train.spec
        self._train, self._held_out = train, held_out

    @property
    def vocabulary(self) -> Vocabulary | None:
        """That of the file to train on."""
        return self._train.vocabulary

    @property
    def sha256(self) -> str:
        """Of both contents."""
        return hashlib.sha256(f"{self._train.sha256} {self._held_out.sha256}".encode()).hexdigest()

    @check_arguments
    def split(self, n_train: PositiveInt, n_test: PositiveInt, seed: NonNegativeInt) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set without replacement, each from its file, shapes ``(n, T)``.

        A line of the first file that stands in the second too is never trained on. Neither set depends on the size of
        the other.

        Args:
            n_train: at most this many sequences to train on.
            n_test: at most this many held-out sequences.
            seed: decides which, and their order.

        Raises:
            ValueError: a size below 1, a negative seed, a second file of one line, which can't both choose and report,
                no line to train on that is not held out, or sets that do not fit into memory.
        """
        if len(self._held_out) < 2:
            raise ValueError(f"{self._held_out.path}: a held-out file must have at least 2 sequences, it has 1")
        known = set(self._held_out.lines())
        own_L = np.flatnonzero([line not in known for line in self._train.lines()])
        if not len(own_L):
            raise ValueError(f"{self._train.path}: all its lines stand in {self._held_out.path} too, which is held out")
        row_B = numpy_rng(seed, "split", "train").permutation(own_L)[:n_train]
        test_B = numpy_rng(seed, "split", "held_out").permutation(len(self._held_out))[:n_test]
        return self._train.rows(row_B), self._held_out.rows(test_B)
