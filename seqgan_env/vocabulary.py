"""The map between text and token ids.

The levels are those of ``seqgan_env.tokenizing``. Id 0 is always end-of-sequence. It is never the id of a piece of
text: at word level the literal text ``<eos>`` reads as the three tokens ``<``, ``eos`` and ``>``, and at token level it
is refused. The unknown token is written ``<unk>``, at the levels ``"char"`` and ``"bpe"`` as U+FFFD, and reads back as
itself.
"""

# Over 300 lines: one class, the map itself, how it is made and its file.

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqgan_env.checks import PositiveInt, check_arguments, check_names
from seqgan_env.files import atomic_write, parse_json, read_bytes, refusal
from seqgan_env.merges import learn_merges, merged
from seqgan_env.tokenizing import (
    BPE,
    SPACED,
    UNK,
    UNK_CHAR,
    check_cutting,
    clean,
    closes,
    opens,
    tokenize,
    unknown_token,
)
from seqgan_env.tokens import SequenceSpec

EOS = "<eos>"
FORMAT = 3
"""The version of the JSON form."""
BPE_SIZE = 1000
"""V of a vocabulary of byte-pair encoding, where none is given."""


class Vocabulary:
    """An immutable map between text and token ids.

    Args:
        tokens: the token of each id: ``<eos>``, then, if there is to be an unknown token, ``<unk>``, then the others.
        level: ``"word"``, ``"char"``, ``"token"`` or ``"bpe"``.
        normalization: the normal form of the text, ``"none"``, ``"NFC"`` or ``"NFKC"``.
        delimiter: what stands between two tokens at level ``"token"``; None is white space.
        merges: the pairs of tokens that are joined to one at level ``"bpe"``, the first before the others.

    Raises:
        ValueError: a wrong level, normal form or delimiter, a first token other than ``<eos>``, a duplicate, a token
            that no text gives, or a merge of what are no tokens.
    """

    @check_arguments
    def __init__(
        self,
        tokens: Sequence[str],
        level: str = "word",
        normalization: str = "NFC",
        delimiter: str | None = None,
        merges: Sequence[tuple[str, str]] = (),
    ) -> None:
        check_cutting(level, normalization, delimiter)
        self._level, self._normalization, self._delimiter = level, normalization, delimiter
        self._rank = {merge: i for i, merge in enumerate(merges)}
        self._tokens = tuple(tokens)
        if self._tokens[:1] != (EOS,):
            raise ValueError(f"the first token of a vocabulary must be {EOS!r}, got {list(self._tokens[:1])}")
        self._unk_id = 1 if self._tokens[1:2] == (UNK,) else None
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        if len(self._ids) < len(self._tokens):
            twice = Counter(self._tokens).most_common(1)[0][0]
            raise ValueError(f"the tokens of a vocabulary must differ from each other, got {twice!r} twice")
        del self._ids[EOS]
        self._check_tokens()
        if self._unk_id is not None:
            self._ids[unknown_token(level)] = self._unk_id

    def _check_tokens(self) -> None:
        """Refuse a token which no text could ever give, since it could not be read back either."""
        joined = {first + second for first, second in self._rank}
        known = self._ids.keys() - {UNK} if self._level == BPE else ()
        for first, second in self._rank:
            if not (first in known and second in known and first + second in known):
                raise ValueError(f"merges must join two tokens to a third at level 'bpe', got {first!r} and {second!r}")
        for token in self._tokens[1 if self._unk_id is None else 2 :]:
            if token == UNK:
                raise ValueError(f"{UNK!r} must be the second token of a vocabulary or none, got it later")
            if self._level in SPACED:
                is_one = len(token) == 1 and token != UNK_CHAR and clean(token, "char", self._normalization) == token
                is_one |= token in joined
            else:
                is_one = self._tokenize(token) == [token]
            if not is_one:
                apart = "white space" if self._delimiter is None else repr(self._delimiter)
                one = {"word": "one word or one mark", "char": "one character", "token": f"without {apart}"}
                one[BPE] = "one character or a merge of two tokens"
                raise ValueError(
                    f"each token of a {self._level} vocabulary must be {one[self._level]}, in the normal form "
                    f"{self._normalization}; got {token!r}"
                )
        try:
            "".join(self._tokens).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"each token of a vocabulary must be valid Unicode, got {error.object!r}") from error

    @classmethod
    @check_arguments
    def build(
        cls,
        lines: Iterable[str],
        level: str = "word",
        min_count: PositiveInt = 1,
        normalization: str = "NFC",
        delimiter: str | None = None,
        vocab_size: PositiveInt | None = None,
    ) -> Vocabulary:
        """Make the vocabulary of a text, with an unknown token.

        Args:
            lines: the text, one sequence each.
            level: ``"word"``, ``"char"``, ``"token"`` or ``"bpe"``.
            min_count: how often a token must occur to get an id of its own; at level ``"bpe"`` a character.
            normalization: the normal form that the text is brought to.
            delimiter: what stands between two tokens at level ``"token"``; None is white space.
            vocab_size: the most tokens at level ``"bpe"``, None is ``BPE_SIZE``; fewer if no more pairs occur twice.

        Raises:
            ValueError: a wrong level, normal form or delimiter, a ``min_count`` below 1, or the token ``<eos>`` in it;
                at level ``"bpe"`` more characters than ``vocab_size`` has room for, or no library to learn with.
        """
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(tokenize(line, level, normalization, delimiter))
        return cls.from_counts(counts, level, min_count, normalization, delimiter, vocab_size)

    @classmethod
    @check_arguments
    def from_counts(
        cls,
        counts: Mapping[str, int],
        level: str = "word",
        min_count: PositiveInt = 1,
        normalization: str = "NFC",
        delimiter: str | None = None,
        vocab_size: PositiveInt | None = None,
    ) -> Vocabulary:
        """Make the vocabulary of what `tokenize` gave, counted: by falling count, then alphabetically; see `build`.

        At level ``"bpe"`` the characters are followed by what the merges join, in their order.
        """
        if EOS in counts:
            raise ValueError(f"no token of a text may be {EOS!r}, the name of its end, which is added to each line")
        if level == BPE:
            characters, merges = learn_merges(counts, min_count, vocab_size or BPE_SIZE)
            tokens = [EOS, UNK, *characters, *dict.fromkeys(map("".join, merges))]
            return cls(tokens, level, normalization, delimiter, merges)
        if vocab_size is not None:
            raise ValueError(f"vocab_size needs level='bpe', got level {level!r}")
        kept = [token for token, count in counts.items() if count >= min_count and token != unknown_token(level)]
        tokens = [EOS, UNK, *sorted(kept, key=lambda token: (-counts[token], token))]
        return cls(tokens, level, normalization, delimiter)

    @classmethod
    def of(cls, words: Iterable[str], level: str = "word") -> Vocabulary:
        """Make the vocabulary of a fixed list of tokens, in the list's order and without an unknown token."""
        return cls([EOS, *words], level)

    @property
    def level(self) -> str:
        """``"word"``, ``"char"``, ``"token"`` or ``"bpe"``."""
        return self._level

    @property
    def normalization(self) -> str:
        """The normal form of the text."""
        return self._normalization

    @property
    def delimiter(self) -> str | None:
        """The text between two tokens at level ``"token"``; None is white space."""
        return self._delimiter

    @property
    def tokens(self) -> tuple[str, ...]:
        """The token of each id."""
        return self._tokens

    @property
    def eos_id(self) -> int:
        """The id of end-of-sequence: 0."""
        return 0

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, or None where there is none."""
        return self._unk_id

    @functools.cached_property
    def hash(self) -> str:
        """The SHA-256 of the level, the normal form, the delimiter, the tokens and the merges, in hexadecimal."""
        return hashlib.sha256(json.dumps([FORMAT, *self._parts]).encode()).hexdigest()

    def spec(self, max_length: int) -> SequenceSpec:
        """The form of sequences of these tokens.

        Args:
            max_length: T, end-of-sequence included.
        """
        return SequenceSpec(len(self), max_length, self.eos_id, self.hash[:16])

    def __len__(self) -> int:
        """V, the number of ids."""
        return len(self._tokens)

    def __contains__(self, token: object) -> bool:
        """Whether a token has an id of its own."""
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        """Whether the other is a vocabulary of the same level, normal form, delimiter, tokens and merges."""
        return self._parts == other._parts if isinstance(other, Vocabulary) else NotImplemented

    def __hash__(self) -> int:
        """The hash of all that makes it."""
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[Any, ...]:
        merges = (tuple(self._rank),) if self._level == BPE else ()
        return self._level, self._normalization, self._delimiter, self._tokens, *merges

    def _tokenize(self, text: str) -> list[str]:
        words = tokenize(text, self._level, self._normalization, self._delimiter)
        return [piece for word in words for piece in self.pieces(word)]

    @check_arguments
    def pieces(self, word: str) -> list[str]:
        """The pieces into which the merges cut a token of `tokenize`; at other levels than ``"bpe"`` it is one."""
        return merged(word, self._rank) if self._level == BPE else [word]

    def __repr__(self) -> str:
        """A short description."""
        return f"Vocabulary({len(self)} tokens, level={self._level!r}, hash={self.hash[:12]!r})"

    def id_of(self, token: str) -> int | None:
        """The id of one token: the unknown token's where it has none of its own, None where there is none of either."""
        return self._ids.get(token, self._unk_id)

    @check_arguments
    def encode(self, text: str, *, allow_unknown: bool = True) -> list[int]:
        """Turn a text into ids, without end-of-sequence.

        Args:
            text: one line.
            allow_unknown: whether a token outside the vocabulary may become the unknown token.

        Raises:
            ValueError: a token outside the vocabulary where there is no unknown token or it is not allowed.
        """
        tokens = self._tokenize(text)
        if self._unk_id is None or not allow_unknown:
            unknown = [token for token in dict.fromkeys(tokens) if token not in self._ids]
            if unknown:
                what = "characters" if self._level in SPACED else f"{self._level}s"
                listed = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
                raise ValueError(f"the text must use only {what} of the vocabulary; it does not have {listed}")
        unk_id = self._unk_id or 0  # where there is none, all are known
        return [self._ids.get(token, unk_id) for token in tokens]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text, up to the first end-of-sequence or padding.

        ``encode(decode(ids)) == ids`` for every list that `encode` made. At level ``"bpe"`` a run of more than 32
        characters of which a mark or a space is unknown may have other pieces then, which make the same text.

        Args:
            ids: ids in ``[0, V]``, where V is the padding id.

        Raises:
            ValueError: an id outside ``[0, V]`` before the end.
        """
        pieces: list[str] = []
        glued = True
        for i in map(operator.index, ids):
            if not 0 <= i <= len(self._tokens):
                raise ValueError(f"ids must be in [0, {len(self._tokens)}], got {i}")
            if i in (0, len(self._tokens)):
                break
            spelling, to_previous, to_next = self._spellings[i]
            if not (glued or to_previous):
                pieces.append(" " if self._delimiter is None else self._delimiter)
            pieces.append(spelling)
            glued = to_next
        return "".join(pieces)

    @functools.cached_property
    def _spellings(self) -> list[tuple[str, bool, bool]]:
        """Each token's text, and whether it is written without a space before it and after it."""
        if self._level in SPACED:
            return [(UNK_CHAR if i == self._unk_id else token, True, True) for i, token in enumerate(self._tokens)]
        if self._level == "token":
            return [(token, False, False) for token in self._tokens]
        return [(token, closes(token), opens(token)) for token in self._tokens]

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as plain data."""
        return {
            "format": FORMAT,
            "level": self._level,
            "normalization": self._normalization,
            "delimiter": self._delimiter,
            "hash": self.hash,
            "tokens": list(self._tokens),
            **({"merges": list(self._rank)} if self._level == BPE else {}),
        }

    @classmethod
    def from_json(cls, data: Any) -> Vocabulary:
        """Read what `to_json` made.

        Raises:
            ValueError: anything else, or tokens that do not have the stated hash.
        """
        names = ["format", "level", "normalization", "delimiter", "hash", "tokens"]
        names += ["merges"] if isinstance(data, Mapping) and data.get("level") == BPE else []
        check_names("a vocabulary", data, names)
        if data["format"] != FORMAT:
            raise ValueError(f"the format of a vocabulary must be {FORMAT}, got {data['format']!r}")
        arguments = {name: data[name] for name in names if name not in ("format", "hash")}
        vocabulary = cls(**arguments)
        if data["hash"] != vocabulary.hash:
            raise ValueError(f"the hash of the vocabulary must be {vocabulary.hash!r}, got {data['hash']!r}")
        return vocabulary

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON; a reader sees the old file or the new one, never a part."""
        with atomic_write(path) as file:
            file.write((json.dumps(self.to_json(), ensure_ascii=False, indent=0) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            ValueError: a file that cannot be read or is not a vocabulary; the message begins with the path.
        """
        with refusal(path, "vocabulary"):
            return cls.from_json(parse_json(read_bytes(path)))
