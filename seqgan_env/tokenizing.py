"""Cutting text into tokens, by words, by characters, at white space alone, or into the words of byte-pair encoding.

At ``"word"`` a token is a word, with its inner apostrophes and hyphens, an emoji with all its parts, or one other mark;
what is not visible is no token. At ``"char"`` it is one character. At ``"token"`` it is whatever stands between white
space, or between delimiters of the user's own, as in a text that was cut into tokens before. At ``"bpe"`` the merges
of a vocabulary cut a token into pieces, which is here a run of letters or of marks with the white space before it.
The unknown token reads back as itself.

Two spellings of one character are one at each level (Unicode normal form C), and a byte order mark, which also stands
where files were joined, is left out.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Literal, cast

from seqgan_env.checks import check_choice

UNK = "<unk>"
"""The unknown token at word and token level."""
UNK_CHAR = "\ufffd"
"""The unknown token at character level, and of byte-pair encoding."""
BPE = "bpe"
"""The level of byte-pair encoding."""
LEVELS = ("word", "char", "token", BPE)
SPACED = ("char", BPE)
"""The levels whose tokens hold the white space of a text, so that they are written side by side."""
NORMALIZATIONS = ("none", "NFC", "NFKC")
"""The normal forms of Unicode: NFC makes one spelling of equal characters, NFKC also of those that differ in form only,
such as a ligature and its letters."""

_BYTE_ORDER_MARK = "\ufeff"
_INNER = "'\\-\u2019\u2010\u2011"
"""The marks that may stand inside a word: apostrophes and hyphens."""
_CONTROLS = "\x00-\x1f\x7f-\x9f"
_PLAIN_WORDS = re.compile(f"{UNK}|\\w+(?:[{_INNER}]\\w+)*|[^\\w\\s{_CONTROLS}]")

# Characters that are not visible themselves (Unicode's Default_Ignorable_Code_Point); the first may end a line or
# direct it and say nothing, the others change or join what stands beside them.
_HIDDEN = "\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a"
_ZERO_WIDTH_SPACE, _JOINERS = "\u200b", "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0020-\U000e007f"
_SKIN = "\U0001f3fb-\U0001f3ff"
_REGIONS = "\U0001f1e6-\U0001f1ff"
_EMOJI = "\u2190-\u21ff\u2600-\u2767\u2794-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
"""Symbols that others may be joined to; no brackets are among them, which are written without a space."""
_MARKS = "!-/:-@\\[-`{-~\xa1-\xbf\u2010-\u2027\u2030-\u205e\u3001-\u303f\uff01-\uff0f"
"""Punctuation, which no piece holds together with letters."""
# At most 32 characters, since the time that the merges of a word take grows with the square of its length.
_PIECES = re.compile(f"\\s?(?:[^\\s{_MARKS}]{{1,31}}|[{_MARKS}]{{1,31}})|\\s")


@functools.cache
def _all_words() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    r"""The patterns of a hidden character, of one that a plain pattern would not treat well, and of one token.

    Python's ``\w`` leaves combining marks out, which would cut a word of Hindi or of decomposed Latin into pieces. The
    joiners go with them, where they stand between two letters or after a mark. The last pattern takes five times as
    long as the plain one.
    """
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    marks += "\U000e0100-\U000e01ef"
    letter = f"[\\w{marks}]"
    part = f"(?![{_SELECTORS}]){letter}(?:{letter}|[{_JOINERS}]+(?={letter})|(?<=[{marks}])[{_JOINERS}])*"
    emoji = f"[{_EMOJI}][{_SELECTORS}{_TAGS}{_SKIN}]*"
    unseen = f"{_CONTROLS}{_ZERO_WIDTH_SPACE}{_JOINERS}{_SELECTORS}{_TAGS}"
    token = (
        f"{UNK}|{part}(?:[{_INNER}]{part})*|[{_REGIONS}]{{2}}|{emoji}(?:\u200d{emoji})*"
        f"|[^\\w\\s{unseen}](?:[{_SELECTORS}]+\u20e3?)?"
    )
    special = f"[{marks}{_ZERO_WIDTH_SPACE}{_JOINERS}{_SELECTORS}{_TAGS}{_SKIN}{_REGIONS}]"
    return re.compile(f"[{_HIDDEN}]"), re.compile(special), re.compile(token)


def check_cutting(level: str, normalization: str, delimiter: str | None = None) -> None:
    """Refuse what no text can be cut into tokens by.

    Raises:
        ValueError: an unknown level or normal form, or a delimiter that is empty, breaks lines, or stands beside
            another level than ``"token"``.
    """
    check_choice("level", level, LEVELS)
    check_choice("normalization", normalization, NORMALIZATIONS)
    if delimiter is None:
        return
    if level != "token":
        raise ValueError(f"a delimiter needs level='token', got level {level!r}")
    if not delimiter or set(delimiter) & set("\r\n"):
        raise ValueError(f"delimiter must be a text of one character or more, without line breaks, got {delimiter!r}")


def clean(text: str, level: str, normalization: str = "NFC") -> str:
    """A text without byte order marks, in a normal form; at word level without any hidden character.

    Args:
        text: one line.
        level: one of ``LEVELS``.
        normalization: one of ``NORMALIZATIONS``.

    Raises:
        ValueError: an unknown level or normal form.
    """
    check_cutting(level, normalization)
    if text.isascii():
        return text
    text = _all_words()[0].sub("", text) if level == "word" else text.replace(_BYTE_ORDER_MARK, "")
    return text if normalization == "none" else unicodedata.normalize(cast(Literal["NFC"], normalization), text)


def tokenize(text: str, level: str, normalization: str = "NFC", delimiter: str | None = None) -> list[str]:
    """Cut a text into tokens.

    Args:
        text: one line; line ends after it are ignored.
        level: ``"word"`` and ``"token"`` drop the white space between tokens; ``"char"`` and ``"bpe"`` keep every
            character.
        normalization: ``"none"``, ``"NFC"`` or ``"NFKC"``: the normal form that the text is brought to.
        delimiter: what stands between two tokens at level ``"token"``, which are then all that is between, white space
            too; nothing between two of them is no token. None is white space.

    Raises:
        ValueError: an unknown level or normal form.
    """
    if delimiter is not None:  # first, so that no normal form joins it to its neighbours
        pieces = text.rstrip("\r\n").split(delimiter)
        return [token for piece in pieces if (token := clean(piece, level, normalization))]
    text = clean(text, level, normalization)
    if level in SPACED:
        text = text.rstrip("\r\n")
        return list(text) if level == "char" else _PIECES.findall(text)
    if level == "token":
        return text.split()
    if text.isascii():
        return _PLAIN_WORDS.findall(text)
    _, special, words = _all_words()
    return (words if special.search(text) else _PLAIN_WORDS).findall(text)


def unknown_token(level: str) -> str:
    """The spelling of the unknown token."""
    return UNK_CHAR if level in SPACED else UNK


def counted_unit(level: str) -> str:
    """The name of what has a least count: with byte-pair encoding characters do, since pieces are made of them."""
    return "character" if level == BPE else "token"


def opens(token: str) -> bool:
    """Whether a mark is written without a space after it, as an opening bracket is."""
    return len(token) == 1 and (unicodedata.category(token) in ("Ps", "Pi") or token in "\u00a1\u00bf")


def closes(token: str) -> bool:
    """Whether a mark is written without a space before it, as a full stop is."""
    return len(token) == 1 and unicodedata.category(token)[0] == "P" and token != "_" and not opens(token)
