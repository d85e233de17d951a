"""Where real sequences come from: a random LSTM, a small grammar of English, or any text file."""

from __future__ import annotations

import os
from typing import Any

from seqgan_env.sources.base import KnownSource, Source
from seqgan_env.sources.corpus import Corpus
from seqgan_env.sources.grammar import Grammar
from seqgan_env.sources.oracle import LSTMOracle
from seqgan_env.vocabulary import Vocabulary

__all__ = ["Corpus", "Grammar", "KnownSource", "LSTMOracle", "Source", "build_source"]


def build_source(
    source: str,
    *,
    vocab_size: int | None = None,
    max_length: int | None = None,
    seed: int | None = None,
    level: str | None = None,
    min_count: int | None = None,
    long_lines: str | None = None,
    vocabulary: Vocabulary | None = None,
) -> Source:
    """Make a source from its name or path.

    Args:
        source: ``"oracle"``, ``"grammar"``, the path of an oracle's parameter file (``.pkl``), or that of a text file.
        vocab_size: V; for ``"oracle"``.
        max_length: T; for ``"oracle"``, a parameter file or a text file.
        seed: decides the parameters of ``"oracle"``; the other sources are given, and the same for every seed.
        level: ``"word"`` or ``"char"``; for a text file. None is the level of the vocabulary if one is given.
        min_count: how often a word must occur to be in the vocabulary; for a text file.
        long_lines: ``"error"`` or ``"drop"``; for a text file.
        vocabulary: the vocabulary to encode a text file with, instead of its own.

    None stands for the source's own default.

    Raises:
        ValueError: an argument that the source has no use for, or whatever the source itself refuses.
    """
    given: dict[str, Any] = {
        "vocab_size": vocab_size,
        "max_length": max_length,
        "level": level,
        "min_count": min_count,
        "long_lines": long_lines,
        "vocabulary": vocabulary,
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
    if not os.path.exists(source):
        raise ValueError(
            f"source must be 'oracle', 'grammar' or the path of a text file; there is no file {os.fspath(source)!r}"
        )
    if os.fspath(source).endswith(".pkl"):
        _check_options(options, "an oracle's parameter file", ("max_length",))
        return LSTMOracle.from_file(source, **options)
    _check_options(options, "a text file", ("max_length", "level", "min_count", "long_lines", "vocabulary"))
    if vocabulary is not None:
        options.setdefault("level", vocabulary.level)
    return Corpus(source, **options)


def _check_options(options: dict[str, Any], source: str, usable: tuple[str, ...]) -> None:
    """Refuse an option that would be ignored."""
    for name in options:
        if name not in usable:
            takes = ", ".join(usable) or "no options"
            raise ValueError(f"{source} as a source takes {takes}; it has no use for {name}")
