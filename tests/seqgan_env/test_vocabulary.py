"""The map between text and token ids: what a token is, how ids are given out, and that decoding undoes encoding."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqgan_env.tokenizing import BPE, LEVELS, NORMALIZATIONS, UNK, UNK_CHAR, clean, tokenize
from seqgan_env.vocabulary import EOS, Vocabulary

LINES = ["a dog chases a cat.", "the dog's well-fed cat sleeps.", "a cat sleeps"]

# Pieces that could run into each other when they are written side by side, beside text of every script.
awkward_text = st.lists(
    st.sampled_from(
        [
            *"ab'-\u2019.,()[]\u201c\u201d\u00bf<>_$+#1 \t\u0301\u093f\u094d\ufffd\u2768\xe9\u212b\ufb01\u1100\u1161",
            *"\ufeff\u200b\u200c\u200d\xad\u200e\u2066\u0007\x9f\ufe0f\u20e3\U000e0101\U000e0067\U000e007f",
            *"\u2764\u203c\U0001f44d\U0001f3fd\U0001f1eb\U0001f468\U0001f3f4\u2642\u845b",
            *("<unk>", "<eos>", "don't", "unk"),
        ]
    )
).map("".join)
any_text = awkward_text | st.text()
INVISIBLE = "\ufeff\u200b\u200c\u200d\xad\u200e\u2060\u2066\x07\x9f\ufe0f\U000e0101\U000e0067"
TOLD = tuple(level for level in LEVELS if level != BPE)
"""The levels whose tokens a text itself tells."""
BUILT = LEVELS if importlib.util.find_spec("tokenizers") else TOLD
every_level = pytest.mark.parametrize("level", BUILT)
MERGES = [("d", "o"), ("a", "t"), (" ", "do"), (" do", "g")]
PIECES = Vocabulary([EOS, UNK, *" .adgot", *map("".join, MERGES)], BPE, merges=MERGES)


class TestTokenize:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("a dog.", ["a", "dog", "."]),
            ("don't 'quote' me", ["don't", "'", "quote", "'", "me"]),
            ("a well-fed dog - yes -", ["a", "well-fed", "dog", "-", "yes", "-"]),
            ("rock\u2019n\u2019roll", ["rock\u2019n\u2019roll"]),
            ("a--b", ["a", "-", "-", "b"]),
            ("wait... (what?!)", ["wait", ".", ".", ".", "(", "what", "?", "!", ")"]),
            ("3.5 km_h", ["3", ".", "5", "km_h"]),
            ("  \t", []),
            ("one\n", ["one"]),
            ("q\u0301x", ["q\u0301x"]),
            ("\u0939\u093f\u0928\u094d\u0926\u0940 \u0915", ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u0915"]),
            ("the <unk> sat", ["the", "<unk>", "sat"]),
            ("an <eos> here", ["an", "<", "eos", ">", "here"]),
        ],
    )
    def test_word_level_keeps_words_whole_and_marks_apart(self, text: str, tokens: list[str]) -> None:
        assert tokenize(text, "word") == tokens

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [(" a b ", [" ", "a", " ", "b", " "]), ("ab\r\n", ["a", "b"]), ("\n", []), ("a\nb", list("a\nb"))],
    )
    def test_char_level_keeps_every_character_but_the_line_end(self, text: str, tokens: list[str]) -> None:
        assert tokenize(text, "char") == tokens

    @given(text=any_text)
    def test_word_level_loses_nothing_that_is_visible(self, text: str) -> None:
        def visible(text: str) -> list[str]:
            return [c for c in text if tokenize(c, "word", "none")]

        assert visible("".join(tokenize(text, "word"))) == visible(clean(text, "word"))

    @given(c=st.characters(categories=["L", "Nd", "P", "S", "Mc"], exclude_characters="\u3164\uffa0"))
    def test_every_visible_character_is_a_token(self, c: str) -> None:
        assert tokenize(c, "word", "none") == [c]

    @given(text=any_text)
    def test_word_level_has_no_token_of_invisible_characters_alone(self, text: str) -> None:
        for token in tokenize(text, "word"):
            assert set(token) - set(INVISIBLE)

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("\ufeffthe cat \ufeffsat", ["the", "cat", "sat"]),
            ("he\u200bllo", ["he", "llo"]),
            ("co\u00adoperate \u200ewell\u2060known\u2069", ["cooperate", "wellknown"]),
            ("a\x07b\x9f", ["a", "b"]),
            ("foo\u200d \u200c \ufe0f \u200b", ["foo"]),
            ("I \u2764\ufe0f it!", ["I", "\u2764\ufe0f", "it", "!"]),
            ("\U0001f468\u200d\U0001f469\u200d\U0001f467", ["\U0001f468\u200d\U0001f469\u200d\U0001f467"]),
            ("thumbs \U0001f44d\U0001f3fd.", ["thumbs", "\U0001f44d\U0001f3fd", "."]),
            ("#\ufe0f\u20e3 1\ufe0f\u20e3", ["#\ufe0f\u20e3", "1\ufe0f\u20e3"]),
            ("\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", ["\U0001f1eb\U0001f1f7", "\U0001f1e9\U0001f1ea"]),
            (
                "\U0001f3f4\U000e0067\U000e0062\U000e007f\u2708",
                ["\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u2708"],
            ),
            ("\u06a9\u062a\u0627\u0628\u200c\u0647\u0627", ["\u06a9\u062a\u0627\u0628\u200c\u0647\u0627"]),
            ("\u0d28\u0d4d\u200d x", ["\u0d28\u0d4d\u200d", "x"]),
            ("\u845b\U000e0100 \u845b", ["\u845b\U000e0100", "\u845b"]),
        ],
    )
    def test_word_level_drops_what_is_invisible_and_keeps_emoji_whole(self, text: str, tokens: list[str]) -> None:
        assert tokenize(text, "word") == tokens
        vocabulary = Vocabulary.build([text])
        ids = vocabulary.encode(text)
        assert vocabulary.encode(vocabulary.decode(ids)) == ids

    @pytest.mark.parametrize("text", ["it 's 3.14 <unk> ( U.S.A. ) ca n't", "C C(=O)O [nH]1"])
    def test_token_level_splits_at_white_space_alone(self, text: str) -> None:
        assert tokenize(f" {text}\t\n", "token") == text.split(" ")
        vocabulary = Vocabulary.build([text], "token")
        assert vocabulary.decode(vocabulary.encode(f" {text}\t\n")) == text

    @every_level
    def test_a_byte_order_mark_is_dropped_where_files_were_joined(self, level: str) -> None:
        assert tokenize("\ufeff\u00e9 \ufeffb", level) == tokenize("\u00e9 b", level)

    @every_level
    @pytest.mark.parametrize(
        ("normalization", "n_spellings"), [("none", 3), ("NFC", 2), ("NFKC", 1)], ids=NORMALIZATIONS
    )
    def test_a_normal_form_makes_spellings_one(self, level: str, normalization: str, n_spellings: int) -> None:
        spellings = ["o\ufb03ce \u00e9", "o\ufb03ce e\u0301", "office e\u0301"]
        vocabulary = Vocabulary.build(spellings, level, normalization=normalization)
        assert len({tuple(vocabulary.encode(text)) for text in spellings}) == n_spellings
        assert vocabulary.normalization == normalization

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("byte",), "level must be one of word, char, token, bpe; got 'byte'"),
            (("word", "NFD"), "normalization must be one of none, NFC, NFKC; got 'NFD'"),
        ],
    )
    def test_an_unknown_level_and_an_unknown_normal_form_are_refused(
        self, arguments: tuple[str, ...], message: str
    ) -> None:
        for refuse in (lambda: tokenize("a", *arguments), lambda: Vocabulary([EOS], *arguments)):
            with pytest.raises(ValueError, match=message):
                refuse()


class TestIds:
    def test_follow_falling_count_then_the_alphabet(self) -> None:
        vocabulary = Vocabulary.build(["b b c a", "c d"], "word")
        assert vocabulary.tokens == (EOS, UNK, "b", "c", "a", "d")
        assert (vocabulary.eos_id, vocabulary.unk_id, len(vocabulary), vocabulary.level) == (0, 1, 6, "word")

    def test_are_given_to_tokens_that_are_frequent_enough(self) -> None:
        vocabulary = Vocabulary.build(["b b c a", "c d"], "word", min_count=2)
        assert vocabulary.tokens == (EOS, UNK, "b", "c")
        assert vocabulary.encode("a b c d") == [1, 2, 3, 1]
        assert vocabulary.id_of("d") == 1

    def test_of_a_fixed_list_follow_the_list_and_leave_out_the_unknown_token(self) -> None:
        vocabulary = Vocabulary.of(["dog", "a", "."])
        assert vocabulary.tokens == (EOS, "dog", "a", ".")
        assert vocabulary.unk_id is None
        assert vocabulary.id_of("cat") is None

    @pytest.mark.parametrize("level", ["word", "char"])
    def test_no_text_reads_as_end_of_sequence(self, level: str) -> None:
        vocabulary = Vocabulary.build(["an <eos> here"], level)
        ids = vocabulary.encode("an <eos> here")
        assert vocabulary.eos_id not in ids
        assert vocabulary.unk_id not in ids
        assert vocabulary.encode(vocabulary.decode(ids)) == ids

    def test_no_token_is_the_end_of_sequence(self) -> None:
        with pytest.raises(ValueError, match="no token of a text may be '<eos>', the name of its end"):
            Vocabulary.build(["an <eos> here"], "token")
        assert Vocabulary.build(["a"], "token").encode("a <eos>") == [2, 1]

    @pytest.mark.parametrize(
        ("level", "text"), [("word", "the <unk> sat"), ("token", "the <unk> sat"), ("char", "th\ufffd sat")]
    )
    def test_a_text_that_has_the_unknown_token_already_keeps_it(self, level: str, text: str) -> None:
        vocabulary = Vocabulary.build([text], level)
        assert vocabulary.encode(text).count(1) == 1
        assert vocabulary.tokens.count(UNK) == 1
        assert UNK_CHAR not in vocabulary.tokens
        assert vocabulary.decode(vocabulary.encode(text)) == text

    @pytest.mark.parametrize("min_count", [0, -1, 1.5, True])
    def test_need_a_positive_min_count(self, min_count: Any) -> None:
        with pytest.raises(ValueError, match="min_count must be a whole number of at least 1"):
            Vocabulary.build(["a"], "word", min_count)

    @pytest.mark.parametrize(
        ("tokens", "level", "message"),
        [
            ([], "word", "first token of a vocabulary must be '<eos>'"),
            (["a", EOS], "word", "first token of a vocabulary must be '<eos>'"),
            ([EOS, "a", "b", "a"], "word", "must differ from each other, got 'a' twice"),
            ([EOS, "a", EOS], "word", "must differ from each other, got '<eos>' twice"),
            ([EOS, "a", UNK], "word", "'<unk>' must be the second token"),
            ([EOS, "new york"], "word", "must be one word or one mark, in the normal form NFC; got 'new york'"),
            ([EOS, "new york"], "token", "must be without white space, in the normal form NFC; got 'new york'"),
            ([EOS, ""], "word", "must be one word or one mark, .*got ''"),
            ([EOS, ""], "token", "must be without white space, .*got ''"),
            ([EOS, "\u200b"], "word", "must be one word or one mark"),
            ([EOS, "e\u0301"], "word", "in the normal form NFC"),
            ([EOS, "e\u0301"], "token", "in the normal form NFC"),
            ([EOS, "\u212b"], "char", "in the normal form NFC"),
            ([EOS, "ab"], "char", "must be one character, .*got 'ab'"),
            ([EOS, UNK, UNK_CHAR], "char", "must be one character"),
            ([EOS, "\ud800"], "char", "must be valid Unicode"),
            ([EOS, 3], "word", "must be a string, got 3"),
            ([EOS, "a"], "line", "level must be one of word, char, token, bpe; got 'line'"),
        ],
    )
    def test_are_refused_to_tokens_that_could_not_be_read_back(self, tokens: Any, level: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Vocabulary(tokens, level)


class TestEncode:
    def test_names_the_words_that_a_vocabulary_without_unk_does_not_have(self) -> None:
        with pytest.raises(ValueError, match=r"only words of the vocabulary; it does not have 'cat', '!'$"):
            Vocabulary.of(["a", "dog"]).encode("a cat! a cat!")

    def test_can_refuse_unknown_words_where_there_is_an_unknown_token(self) -> None:
        vocabulary = Vocabulary.build(["a dog"], "char")
        assert vocabulary.encode("cat") == [1, vocabulary.tokens.index("a"), 1]
        with pytest.raises(ValueError, match="only characters of the vocabulary; it does not have 'c', 't'"):
            vocabulary.encode("cat", allow_unknown=False)
        assert vocabulary.encode("dog a", allow_unknown=False) == vocabulary.encode("dog a")

    def test_names_no_more_than_ten(self) -> None:
        with pytest.raises(ValueError, match=r"'9', \.\.\.$"):
            Vocabulary.of(["a"]).encode("0 1 2 3 4 5 6 7 8 9 10 11")


class TestDecode:
    @pytest.mark.parametrize(
        "text", ["a dog, a cat (tired) and \u201cthe\u201d dog's cat.", "\u00bfa dog?", "a + a", "a [dog]: a cat!"]
    )
    def test_sets_marks_as_a_typesetter_would(self, text: str) -> None:
        vocabulary = Vocabulary.build([text], "word")
        assert vocabulary.decode(vocabulary.encode(text)) == text

    def test_stops_at_end_of_sequence_and_at_padding(self) -> None:
        vocabulary = Vocabulary.of(["a", "dog", "."])
        assert vocabulary.decode([1, 2, 3, 0, 1, 2]) == "a dog."
        assert vocabulary.decode(np.array([1, 2, 3, 4, 4])) == "a dog."
        assert vocabulary.decode([]) == vocabulary.decode([0]) == vocabulary.decode([4]) == ""

    @pytest.mark.parametrize("i", [-1, 5])
    def test_refuses_an_id_outside_the_vocabulary(self, i: int) -> None:
        with pytest.raises(ValueError, match=rf"ids must be in \[0, 4\], got {i}"):
            Vocabulary.of(["a", "dog", "."]).decode([1, i])

    @given(text=any_text, known=any_text, level=st.sampled_from(BUILT), form=st.sampled_from(NORMALIZATIONS))
    @example(text="a<unk>b '-' a'-b", known="a", level="word", form="NFC")
    @example(text="\ufffd\n\n", known="\n", level="char", form="NFC")
    @example(text="( \u0301x ( \U0001f3fd \u2768 \u20e3", known="( \u0301x \u20e3", level="word", form="NFC")
    def test_is_undone_by_encode(self, text: str, known: str, level: str, form: str) -> None:
        vocabulary = Vocabulary.build([known.replace(EOS, "")], level, normalization=form)
        ids = vocabulary.encode(text)
        assert vocabulary.encode(vocabulary.decode(ids)) == ids
        assert vocabulary.encode(vocabulary.decode([*ids, 0, len(vocabulary)])) == ids

    @given(text=any_text, level=st.sampled_from(TOLD))
    def test_is_undone_by_encode_without_an_unknown_token(self, text: str, level: str) -> None:
        text = text.replace(EOS, "")
        words = dict.fromkeys(token for token in tokenize(text, level) if token not in (UNK, UNK_CHAR))
        vocabulary = Vocabulary.of(words, level)
        ids = [vocabulary.tokens.index(token) for token in tokenize(text, level) if token in words]
        assert vocabulary.encode(vocabulary.decode(ids)) == ids


class TestJson:
    @pytest.mark.parametrize(
        "vocabulary",
        [
            Vocabulary.build(LINES, "word"),
            Vocabulary.build(["\u5357\u964c\u91c7\u6851\u51fa\uff0c"], "char"),
            Vocabulary.of(["a"]),
            Vocabulary.build(LINES, "token", normalization="none"),
            Vocabulary.of([]),
            PIECES,
        ],
    )
    def test_round_trip(self, vocabulary: Vocabulary, tmp_path: Path) -> None:
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
        path = tmp_path / "vocabulary.json"
        path.write_text("what was there before")
        vocabulary.save(path)
        loaded = Vocabulary.load(path)
        assert loaded == vocabulary
        assert (loaded.hash, loaded.unk_id, loaded.level) == (vocabulary.hash, vocabulary.unk_id, vocabulary.level)
        assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.json"]

    def test_hash_tells_vocabularies_apart(self) -> None:
        one_of_each = [
            Vocabulary.of("ab", "char"),
            Vocabulary.of("ab", "token"),
            Vocabulary([EOS, "a"], normalization="NFKC"),
            Vocabulary.of("ba", "char"),
            Vocabulary.of("ab"),
            Vocabulary.of("a"),
            Vocabulary.of("ab", BPE),
            *(Vocabulary(PIECES.tokens, BPE, merges=merges) for merges in (MERGES, MERGES[::-1])),
        ]
        assert len({vocabulary.hash for vocabulary in one_of_each}) == len(set(one_of_each)) == 9

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": 1}, "format of a vocabulary must be 3, got 1"),
            ({"format": None}, "format of a vocabulary must be 3, got None"),
            ({"normalization": "NFD"}, "normalization must be one of none, NFC, NFKC"),
            ({"normalization": "NFKC"}, "hash of the vocabulary must be"),
            ({"level": "byte"}, "level must be one of word, char"),
            ({"level": ["word"]}, "level must be a string, got"),
            ({"tokens": "<eos>"}, "tokens must be a list"),
            ({"delimiter": "|"}, "a delimiter needs level='token', got level 'word'"),
            ({"level": "token", "delimiter": "|"}, "hash of the vocabulary must be"),
            ({"level": "token", "delimiter": "\n"}, "delimiter must be a text of one character or more"),
            ({"level": "token", "delimiter": ""}, "delimiter must be a text of one character or more"),
            ({"level": "token", "delimiter": 3}, "delimiter must be a string or None, got 3"),
            ({"level": "token", "delimiter": "a"}, "must be without 'a', in the normal form NFC; got 'a'"),
            ({"tokens": [EOS, 1]}, "must be a string, got 1"),
            ({"tokens": [EOS, "a", "a"]}, "'a' twice"),
            ({"tokens": [EOS, "b"]}, "hash of the vocabulary must be"),
            ({"level": "char"}, "hash of the vocabulary must be"),
            ({"hash": 0}, "hash of the vocabulary must be"),
            ({"level": BPE}, "a vocabulary has unknown or missing fields, .*: merges$"),
            ({"merges": []}, "a vocabulary has unknown or missing fields, .*: merges$"),
            ({"level": BPE, "merges": []}, "hash of the vocabulary must be"),
            ({"level": BPE, "merges": [["a"]]}, r"merges\[0\] must be \(a string, a string\), got"),
            ({"level": BPE, "merges": [["a", "a"]]}, "merges must join two tokens to a third at level 'bpe', got 'a'"),
            ({"more": 1}, "a vocabulary has unknown or missing fields, as of another version: more"),
        ],
    )
    def test_anything_else_is_refused(self, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
        data = Vocabulary.of(["a"]).to_json() | changes
        with pytest.raises(ValueError, match=message):
            Vocabulary.from_json(data)
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(data))
        with pytest.raises(ValueError, match=rf"^{path} is not a readable vocabulary: .*{message}"):
            Vocabulary.load(path)

    @pytest.mark.parametrize("key", ["format", "level", "normalization", "delimiter", "hash", "tokens"])
    def test_every_key_is_needed(self, key: str) -> None:
        data = Vocabulary.of(["a"]).to_json()
        del data[key]
        with pytest.raises(ValueError, match=f"a vocabulary has unknown or missing fields, .*: {key}$"):
            Vocabulary.from_json(data)

    @pytest.mark.parametrize("data", [None, [], "text", 3])
    def test_needs_an_object(self, data: Any) -> None:
        with pytest.raises(ValueError, match=r"a vocabulary must have format, level, .*; got"):
            Vocabulary.from_json(data)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
    def test_load_names_a_file_that_is_not_json(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path} is not a readable vocabulary: "):
            Vocabulary.load(path)

    def test_load_names_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.json", tmp_path):
            with pytest.raises(ValueError, match=f"^{path} is not a readable vocabulary: "):
                Vocabulary.load(path)

    def test_a_save_that_fails_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "vocabulary.json"
        Vocabulary.of(["old"]).save(path)

        def fail(*_: object) -> None:
            raise OSError("no space")

        monkeypatch.setattr("seqgan_env.vocabulary.os.replace", fail)
        with pytest.raises(OSError, match="no space"):
            Vocabulary.of(["new"]).save(path)
        assert Vocabulary.load(path) == Vocabulary.of(["old"])
        assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.json"]


class TestBytePairs:
    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("a dog at dogs", ["a", " dog", " ", "at", " dog", UNK]),
            ("dog.  do", ["do", "g", ".", " ", " do"]),
            ("a\tdog", ["a", UNK, "do", "g"]),
            ("<eos> \ufffd", [*(UNK if c not in "o" else c for c in "<eos>"), " ", UNK]),
            ("", []),
        ],
    )
    def test_merges_cut_words_into_pieces(self, text: str, pieces: list[str]) -> None:
        ids = PIECES.encode(text)
        assert [PIECES.tokens[i] for i in ids] == pieces
        assert PIECES.decode(ids) == "".join(c if c in PIECES else UNK_CHAR for c in text)

    @given(text=any_text)
    def test_a_text_that_is_known_is_given_back_as_it_is(self, text: str) -> None:
        """In its normal form, with all its spaces; the unknown token is given back too."""
        text = clean(text, BPE).rstrip("\r\n")
        characters = {*text, *"dog "} - {UNK_CHAR}
        known = Vocabulary([EOS, UNK, *characters, *map("".join, MERGES[::2])], BPE, merges=MERGES[::2])
        assert known.decode(known.encode(text)) == text

    @given(text=any_text)
    def test_no_piece_is_longer_than_the_limit_or_holds_letters_and_marks(self, text: str) -> None:
        words = tokenize(text * 20, BPE)
        assert "".join(words) == clean(text * 20, BPE).rstrip("\r\n")
        assert all(len(word) <= 32 and not (re.search(r"[a-z]", word) and "." in word) for word in words)

    @pytest.mark.parametrize(
        ("tokens", "level", "merges", "message"),
        [
            ([EOS, "a", "ab"], BPE, [], "must be one character or a merge of two tokens, .*got 'ab'"),
            ([EOS, "a", "b"], BPE, [("a", "b")], "merges must join two tokens to a third at level 'bpe', got 'a' and"),
            ([EOS, "a", "ab"], BPE, [("a", "b")], "merges must join two tokens to a third at level 'bpe', got 'a' and"),
            ([EOS, "a", "b", "ab"], "token", [("a", "b")], "merges must join two tokens to a third at level 'bpe'"),
            ([EOS, UNK, "a", "<unk>a"], BPE, [(UNK, "a")], "merges must join two tokens"),
            ([EOS, "e\u0301"], BPE, [], "must be one character"),
        ],
    )
    def test_merges_of_no_tokens_are_refused(
        self, tokens: list[str], level: str, merges: list[tuple[str, str]], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Vocabulary(tokens, level, merges=merges)

    def test_only_pieces_have_a_size(self) -> None:
        with pytest.raises(ValueError, match="vocab_size needs level='bpe', got level 'word'"):
            Vocabulary.build(["a"], vocab_size=9)


class TestDelimiter:
    @pytest.mark.parametrize(
        ("delimiter", "text", "tokens", "written"),
        [
            ("|", "New York|| is |\u00e9\n", ["New York", " is ", "\u00e9"], "New York| is |\u00e9"),
            (" ", "a\tb  c ", ["a\tb", "c"], "a\tb c"),
            ("::", "a:::b", ["a", ":b"], "a:::b"),
            ("e", "ae\u0301b\ufeff", ["a", "\u0301b"], "ae\u0301b"),
        ],
    )
    def test_stands_between_tokens(self, delimiter: str, text: str, tokens: list[str], written: str) -> None:
        assert tokenize(text, "token", delimiter=delimiter) == tokens
        vocabulary = Vocabulary.build([text], "token", delimiter=delimiter)
        assert vocabulary.delimiter == delimiter
        assert set(vocabulary.tokens[2:]) == set(tokens)
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == written
        assert vocabulary.encode(written) == ids
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary

    def test_makes_another_vocabulary(self) -> None:
        one, other = Vocabulary.build(["a b"], "token"), Vocabulary.build(["a b"], "token", delimiter=" ")
        assert one.tokens == other.tokens
        assert one != other
        assert one.hash != other.hash


def test_a_vocabulary_is_a_value() -> None:
    vocabulary = Vocabulary.build(LINES, "word")
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert hash(Vocabulary.build(LINES, "word")) == hash(vocabulary)
    assert vocabulary != Vocabulary.build(LINES, "char")
    assert vocabulary != "a vocabulary"
    assert repr(vocabulary).startswith(f"Vocabulary({len(vocabulary)} tokens, level='word', hash=")
    with pytest.raises(AttributeError):
        vocabulary.level = "char"  # type: ignore[misc]
