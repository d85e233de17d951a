"""A look at a text before it is trained on: its lines and tokens in numbers, and what would go wrong.

Suffixes: L lines that have a token; F the flat array of all tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.files import printable
from seqgan_env.sources import NAMED_SOURCES, SourceConfig
from seqgan_env.sources.corpus import vocabulary_of
from seqgan_env.sources.finite import lines_of, same_lines
from seqgan_env.sources.id_file import IDS, end_added, ids_of
from seqgan_env.sources.text_file import TokenizedFile, has_json_lines, read_tokens
from seqgan_env.tokenizing import BPE, LEVELS, counted_unit
from seqgan_env.vocabulary import EOS

MIN_COUNTS = (1, 2, 3, 5, 10)
"""The values of ``min_count`` that are compared."""
COVERED = 0.98
"""The share of the tokens that the suggested vocabulary covers at least."""
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99, "max": 1.0}
"""Of the lengths of lines."""

_Warning = tuple[str, bool]
"""A sentence, and whether training is refused for it."""
_N_SHOWN = {"most_frequent": 12, "preview": 3}
_FEW = 1000  # lines
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""A character of a script that has no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_JSON = ('{"', '["', '[{"')  # the beginnings of objects and lists
_TAIL = 1.5  # the longest line is an exception where it is so many times as long as nearly all others


@check_arguments
def inspect_text(
    file: Any,
    *,
    level: str = "word",
    delimiter: str | None = None,
    text_field: str | None = None,
    normalization: str = "NFC",
    max_length: PositiveInt | None = None,
    min_count: PositiveInt = 1,
    vocab_size: PositiveInt | None = None,
    held_out: str | None = None,
) -> dict[str, Any]:
    """Describe a file of text as a source reads it, in plain values; the arguments are those of ``SourceConfig``.

    Args:
        file: its path, or a stream of plain text or, where ``text_field`` is given, of lines of JSON.
        level: the level at which it is cut into tokens, ``"ids"`` too.
        delimiter: what stands between two tokens.
        text_field: the field of lines of JSON that holds the text, or a list of tokens.
        normalization: the normal form of Unicode.
        max_length: T to warn about; None is that of the longest line.
        min_count: the least count to warn about, and below which a held-out word is unknown.
        vocab_size: V at level ``"bpe"``, with whose merges the lines are cut.
        held_out: the file of held-out text, None where there is none.

    Returns:
        ``lines`` and ``distinct_lines``; ``tokens`` and ``distinct_tokens``; ``lengths`` of lines in tokens, without
        end-of-sequence; ``end``, 1 where that is added to each line, else 0; ``coverage``, a row for each of
        ``MIN_COUNTS``, at level ``"bpe"`` of characters; ``most_frequent`` tokens and their counts; ``preview``, the
        tokens of the first lines; ``suggested`` settings, with which the file can be trained on; ``warnings``, a
        sentence each; ``refused``, those of them for which training with these settings is refused; and ``held_out``,
        of the other file its ``lines``, those ``in_both``, and ``unknown``, the share
        of its tokens, at level ``"bpe"`` of its characters: None without one.

    Raises:
        ValueError: a wrong argument, or a file that cannot be read or is empty.
    """
    check_choice("level", level, (*LEVELS, IDS))
    if vocab_size is not None and level != BPE:
        raise ValueError(f"vocab_size needs level='bpe', got level {level!r}")
    cut = "token" if level == IDS else level, normalization, delimiter, text_field
    text = read_tokens(file, *cut)
    other = None if held_out is None else read_tokens(held_out, *cut)
    counted, other_counted = text, other  # whose tokens have a least count
    of_pieces = {}
    if level == BPE:
        of_pieces = {"min_count": min_count} | ({} if vocab_size is None else {"vocab_size": vocab_size})
        pieces = vocabulary_of(text, level, min_count, normalization, delimiter, vocab_size).pieces
        counted, text = text.cut(list), text.cut(pieces)
        if other is not None:
            other_counted, other = other.cut(list), other.cut(pieces)
    count_W, length_L = text.counts, text.length_L
    coverage = [_kept(counted, least) for least in MIN_COUNTS]
    most_W = np.argsort(-count_W, kind="stable")[: _N_SHOWN["most_frequent"]]
    lengths = {name: int(np.quantile(length_L, q, method="higher")) for name, q in QUANTILES.items()}
    end = end_added(length_L, max_length) if level == IDS else 1
    n_distinct = int(same_lines(text.word_F, length_L).max()) + 1
    unknown = 0.0 if level == IDS else 1 - _kept(counted, min_count)["share_of_tokens"]
    found, longest = list(_warnings(text, level, n_distinct, max_length, end, min_count, unknown)), lengths["max"]
    compared = None
    if other is not None and other_counted is not None:
        compared, longest = _compared(counted, other_counted, min_count), max(longest, int(other.length_L.max()))
        found += _warnings_of_held_out(text, other, level, compared, max_length or lengths["max"] + end, end)
    end_of_both = end_added(length_L, longest) if level == IDS else 1
    return {
        "file": text.name,
        "sha256": text.sha256,
        "level": level,
        "lines": len(length_L),
        "distinct_lines": n_distinct,
        "tokens": len(text.word_F),
        "distinct_tokens": len(text.words),
        "lengths": {**lengths, "mean": float(length_L.mean())},
        "coverage": coverage,
        "most_frequent": [[text.words[word], int(count_W[word])] for word in most_W],
        "preview": _preview(text),
        "end": end,
        "suggested": _suggested(level, {**lengths, "max": longest}, end_of_both, coverage) | of_pieces,
        "warnings": [warning for warning, _ in found],
        "refused": [warning for warning, is_refused in found if is_refused],
        "held_out": compared,
    }


def _kept(text: TokenizedFile, min_count: int) -> dict[str, Any]:
    """The tokens that occur often enough, and the shares of all tokens and lines that they make up."""
    count_W, length_L = text.counts, text.length_L
    rarest_L = np.minimum.reduceat(count_W[text.word_F], np.cumsum(length_L) - length_L)
    return {
        "min_count": min_count,
        "tokens_kept": int((count_W >= min_count).sum()),
        "share_of_tokens": float(count_W[count_W >= min_count].sum() / count_W.sum()),
        "share_of_lines": float((rarest_L >= min_count).mean()),
    }


def _compared(text: TokenizedFile, other: TokenizedFile, min_count: int) -> dict[str, Any]:
    """The lines and tokens that a file of held-out text shares with the one to train on."""
    number_of = {word: number for number, word in enumerate(text.words)}
    word_F = np.array([number_of.get(word, -1) for word in other.words], dtype=np.int32)[other.word_F]
    own = set(lines_of(text.word_F, text.length_L))
    return {
        "file": other.name,
        "sha256": other.sha256,
        "lines": len(other.length_L),
        "in_both": sum(line in own for line in lines_of(word_F, other.length_L)),
        "unknown": float((np.append(text.counts, 0)[word_F] < min_count).mean()),  # one that is not there has number -1
    }


def _warnings_of_held_out(
    text: TokenizedFile, other: TokenizedFile, level: str, compared: dict[str, Any], max_length: int, end: int
) -> Iterator[_Warning]:
    """Each thing for which training would refuse a file of held-out text, or that would spoil what it measures."""
    for refusal in (refusals := list(_refusals(other, level, max_length, end))):
        yield f"the held-out file: {refusal}", True
    if level == IDS and not refusals:
        if not end and int(other.length_L.min()) < max_length:
            yield f"the held-out file: all lines must have {max_length} ids, as those of the text have", True
        if (largest := int(ids_of(other).max())) > int(ids_of(text).max()):
            yield f"the held-out file: it has the id {largest}; vocab_size must be at least {largest + 1 + end}", True
    if compared["lines"] < 2:
        yield "one held-out line is too few: half of them choose, the other half reports", True
    if compared["in_both"]:
        of_all = f"{compared['in_both']} of {compared['lines']} held-out lines"
        yield f"{of_all} stand in the text too, and are not trained on", False
    if compared["unknown"] > 1 - COVERED and level != IDS:
        yield f"{compared['unknown']:.0%} of the held-out {counted_unit(level)}s are unknown", False


def _refusals(file: TokenizedFile, level: str, max_length: int | None, end: int) -> Iterator[str]:
    """The reason for which a source would refuse a file, if there is one."""
    try:
        file.fitting(max_length, "error", end=end)
        if level == IDS:
            ids_of(file)
        elif EOS in file.words:
            yield f"the token {EOS!r} stands in it, which is refused: the end is added to each line"
    except ValueError as error:
        yield str(error).removeprefix(f"{file.name}: ")


def _suggested(level: str, lengths: dict[str, int], end: int, coverage: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings that suit a text: T, the treatment of a few exceptionally long lines, the least count of a word."""
    has_tail = lengths["max"] > _TAIL * lengths["q99"]
    suggested: dict[str, Any] = {"max_length": lengths["q99" if has_tail else "max"] + end}
    if has_tail:
        suggested["long_lines"] = "drop"
    if level in ("word", "token"):
        fewest = min(row["tokens_kept"] for row in coverage if row["share_of_tokens"] >= COVERED)
        suggested["min_count"] = next(row["min_count"] for row in coverage if row["tokens_kept"] == fewest)
    elif level == "char":
        suggested["min_count"] = 1
    return suggested


def _preview(text: TokenizedFile) -> list[list[str]]:
    end_L = np.cumsum(text.length_L[: _N_SHOWN["preview"]])
    return [[text.words[i] for i in line] for line in np.split(text.word_F[: end_L[-1]], end_L[:-1])]


def _warnings(
    text: TokenizedFile,
    level: str,
    n_distinct: int,
    max_length: int | None,
    end: int,
    min_count: int,
    unknown: float,
) -> Iterator[_Warning]:
    """Each thing that training would refuse, or that would spoil it, in a sentence."""
    n_lines = len(text.length_L)
    if n_distinct < 2:
        what = "there is one line" if n_lines == 1 else f"all {n_lines} lines are equal"
        yield f"{what}; training needs at least 2 distinct lines, one of them to hold out", True
    elif n_lines < _FEW:
        yield f"{n_lines} lines are few; a discriminator soon knows them by heart", False
    if 2 <= n_distinct < n_lines / 2:
        yield f"{n_lines - n_distinct} of {n_lines} lines repeat another one", False
    refusals = list(_refusals(text, level, max_length, end))
    yield from ((refusal, True) for refusal in refusals)
    if level == IDS and not refusals:
        ids = set(ids_of(text).tolist())
        if len(ids) <= max(ids) / 2:
            yield f"{len(ids)} ids occur of the {max(ids) + 1} up to the largest, which all count towards V", False
    if unknown == 1:
        yield f"every {counted_unit(level)} occurs less than min_count = {min_count} times, and nothing is left", True
    elif unknown > 1 - COVERED:
        yield f"with min_count = {min_count}, {unknown:.0%} of the {counted_unit(level)}s become unknown", False
    is_one_word = text.length_L.mean() < 2 and np.mean([len(word) for word in text.words]) > 8
    if level == "word" and (is_one_word or _is_unspaced(text)):
        yield "words are long; level='char' suits text that is written without spaces, as this seems to be", False
    if level == "token" and is_one_word:
        yield "lines have hardly more than one token; delimiter says what stands between two of them", False
    if "".join(_preview(text)[0]).startswith(_JSON) and not has_json_lines(text.name):
        how = "from a file whose name ends in .jsonl, or from standard input with text_field"
        yield f"it looks like JSON; an object a line is read as such {how}", False


def _is_unspaced(text: TokenizedFile) -> bool:
    """Whether most of a text is in a script without spaces and not cut into words: hardly one then comes twice."""
    of_script = [number for number, word in enumerate(text.words) if _UNSPACED.search(word)]
    n_characters = sum(len(text.words[number]) for number in of_script)
    return (
        n_characters > sum(map(len, text.words)) / 2
        and n_characters > 2 * len(of_script)
        and len(of_script) > 0.9 * text.counts[of_script].sum()
    )


def warnings_about(source: SourceConfig) -> list[str]:
    """The ``warnings`` of ``inspect_text`` about the text of a source that is not refused; none where it is no text."""
    if source.source in NAMED_SOURCES or source.source.endswith(".pkl"):
        return []
    names = ["level", "delimiter", "text_field", "normalization", "max_length", "min_count", "held_out"]
    names += ["vocab_size"] if source.level == BPE else []
    given = {name: value for name in names if (value := getattr(source, name)) is not None}
    found = inspect_text(source.source, **given)
    return [warning for warning in found["warnings"] if warning not in found["refused"]]


def inspection_text(found: dict[str, Any]) -> str:
    """A description of ``inspect_text`` as lines for a terminal."""
    lengths = ", ".join(f"{name} {found['lengths'][name]:,}" for name in QUANTILES)
    end = " (--max-length counts one more, the end)" if found["end"] else ""
    unit = counted_unit(found["level"])
    coverage = [
        f"  {row['min_count']:>9}  {row['tokens_kept']:>{len(unit) + 6},}  {row['share_of_tokens']:>{len(unit) + 4}.2%}"
        f"  {row['share_of_lines']:>8.2%}"
        for row in found["coverage"]
    ]
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in found["suggested"].items())
    held_out = []
    if (other := found["held_out"]) is not None:
        of_both = f"{other['lines']:,} lines, {other['in_both']:,} of them in both"
        held_out = [f"held out   {other['file']}: {of_both}, {other['unknown']:.2%} of their {unit}s unknown"]
    return printable(
        "\n".join(
            [
                f"{found['file']}, by level {found['level']}",
                f"lines      {found['lines']:,}, {found['distinct_lines']:,} of them distinct",
                f"tokens     {found['tokens']:,}, {found['distinct_tokens']:,} of them distinct",
                f"lengths    {lengths}, mean {found['lengths']['mean']:,.2f}{end}",
                f"coverage   min-count  {unit}s kept  of {unit}s  of lines",
                *(f"         {row}" for row in coverage),
                "frequent   " + ", ".join(f"{word!r} {count:,}" for word, count in found["most_frequent"]),
                *(f"line {n}     {' | '.join(words)}"[:300] for n, words in enumerate(found["preview"], start=1)),
                *held_out,
                f"suggested  {flags}",
                *(f"{'refused' if one in found['refused'] else 'warning'}    {one}" for one in found["warnings"]),
            ]
        )
    )
