"""A text file as a source: one sequence a line, finite, and of unknown distribution.

Suffixes: L lines of the file; F the flat array of all ids.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.sources.finite import FiniteSource
from seqgan_env.sources.text_file import LONG_LINES, TokenizedFile, read_tokens
from seqgan_env.tokenizing import BPE, counted_unit
from seqgan_env.vocabulary import EOS, Vocabulary


class Corpus(FiniteSource):
    """Any UTF-8 text file, one sequence a line: plain, or lines of JSON, or compressed; see `text_file`.

    Lines without a token are skipped. Each line is followed by end-of-sequence.

    Args:
        path: the file.
        level: ``"word"``, ``"char"``, ``"token"`` or ``"bpe"``; see `seqgan_env.tokenizing`.
        max_length: T, end-of-sequence included; None is that of the longest line.
        min_count: how often a word must occur to be in the vocabulary, at the levels ``"char"`` and ``"bpe"`` a
            character; rarer ones become ``<unk>``.
        long_lines: what to do with a line that does not fit into T: ``"error"`` or ``"drop"``.
        vocabulary: use this one, of the same level, normal form and delimiter, instead of making one of the file's own.
        normalization: the normal form of Unicode that the text is brought to: ``"none"``, ``"NFC"`` or ``"NFKC"``.
        delimiter: what stands between two tokens at level ``"token"``; None is white space.
        text_field: the field of each line of JSON that holds the text, or a list of its tokens; None is ``"text"``.
        vocab_size: V at level ``"bpe"`` at most; None is 1,000.

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
        delimiter: str | None = None,
        text_field: str | None = None,
        vocab_size: PositiveInt | None = None,
    ) -> None:
        check_choice("long_lines", long_lines, LONG_LINES)
        if vocabulary is not None:
            for name, value in (("level", level), ("normalization", normalization), ("delimiter", delimiter)):
                if (used := getattr(vocabulary, name)) != value:
                    raise ValueError(f"{name} must be {used!r}, as in the vocabulary that is given, not {value!r}")
            if min_count != 1:
                raise ValueError(f"min_count must be left at 1 where a vocabulary is given, not {min_count}")
            if vocab_size is not None:
                raise ValueError(f"vocab_size must be left out where a vocabulary is given, not {vocab_size}")
        file = read_tokens(path, level, normalization, delimiter, text_field)
        if EOS in file.words:
            raise file.error(f"the corpus must not hold the token {EOS!r}, the end that is added to each line")
        reason = "it holds none of the file's tokens"
        if vocabulary is None:
            reason = f"every {counted_unit(level)} occurs less than min_count = {min_count} times"
            whole = file if level == BPE else file.fitting(max_length, long_lines)  # merges decide what fits
            vocabulary = vocabulary_of(whole, level, min_count, normalization, delimiter, vocab_size)
        file = (file.cut(vocabulary.pieces) if level == BPE else file).fitting(max_length, long_lines)
        token_F = _encoded(file, vocabulary, reason)
        spec = vocabulary.spec(max_length or int(file.length_L.max()) + 1)
        super().__init__(file.name, file.sha256, spec, token_F, file.length_L, vocabulary)
        self._unknown = _unknown_words(file, token_F == vocabulary.unk_id)

    def lines(self) -> Iterator[bytes]:
        """A key of each line: equal ones have the same, and those of different unknown words different ones."""
        for number, key in enumerate(super().lines()):
            yield key + "".join(f"\0{word}" for word in self._unknown.get(number, ())).encode()  # no text has a NUL


def vocabulary_of(file: TokenizedFile, *settings: Any) -> Vocabulary:
    """The vocabulary of a file that is cut into words; the settings are those of `Vocabulary.from_counts`.

    Raises:
        ValueError: see there; the message begins with the file's path.
    """
    counts = {word: n for word, n in zip(file.words, file.counts.tolist(), strict=True) if n}
    try:
        return Vocabulary.from_counts(counts, *settings)
    except ValueError as error:
        raise file.error(str(error)) from error


def _unknown_words(file: TokenizedFile, is_unknown_F: npt.NDArray[np.bool_]) -> dict[int, list[str]]:
    """The words of each line that the vocabulary doesn't have, by the line's number."""
    words: dict[int, list[str]] = {}
    at_U = np.flatnonzero(is_unknown_F)
    line_U = np.searchsorted(np.cumsum(file.length_L), at_U, side="right")
    for line, word in zip(line_U.tolist(), file.word_F[at_U].tolist(), strict=True):
        words.setdefault(line, []).append(file.words[word])
    return words


def _encoded(file: TokenizedFile, vocabulary: Vocabulary, reason: str) -> npt.NDArray[np.int32]:
    """The ids of all tokens."""
    ids = [-1 if (i := vocabulary.id_of(word)) is None else i for word in file.words]
    token_F: npt.NDArray[np.int32] = np.array(ids, dtype=np.int32)[file.word_F]
    if (token_F < 0).any():
        at = int(np.flatnonzero(token_F < 0)[0])
        word = file.words[file.word_F[at]]
        raise file.error(f"line {file.line_of(at)} has {word!r}, which the vocabulary, without <unk>, does not have")
    if (token_F == vocabulary.unk_id).all():
        raise file.error(f"the vocabulary covers nothing of it: {reason}")
    return token_F
