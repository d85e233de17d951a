"""A file of token ids as a source: one sequence of whole numbers a line, as the literature stores its oracle's."""

from __future__ import annotations

import os
import re

import numpy as np

from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.sources.finite import FiniteSource
from seqgan_env.sources.text_file import LONG_LINES, TokenizedFile, read_tokens
from seqgan_env.tokens import MAX_VOCAB_SIZE, SequenceSpec, Tokens

IDS = "ids"
"""The level of a file that holds ids in place of text."""

_MOST = MAX_VOCAB_SIZE - 1  # one more may be needed for end-of-sequence


class IdFile(FiniteSource):
    """A file of token ids in plain digits, one sequence a line.

    Where all lines are equally long they are the sequences. Otherwise, or where ``max_length`` is another length,
    each is followed by end-of-sequence, an id of its own: the last, V - 1.

    Args:
        path: the file, which may be compressed or of JSON; see `text_file`.
        vocab_size: V; None is the largest id + 1, and one more where there is an end-of-sequence.
        max_length: T, end-of-sequence included; None is that of the longest line.
        long_lines: what to do with a line that does not fit into T: ``"error"`` or ``"drop"``.
        delimiter: what stands between two ids; None is white space.
        text_field: the field of each line of JSON that holds the ids, as a list or as a text; None is ``"text"``.
        ends: whether each line is followed by end-of-sequence, instead of what the lengths of the lines say.

    Raises:
        ValueError: a wrong argument, or a file that is missing, empty, or holds something else than ids below V; what
            is wrong with the file is said in one line that begins with its path.
    """

    @check_arguments
    def __init__(
        self,
        path: str | os.PathLike[str],
        vocab_size: PositiveInt | None = None,
        max_length: PositiveInt | None = None,
        long_lines: str = "error",
        delimiter: str | None = None,
        text_field: str | None = None,
        ends: bool | None = None,
    ) -> None:
        check_choice("long_lines", long_lines, LONG_LINES)
        file = read_tokens(path, "token", delimiter=delimiter, text_field=text_field)
        end = end_added(file.length_L, max_length) if ends is None else int(ends)
        id_of_word = ids_of(file)
        largest = int(id_of_word.max())
        n_ids = largest + 1 if vocab_size is None else vocab_size - end
        if largest >= n_ids:
            last = f", since {n_ids}, the last, is end-of-sequence" if end else ""
            at = _first(file, int(id_of_word.argmax()))
            raise file.error(
                f"{at} has the id {largest}; ids must be below {n_ids}{last}; raise vocab_size to {largest + 1 + end}"
            )
        file = file.fitting(max_length, long_lines, end=end)
        longest = max_length or int(file.length_L.max()) + end
        if not end and int(file.length_L.min()) < longest:
            raise file.error(f"all lines must have {longest} ids, as no end-of-sequence is added to them")
        spec = SequenceSpec(n_ids + end, longest, n_ids if end else None)
        super().__init__(file.name, file.sha256, spec, id_of_word[file.word_F].astype(np.int32), file.length_L)


def end_added(length_L: Tokens, max_length: int | None = None) -> int:
    """1 where end-of-sequence is added to each line of a file of ids; 0 where all lines have the length of a sequence.

    Args:
        length_L: the number of ids of each line.
        max_length: T; None is that of the longest line.
    """
    longest = int(length_L.max())
    return 0 if int(length_L.min()) == longest and max_length in (None, longest) else 1


def ids_of(file: TokenizedFile) -> Tokens:
    """The id that each distinct word of a file spells.

    Raises:
        ValueError: one is no id; the message names its line.
    """
    return np.array([_id_of(word, number, file) for number, word in enumerate(file.words)], dtype=np.int64)


def _id_of(word: str, number: int, file: TokenizedFile) -> int:
    """The id that a word of a file spells."""
    if not (word.isascii() and word.strip().isdecimal() and len(word) < 20 and int(word) < _MOST):
        at = _first(file, number)
        advice = "; level='token' numbers the tokens that occur" if word.isdecimal() else ""
        if re.fullmatch(r"\d+([^\w.]+\d+)+", word):
            advice = "; delimiter says what stands between two of them"
        raise file.error(f"{at} must hold token ids, whole numbers from 0 to {_MOST - 1}, got {word!r:.40}{advice}")
    return int(word)


def _first(file: TokenizedFile, number: int) -> str:
    """The first line of a word, for an error."""
    return f"line {file.line_of(int(np.argmax(file.word_F == number)))}"
