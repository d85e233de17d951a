"""A text file as a source: one sequence a line, finite, and of unknown distribution.

Lines are kept as one flat array of ids with a start and a length for each, so that one long line among a million short
ones costs nothing until rows are asked for.

Suffixes: B rows asked for, L lines of the file, T time, V vocabulary; F the flat array of all ids.
"""

from __future__ import annotations

import functools
import hashlib
import os
from array import array

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments, check_choice
from seqgan_env.device import check_memory
from seqgan_env.files import read_bytes
from seqgan_env.seeding import numpy_rng
from seqgan_env.tokenizing import clean, tokenize
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import EOS, Vocabulary

_OTHER_KINDS = {
    b"\x1f\x8b": "a file compressed by gzip; decompress it first",
    b"BZh": "a file compressed by bzip2; decompress it first",
    b"\xfd7zXZ\0": "a file compressed by xz; decompress it first",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd; decompress it first",
    b"PK\x03\x04": "a zip file; unpack it first",
    b"%PDF": "a PDF file",
    b"\xff\xfe": "text in UTF-16 or UTF-32; convert it first",
    b"\xfe\xff": "text in UTF-16; convert it first",
    b"\0\0\xfe\xff": "text in UTF-32; convert it first",
}
"""The kinds of file that are taken for text, by their first bytes."""

HELD_OUT_SHARE = 5
"""At most one line in this many is held out."""

_LONGEST = 10_000  # tokens: longer than this is a file without line breaks


class Corpus:
    """Any UTF-8 text file, one sequence a line.

    Lines without a token are skipped. Each line is followed by end-of-sequence.

    Args:
        path: the file.
        level: ``"word"``, ``"char"`` or ``"token"``; see `seqgan_env.tokenizing`.
        max_length: T, end-of-sequence included; None is that of the longest line.
        min_count: how often a word (or character) must occur to be in the vocabulary; rarer ones become ``<unk>``.
        long_lines: what to do with a line that does not fit into T: ``"error"`` or ``"drop"``.
        vocabulary: use this one, of the same level and normal form, instead of making one of the file's own.
        normalization: the normal form of Unicode that the text is brought to: ``"none"``, ``"NFC"`` or ``"NFKC"``.

    Raises:
        ValueError: a wrong argument, or a file that is missing, not text, empty, or leaves no sequence to learn from;
            what is wrong with the file is said in one line that begins with its path.
    """

    @check_arguments
    def __init__(
        self,
        path: str | os.PathLike[str],
        level: str = "word",
        max_length: PositiveInt | None = None,
        min_count: PositiveInt = 1,
        long_lines: str = "error",
        vocabulary: Vocabulary | None = None,
        normalization: str = "NFC",
    ) -> None:
        clean("", level, normalization)
        check_choice("long_lines", long_lines, ("error", "drop"))
        for name, value in (("level", level), ("normalization", normalization)):
            if vocabulary is not None and getattr(vocabulary, name) != value:
                used = getattr(vocabulary, name)
                raise ValueError(f"{name} must be {used!r}, as in the vocabulary that is given, not {value!r}")
        if vocabulary is not None and min_count != 1:
            raise ValueError(f"min_count must be left at 1 where a vocabulary is given, not {min_count}")
        self.path = os.fspath(path)
        text, self.sha256 = self._read()
        words, word_F, length_L, line_L = self._number(text, level, normalization)
        if max_length is not None:
            kept_L = self._fitting(length_L, line_L, max_length, long_lines)
            word_F, length_L, line_L = word_F[np.repeat(kept_L, length_L)], length_L[kept_L], line_L[kept_L]
        elif length_L.max() > _LONGEST:
            raise self._error(
                f"line {line_L[length_L.argmax()]} has {length_L.max()} tokens, and all sequences would be as long; "
                "give max_length, and drop longer lines with long_lines='drop'"
            )
        count = np.bincount(word_F, minlength=len(words))
        if vocabulary is None:
            counts = {word: n for word, n in zip(words, count.tolist(), strict=True) if n}
            vocabulary = Vocabulary.from_counts(counts, level, min_count, normalization)
            reason = f"every token occurs less than min_count = {min_count} times"
        else:
            reason = "it holds none of the file's tokens"
        id_of_word = np.array([-1 if (i := vocabulary.id_of(word)) is None else i for word in words], dtype=np.int32)
        self._token_F: npt.NDArray[np.int32] = id_of_word[word_F]
        self._length_L: Tokens = length_L
        self._start_L: Tokens = np.cumsum(length_L) - length_L
        if (self._token_F < 0).any():
            at = int(np.flatnonzero(self._token_F < 0)[0])
            line = int(line_L[np.searchsorted(self._start_L, at, side="right") - 1])
            word = words[word_F[at]]
            raise self._error(f"line {line} has {word!r}, which the vocabulary, without <unk>, does not have")
        if (self._token_F == vocabulary.unk_id).all():
            raise self._error(f"the vocabulary covers nothing of it: {reason}")
        self.vocabulary = vocabulary
        self.spec = vocabulary.spec(max_length or int(length_L.max()) + 1)

    def __len__(self) -> int:
        """The number of sequences, repeated ones included."""
        return len(self._length_L)

    @check_arguments
    def split(self, n_train: PositiveInt, n_test: PositiveInt, seed: NonNegativeInt) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set without replacement, shapes ``(n, T)``, in an order that the seed decides.

        Identical sequences go to the same side, all of them, so that the held-out set holds nothing that was trained
        on; each side otherwise keeps them as often as the file has them. At most a fifth of the file is held out, but
        always at least one sequence. The held-out set does not depend on ``n_train``.

        Args:
            n_train: at most this many sequences to train on.
            n_test: at most this many held-out sequences.
            seed: decides which, and their order.

        Raises:
            ValueError: a size below 1, a negative seed, a file with fewer than two distinct sequences, or sets
                that do not fit into memory.
        """
        rng = numpy_rng(seed, "split")
        group_L = self._group_L
        size = np.bincount(group_L)
        if len(size) < 2:
            raise self._error("a split needs at least 2 distinct sequences, it has 1")
        n_test = min(n_test, max(1, len(self) // HELD_OUT_SHARE))
        order = rng.permutation(len(size))
        held_out = np.zeros(len(size), dtype=np.bool_)
        room = n_test
        for group in order.tolist():
            if size[group] <= room:
                held_out[group] = True
                room -= size[group]
                if not room:
                    break
        if not held_out.any():  # each sequence stands there more often than n_test: hold out the rarest, in part
            held_out[order[np.argmin(size[order])]] = True
        row_L = rng.permutation(len(self))
        is_test_L = held_out[group_L[row_L]]
        return self._padded(row_L[~is_test_L][:n_train]), self._padded(row_L[is_test_L][:n_test])

    @functools.cached_property
    def _group_L(self) -> Tokens:
        """A number for each line, the same for the same sequence."""
        numbers: dict[bytes, int] = {}
        spans = zip(self._start_L.tolist(), (self._start_L + self._length_L).tolist(), strict=True)
        keys = (self._token_F[start:end].tobytes() for start, end in spans)
        return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, count=len(self))

    def _padded(self, row_B: Tokens) -> Tokens:
        """The sequences of some lines, with end-of-sequence and padding, shape ``(B, T)``."""
        length_B, n_tokens = self._length_L[row_B], self.spec.max_length
        check_memory(8 * len(row_B) * n_tokens, f"{len(row_B)} lines of {self.path} of max_length {n_tokens}")
        tokens_BT = np.full((len(row_B), self.spec.max_length), self.spec.pad_id, dtype=np.int64)
        row_F = np.repeat(np.arange(len(row_B)), length_B)
        time_F = np.arange(len(row_F)) - np.repeat(np.cumsum(length_B) - length_B, length_B)
        tokens_BT[row_F, time_F] = self._token_F[self._start_L[row_B][row_F] + time_F]
        tokens_BT[np.arange(len(row_B)), length_B] = self.vocabulary.eos_id
        return tokens_BT

    def _error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}: {message}")

    def _read(self) -> tuple[str, str]:
        """The file's text and the SHA-256 of its bytes."""
        try:
            data = read_bytes(self.path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or no file on a disk
            reason = getattr(error, "strerror", None) or error
            raise self._error(f"the corpus must be a text file that can be read: {reason}") from error
        try:
            text = data.decode("utf-8")
            if "\0" in text:
                raise self._error(
                    f"the corpus must be UTF-8 text, got a NUL byte at offset {data.index(0)}, as in other files"
                )
        except ValueError as error:
            for start, kind in _OTHER_KINDS.items():
                if data.startswith(start):
                    raise self._error(f"the corpus must be UTF-8 text, got {kind}") from error
            if isinstance(error, UnicodeDecodeError):
                reason = f"byte {error.start} is not: {error.reason}"
                raise self._error(f"the corpus must be UTF-8 text, {reason}") from error
            raise
        return text.removeprefix("\ufeff"), hashlib.sha256(data).hexdigest()

    def _number(
        self, text: str, level: str, normalization: str
    ) -> tuple[list[str], npt.NDArray[np.int32], Tokens, Tokens]:
        """Number the words in the order in which they are met.

        Returns:
            The distinct words; the number of each word of the text, one line after the other; the length of each line
            that has a token; and its line number in the file, from 1.
        """
        numbers = _Numbers()
        number_of = numbers.__getitem__
        flat, lengths, lines = array("i"), array("q"), array("q")
        for line_number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
            if line.strip() and (tokens := tokenize(line, level, normalization)):
                flat.extend(map(number_of, tokens))
                lengths.append(len(tokens))
                lines.append(line_number)
        if not lines:
            raise self._error("the corpus must hold at least one line that is not blank, it is empty")
        if EOS in numbers:
            raise self._error(f"the corpus must not hold the token {EOS!r}, the end that is added to each line")
        return list(numbers), np.array(flat, np.int32), np.array(lengths, np.int64), np.array(lines, np.int64)

    def _fitting(self, length_L: Tokens, line_L: Tokens, max_length: int, long_lines: str) -> npt.NDArray[np.bool_]:
        """The mask of the lines that fit into ``max_length`` with end-of-sequence."""
        kept_L: npt.NDArray[np.bool_] = length_L < max_length
        n_long = int((~kept_L).sum())
        needed = int(length_L.max()) + 1
        if n_long and long_lines == "error":
            first = int(np.argmin(kept_L))
            raise self._error(
                f"{n_long} of {len(kept_L)} lines are longer than max_length = {max_length} (end-of-sequence included),"
                f" the first is line {line_L[first]} with {length_L[first] + 1}; raise max_length to {needed},"
                " or drop them with long_lines='drop'"
            )
        if not kept_L.any():
            raise self._error(
                f"all {n_long} lines are longer than max_length = {max_length} (end-of-sequence included) and dropped; "
                f"raise max_length, up to {needed}"
            )
        return kept_L


class _Numbers(dict[str, int]):
    """Gives each new key the next number."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number
