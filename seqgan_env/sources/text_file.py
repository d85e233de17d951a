"""Files of text: one sequence a line, plain or as JSON, compressed or not; and the tokens of the lines, by number.

The suffix, in either case, says the form: ``.jsonl`` for lines of JSON, with ``.gz``, ``.bz2`` or ``.xz`` after it, or
after any other name, for a compressed file.

Suffixes: L lines of the file that have a token; F the flat array of all tokens, one line after the other; W distinct
tokens; P pieces of these.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import PositiveInt, shown
from seqgan_env.files import COMPRESSED, File, decompressed, parse_json, read_bytes
from seqgan_env.tokenizing import check_cutting, tokenize
from seqgan_env.tokens import Tokens

LONG_LINES = ("error", "drop")
"""The ways to treat a line that does not fit."""
TEXT_FIELD = "text"
"""The field of a line of JSON that holds its text, where none is named."""

_OTHER_KINDS = {
    b"\x1f\x8b": "a file compressed by gzip; decompress it first, or let its name end in .gz",
    b"BZh": "a file compressed by bzip2; decompress it first, or let its name end in .bz2",
    b"\xfd7zXZ\0": "a file compressed by xz; decompress it first, or let its name end in .xz",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd; decompress it first",
    b"PK\x03\x04": "a zip file; unpack it first",
    b"%PDF": "a PDF file",
    b"\xff\xfe": "text in UTF-16 or UTF-32; convert it first",
    b"\xfe\xff": "text in UTF-16; convert it first",
    b"\0\0\xfe\xff": "text in UTF-32; convert it first",
}
"""The kinds of file that are taken for text, by their first bytes."""

_N_FIELDS = 8  # of a line of JSON, that an error lists
_LONGEST = 10_000  # tokens: longer than this is a file without line breaks

Lines = Iterable[tuple[int, str | list[str]]]
"""The lines of a text, or their tokens, with their numbers in the file, from 1."""


@dataclass(frozen=True)
class TokenizedFile:
    """The tokens of a file, numbered in the order in which they are met; lines without a token are left out."""

    name: str
    """The file's path."""
    sha256: str
    """Of its content, which is the same for a compressed file and a plain one."""
    words: list[str]
    """The distinct tokens by number."""
    word_F: npt.NDArray[np.int32]
    """The number of each token, one line after the other."""
    length_L: Tokens
    """The number of tokens of each line."""
    line_L: Tokens
    """The number of each line in the file, from 1."""

    @property
    def counts(self) -> Tokens:
        """The number of times that each of ``words`` occurs."""
        return np.bincount(self.word_F, minlength=len(self.words))

    def error(self, message: str) -> ValueError:
        """An error that begins with the file's path."""
        return ValueError(f"{self.name}: {message}")

    def cut(self, pieces: Callable[[str], list[str]]) -> TokenizedFile:
        """The same lines with each token in pieces.

        Args:
            pieces: gives those of a token, at least one.
        """
        numbers = _Numbers()
        of_word = [[numbers[piece] for piece in pieces(word)] for word in self.words]
        n_W = np.array([len(part) for part in of_word], np.int64)
        n_F = n_W[self.word_F]
        end_F = np.cumsum(n_F)
        # where the pieces of each token begin among those of all words, less where they will stand
        shift_F = (np.cumsum(n_W) - n_W)[self.word_F] - (end_F - n_F)
        number_P = np.array([number for part in of_word for number in part], np.int32)
        word_F = number_P[np.repeat(shift_F, n_F) + np.arange(n_F.sum())]
        length_L = np.diff(end_F[np.cumsum(self.length_L) - 1], prepend=0)
        return TokenizedFile(self.name, self.sha256, list(numbers), word_F, length_L, self.line_L)

    def line_of(self, at: int) -> int:
        """The number, in the file, of the line that holds a token.

        Args:
            at: the token's place in ``word_F``.
        """
        return int(self.line_L[np.searchsorted(np.cumsum(self.length_L), at, side="right")])

    def fitting(self, max_length: PositiveInt | None, long_lines: str, *, end: int = 1) -> TokenizedFile:
        """The lines that fit into ``max_length``.

        Args:
            max_length: T; None fits all lines, unless one is as long as a whole file.
            long_lines: one of ``LONG_LINES``.
            end: 1 where end-of-sequence is added to each line and counts, else 0.

        Raises:
            ValueError: lines do not fit, and are not to be dropped; or none is left.
        """
        longest = int(self.length_L.max())
        if max_length is None:
            if longest > _LONGEST:
                raise self.error(
                    f"line {self.line_L[self.length_L.argmax()]} has {longest} tokens, and all sequences would be as "
                    "long; give max_length, and drop longer lines with long_lines='drop'"
                )
            return self
        kept_L = self.length_L + end <= max_length
        n_long = int((~kept_L).sum())
        than = f"longer than max_length = {max_length}{' (end-of-sequence included)' if end else ''}"
        if n_long and long_lines == "error":
            first = int(np.argmin(kept_L))
            raise self.error(
                f"{n_long} of {len(kept_L)} lines are {than}, the first is line {self.line_L[first]} with "
                f"{self.length_L[first] + end}; raise max_length to {longest + end}, or drop them with "
                "long_lines='drop'"
            )
        if not kept_L.any():
            raise self.error(f"all {n_long} lines are {than} and dropped; raise max_length, up to {longest + end}")
        word_F = self.word_F[np.repeat(kept_L, self.length_L)]
        return TokenizedFile(self.name, self.sha256, self.words, word_F, self.length_L[kept_L], self.line_L[kept_L])


def read_tokens(
    file: File, level: str, normalization: str = "NFC", delimiter: str | None = None, text_field: str | None = None
) -> TokenizedFile:
    """Read a file and cut its lines into tokens.

    Args:
        file: its path, or a stream of plain text.
        level: see ``seqgan_env.tokenizing``.
        normalization: the same.
        delimiter: the same.
        text_field: the field of each line of JSON that holds the text, or at level ``"token"`` a list of tokens; None
            is ``TEXT_FIELD``. A stream has lines of JSON where it is given.

    Raises:
        ValueError: the file cannot be read, is not what its name says, or is empty; in one line that begins with its
            path.
    """
    check_cutting(level, normalization, delimiter)
    name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "the stream"
    try:
        content, read = _content(file, name, text_field, lists=level == "token")
        numbers = _Numbers()
        number_of = numbers.__getitem__
        flat, lengths, at = array("i"), array("q"), array("q")
        for number, line in read(_decoded(content)):
            tokens = tokenize(line, level, normalization, delimiter) if isinstance(line, str) and line.strip() else []
            for each in () if isinstance(line, str) else line:
                if len(one := tokenize(each, level, normalization, delimiter)) != 1:
                    raise ValueError(f"line {number} must have a list of single tokens, got {each!r:.40} in it")
                tokens += one
            if tokens:
                flat.extend(map(number_of, tokens))
                lengths.append(len(tokens))
                at.append(number)
        if not at:
            raise ValueError("the corpus must hold at least one line that is not blank, it is empty")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    arrays = np.array(flat, np.int32), np.array(lengths, np.int64), np.array(at, np.int64)
    return TokenizedFile(name, sha256, list(numbers), *arrays)


def has_json_lines(name: str) -> bool:
    """Whether a file has lines of JSON, by its name."""
    path = PurePath(name.lower())
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix == ".jsonl"


def read_lines(file: File, text_field: str | None = None) -> list[str]:
    """The lines of a file of text that are not blank, as they stand there; tokens of a list with spaces between them.

    Args:
        file: its path, or a stream of plain text.
        text_field: see ``read_tokens``.

    Raises:
        ValueError: as ``read_tokens`` raises.
    """
    name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "the stream"
    try:
        content, read = _content(file, name, text_field, lists=True)
        texts = (line if isinstance(line, str) else " ".join(line) for _, line in read(_decoded(content)))
        lines = [text.strip() for text in texts if text.strip()]
        if not lines:
            raise ValueError("it must hold at least one line that is not blank, it is empty")
        return lines
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _content(file: File, name: str, text_field: str | None, *, lists: bool) -> tuple[bytes, Callable[[str], Lines]]:
    """A file's bytes, decompressed, and the reader of its lines; see ``_texts_of_json``."""
    try:
        content = read_bytes(file)
        suffix = PurePath(name.lower()).suffix
        if suffix in COMPRESSED:
            content = decompressed(content, suffix)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, no file on a disk, or a damaged one
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"the corpus must be a text file that can be read: {reason}") from error
    if has_json_lines(name) or (text_field is not None and not isinstance(file, (str, os.PathLike))):
        return content, lambda text: _texts_of_json(text, TEXT_FIELD if text_field is None else text_field, lists)
    if text_field is not None:
        raise ValueError("text_field is of lines of JSON, in a file whose name ends in .jsonl, .jsonl.gz or the like")
    return content, _lines


def _decoded(content: bytes) -> str:
    """The text of a file's bytes."""
    try:
        text = content.decode("utf-8")
        if "\0" in text:
            at = content.index(0)
            raise ValueError(f"the corpus must be UTF-8 text, got a NUL byte at offset {at}, as in other files")
    except ValueError as error:
        for start, kind in _OTHER_KINDS.items():
            if content.startswith(start):
                raise ValueError(f"the corpus must be UTF-8 text, got {kind}") from error
        if isinstance(error, UnicodeDecodeError):
            reason = f"byte {error.start} is not: {error.reason}"
            raise ValueError(f"the corpus must be UTF-8 text, {reason}") from error
        raise
    return text.removeprefix("\ufeff")


def _lines(text: str) -> Iterable[tuple[int, str]]:
    return enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)


def _texts_of_json(text: str, field: str, lists: bool) -> Iterator[tuple[int, str | list[str]]]:
    """The texts in a field of lines of JSON, or lists of tokens; line breaks in a text read as spaces."""
    for number, line in _lines(text):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
            if not isinstance(values, dict):
                raise ValueError(f"got {shown(values)}")
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise ValueError(f"line {number} must be an object of JSON: {reason}") from error
        if field not in values:
            found = ", ".join(map(shown, [*values][:_N_FIELDS])) or "no field"
            found += ", ..." if len(values) > _N_FIELDS else ""
            raise ValueError(f"line {number} has no field {field!r}; it has {found}; text_field names another")
        found = values[field]
        if lists and isinstance(found, list):
            yield number, [_text(each, f"line {number}", field, of_list=True) for each in found]
        else:
            yield number, _text(found, f"line {number}", field)


def _text(value: Any, line: str, field: str, *, of_list: bool = False) -> str:
    """A text of JSON, in a line, or a token of a list."""
    if isinstance(value, bool) or not isinstance(value, (str, int) if of_list else str):
        what = "only texts and whole numbers in the list of" if of_list else "a text in"
        advice = "; a list of tokens needs level='token' or level='ids'" if isinstance(value, list) else ""
        raise ValueError(f"{line} must have {what} its field {field!r}, got {shown(value)}{advice}")
    try:
        (text := str(value)).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{line} must have valid Unicode in its field {field!r}: {error.reason}") from error
    return " ".join(text.replace("\r", "\n").split("\n"))


class _Numbers(dict[str, int]):
    """Gives each new key the next number."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number
