"""Sources of real sequences: a random LSTM, a small grammar of English, or any file of text or of token ids."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments, check_choice, check_fields
from seqgan_env.sources.base import FactoredSource, KnownSource, Source
from seqgan_env.sources.corpus import Corpus
from seqgan_env.sources.file_pair import FilePair
from seqgan_env.sources.finite import FiniteSource
from seqgan_env.sources.grammar import Grammar
from seqgan_env.sources.id_file import IDS, IdFile
from seqgan_env.sources.oracle import LSTMOracle
from seqgan_env.tokenizing import BPE, LEVELS
from seqgan_env.vocabulary import Vocabulary

__all__ = [
    "NAMED_SOURCES",
    "Corpus",
    "FactoredSource",
    "Grammar",
    "IdFile",
    "KnownSource",
    "LSTMOracle",
    "Source",
    "SourceConfig",
    "build_source",
]

NAMED_SOURCES = ("oracle", "grammar")
"""The sources that have a name; others are files."""

_OF_A_FILE = ("long_lines", "delimiter", "text_field", "held_out")
"""The options of every file that holds one sequence a line."""
_OF_IDS = ("vocab_size", "max_length", "level")
_OF_TEXT = ("max_length", "level", "normalization", "min_count", "vocabulary")


@dataclass(frozen=True)
class SourceConfig:
    """A source of real sequences in plain values, and how many are drawn from it.

    Args:
        source: ``"oracle"`` (the synthetic LSTM), ``"grammar"`` (embedded English sentences), the path of an oracle's
            parameters (``.pkl``), or that of a text file with one sequence a line: plain text, objects of JSON
            (``.jsonl``), or either of them compressed (``.gz``, ``.bz2``, ``.xz``).
        vocab_size: V of the oracle, of a file of ids, or at most of a text file at level ``"bpe"``; None is the
            oracle's default, 5000, what the ids need, or 1,000 of byte-pair encoding.
        max_length: T; None is the source's default (20 for the oracle, the longest line for a text file).
        source_seed: the oracle's parameters, and which real sequences are drawn.
        level: ``"word"``, ``"char"``, ``"token"`` (split at white space alone, joined by single spaces), ``"bpe"``
            (pieces of words by byte-pair encoding, learnt from the text; needs the extra ``bpe``) or ``"ids"`` (whole
            numbers; where lines differ in length the last id of V is the end), for a text file; None is ``"word"``.
        delimiter: what stands between two tokens of a text file at level ``"token"`` or ``"ids"``; None is white space.
        text_field: the field of each line of JSON that holds its text, or a list of its tokens; None is ``"text"``.
        normalization: the normal form of Unicode that a text file is brought to: ``"none"``, ``"NFC"`` (one spelling of
            equal characters) or ``"NFKC"`` (of similar ones too); None is ``"NFC"``.
        min_count: a text file's words rarer than this, or at the levels ``"char"`` and ``"bpe"`` its characters, become
            the unknown token; None is 1.
        long_lines: ``"error"`` or ``"drop"``, for a text file's lines longer than T; None is ``"error"``.
        held_out: the path of a second file, of the same form, whose lines are held out; None holds out at most a fifth
            of the one file.
        n_real: size of the training set of real sequences, of a file at most what it has.
        n_held_out: size of the held-out set, likewise.

    Raises:
        ValueError: a value of another type, or a number out of range.
    """

    source: str = "oracle"
    vocab_size: PositiveInt | None = None
    max_length: PositiveInt | None = None
    source_seed: NonNegativeInt = 0
    level: str | None = None
    delimiter: str | None = None
    text_field: str | None = None
    normalization: str | None = None
    min_count: PositiveInt | None = None
    long_lines: str | None = None
    held_out: str | None = None
    n_real: PositiveInt = 10_000
    n_held_out: PositiveInt = 5_000

    def __post_init__(self) -> None:
        check_fields(self, may_lack=("source",))  # which the id for text files leaves to its user

    @property
    def source_config(self) -> SourceConfig:
        """The fields of this class alone, of one that has more."""
        return SourceConfig(**{each.name: getattr(self, each.name) for each in fields(SourceConfig)})

    def build_source(self, vocabulary: Vocabulary | None = None) -> Source:
        """The source of real sequences.

        Args:
            vocabulary: the one that byte-pair encoding has learnt of this very text; None learns it.

        Raises:
            ValueError: the source does not exist, or cannot be what is asked.
        """
        learns = vocabulary is None
        return build_source(
            self.source,
            vocab_size=self.vocab_size if learns else None,
            max_length=self.max_length,
            seed=self.source_seed,
            level=self.level,
            delimiter=self.delimiter,
            text_field=self.text_field,
            normalization=self.normalization,
            min_count=self.min_count if learns else None,
            long_lines=self.long_lines,
            vocabulary=vocabulary,
            held_out=self.held_out,
        )


@check_arguments
def build_source(
    source: Any,
    *,
    vocab_size: PositiveInt | None = None,
    max_length: PositiveInt | None = None,
    seed: NonNegativeInt | None = None,
    level: str | None = None,
    delimiter: str | None = None,
    text_field: str | None = None,
    normalization: str | None = None,
    min_count: PositiveInt | None = None,
    long_lines: str | None = None,
    vocabulary: Vocabulary | None = None,
    held_out: str | os.PathLike[str] | None = None,
) -> Source:
    """Make a source from its name or path.

    Args:
        source: ``"oracle"``, ``"grammar"``, the path of an oracle's parameter file (``.pkl``), or that of a text file.
        vocab_size: V; for ``"oracle"``, a file of ids or, at most, a text file at level ``"bpe"``.
        max_length: T; for ``"oracle"``, a parameter file or a text file.
        seed: decides the parameters of ``"oracle"``; the other sources are given, and the same for every seed.
        level: ``"word"``, ``"char"``, ``"token"``, ``"bpe"`` or ``"ids"``; for a text file. None is the level of the
            vocabulary if one is given.
        delimiter: what stands between two tokens; for a text file at level ``"token"`` or ``"ids"``. None is that of
            the vocabulary if one is given.
        text_field: the field that holds a text; for a file of lines of JSON.
        normalization: ``"none"``, ``"NFC"`` or ``"NFKC"``; for a text file. None is that of the vocabulary if one is
            given.
        min_count: how often a word must occur to be in the vocabulary; for a text file.
        long_lines: ``"error"`` or ``"drop"``; for a text file.
        vocabulary: the vocabulary to encode a text file with, instead of its own.
        held_out: a second file, read as the first one is and with its vocabulary and T, whose lines are held out.

    None stands for the source's own default.

    Raises:
        ValueError: an argument that the source has no use for, or whatever the source itself refuses.
    """
    given: dict[str, Any] = {
        "vocab_size": vocab_size,
        "max_length": max_length,
        "level": level,
        "delimiter": delimiter,
        "text_field": text_field,
        "normalization": normalization,
        "min_count": min_count,
        "long_lines": long_lines,
        "vocabulary": vocabulary,
        "held_out": held_out,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"source must be 'oracle', 'grammar' or the path of a text file, not {source!r}: pass source='my.txt'"
        )
    if source == "grammar":
        _check_options(options, "the grammar", ())
        return Grammar()
    if source == "oracle":
        _check_options(options, "the oracle", ("vocab_size", "max_length"))
        return LSTMOracle(**options) if seed is None else LSTMOracle(**options, seed=seed)
    for name, path in (("source", source), ("held_out", held_out)):
        if path is not None and not os.path.exists(path):
            named = "'oracle', 'grammar' or " if name == "source" else ""
            raise ValueError(f"{name} must be {named}the path of a text file; there is no file {os.fspath(path)!r}")
    if os.fspath(source).endswith(".pkl"):
        _check_options(options, "an oracle's parameter file", ("max_length",))
        return LSTMOracle.from_file(source, **options)
    check_choice("level", level, (None, *LEVELS, IDS))
    own = _OF_IDS if level == IDS else _OF_TEXT if level != BPE else (*_OF_TEXT, "vocab_size")
    _check_options(options, "a file of ids" if level == IDS else "a text file", (*own, *_OF_A_FILE))
    for name in ("held_out", *(["level"] if level == IDS else [])):
        options.pop(name, None)
    return _of_files(IdFile if level == IDS else _text, source, held_out, options)


def _of_files(
    read: Callable[..., FiniteSource], path: Any, held_out: str | os.PathLike[str] | None, options: dict[str, Any]
) -> Source:
    """A file, or a pair of them, of which the second has the vocabulary and the T of the first."""
    train = read(path, **options)
    if held_out is None:
        return train
    options |= {"max_length": train.spec.max_length}
    if train.vocabulary is None:
        options |= {"vocab_size": train.spec.vocab_size, "ends": train.spec.eos_id is not None}
    else:
        options["vocabulary"] = train.vocabulary
        for name in ("min_count", "vocab_size"):
            options.pop(name, None)
    return FilePair(train, read(held_out, **options))


def _text(path: str | os.PathLike[str], vocabulary: Vocabulary | None = None, **options: Any) -> Corpus:
    """A text file, read as its vocabulary was."""
    if vocabulary is not None:
        options = {name: getattr(vocabulary, name) for name in ("level", "normalization", "delimiter")} | options
    return Corpus(path, vocabulary=vocabulary, **options)


def _check_options(options: dict[str, Any], source: str, usable: tuple[str, ...]) -> None:
    """Refuse an option that would be ignored."""
    for name in options:
        if name not in usable:
            takes = ", ".join(usable) or "no options"
            raise ValueError(f"{source} as a source takes {takes}; it has no use for {name}")
