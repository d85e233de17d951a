"""A text file as a source: what is read, how it is split, and every refusal."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib.util
import lzma
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgan_env.sources import Corpus, KnownSource
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary
from tests.support.significance import FALSE_ALARM
from tests.support.sources import TEXT


class TestCorpus:
    def test_reads_one_sequence_a_line(self, path: Path) -> None:
        source = Corpus(path)
        assert len(source) == 5
        assert (source.spec.max_length, source.spec.vocab_size, source.spec.eos_id) == (8, len(source.vocabulary), 0)
        assert source.vocabulary == Vocabulary.build(TEXT.split("\n"))
        assert source.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
        assert not isinstance(source, KnownSource)
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        np.testing.assert_array_equal(source.spec.validate(rows_BT, complete=True), rows_BT)
        texts = sorted(line for line in TEXT.split("\n") if line.strip())
        assert sorted(source.vocabulary.decode(row) for row in rows_BT) == texts
        assert source.spec.lengths(rows_BT).max() == 8
        assert ((rows_BT == 0).sum(axis=1) == 1).all()

    def test_reads_characters(self, tmp_path: Path) -> None:
        path = tmp_path / "corpus.txt"
        path.write_bytes("\ufeff\u5357\u964c\uff0c\r\n a \r\n\u5357".encode())
        source = Corpus(path, level="char")
        assert source.vocabulary.tokens[2:] == (" ", "\u5357", "a", "\u964c", "\uff0c")
        rows_BT = np.concatenate(source.split(9, 9, seed=0))
        assert {source.vocabulary.decode(row) for row in rows_BT} == {"\u5357\u964c\uff0c", " a ", "\u5357"}
        assert source.spec.max_length == 4

    @settings(max_examples=50)
    @given(
        lines=st.lists(st.text("ab ,.<>\u00e9\u2028\x85'"), min_size=2),
        level=st.sampled_from(["word", "char", "token", *(["bpe"] if importlib.util.find_spec("tokenizers") else [])]),
    )
    def test_gives_back_every_line(
        self, lines: list[str], level: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
        path.write_text("\n".join(lines), encoding="utf-8", newline="")
        lines = [line for line in lines if line.strip()]
        vocabulary = Vocabulary.build(lines, level)
        expected = [tuple(vocabulary.encode(line)) for line in lines]
        if len(set(expected)) < 2:
            return
        source = Corpus(path, level)
        assert source.vocabulary == vocabulary
        train_BT, test_BT = source.split(10**6, 10**6, seed=0)
        rows = np.concatenate([train_BT, test_BT]).tolist()
        kept = [tuple(row[: row.index(0)]) for row in rows]
        assert not Counter(kept) - Counter(expected)
        if len(kept) < len(expected):  # then the only sequence that is held out stands there more often than it may
            assert len(np.unique(test_BT, axis=0)) == 1
        assert not set(map(tuple, train_BT.tolist())) & set(map(tuple, test_BT.tolist()))

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({}, "it' s 3. 14 caf\u00e9"),
            ({"level": "token"}, "it 's 3.14 caf\u00e9"),
            ({"level": "token", "normalization": "none"}, "it 's 3.14 cafe\u0301"),
            ({"level": "char"}, "it 's 3.14 caf\u00e9"),
        ],
    )
    def test_reads_a_text_that_is_cut_into_tokens_already(self, options: dict[str, str], text: str, path: Path) -> None:
        path.write_text("it 's 3.14 cafe\u0301\n\ufeffit 's 3.14 cafe\u0301\nyes\n\u200b\n", encoding="utf-8")
        source = Corpus(path, **options)
        rows_BT = np.concatenate(source.split(9, 9, seed=0))
        texts = {source.vocabulary.decode(row) for row in rows_BT}
        assert {text, "yes"} <= texts <= {text, "yes", "\u200b"}

    def test_reads_tokens_between_delimiters(self, path: Path) -> None:
        path.write_text("New York|is big\nRome|is old\n\n|\n")
        source = Corpus(path, "token", delimiter="|")
        rows_BT = np.concatenate(source.split(9, 9, seed=0))
        assert {source.vocabulary.decode(row) for row in rows_BT} == {"New York|is big", "Rome|is old"}
        assert source.spec.max_length == 3

    def test_rare_words_become_unknown(self, path: Path) -> None:
        source = Corpus(path, min_count=2)
        assert set(source.vocabulary.tokens[2:]) == {"a", "the", "dog", "cat", "chases", "."}
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        assert "the <unk> cat chases the dog." in {source.vocabulary.decode(row) for row in rows_BT}

    def test_a_given_vocabulary_is_used_as_it_is(self, path: Path) -> None:
        vocabulary = Vocabulary.build(["the cat barks"])
        source = Corpus(path, vocabulary=vocabulary)
        assert source.vocabulary is vocabulary
        assert source.spec.vocab_size == 5
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        assert "the cat <unk>" in {vocabulary.decode(row) for row in rows_BT}

    def test_a_file_without_line_breaks_is_refused_by_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "one.txt"
        path.write_text("a b\n" + "a " * 10_001 + "\n")
        with pytest.raises(ValueError, match=r"line 2 has 10001 tokens.*; give max_length, .*long_lines='drop'"):
            Corpus(path)
        assert len(Corpus(path, max_length=4, long_lines="drop")) == 1

    def test_long_lines_are_dropped_where_that_is_asked(self, path: Path) -> None:
        source = Corpus(path, max_length=4, long_lines="drop")
        assert len(source) == 3
        assert source.spec.max_length == 4
        assert set(source.vocabulary.tokens[2:]) == {"the", "cat", "sleeps", "a", "dog"}
        assert Corpus(path, max_length=8).spec == Corpus(path).spec
        assert Corpus(path, max_length=50).spec.max_length == 50

    def test_survives_pickling(self, path: Path) -> None:
        source = Corpus(path)
        copy = pickle.loads(pickle.dumps(source))
        for a, b in zip(copy.split(3, 2, seed=0), source.split(3, 2, seed=0), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"level": "line"}, "^level must be one of word, char, token, bpe; got 'line'"),
            ({"min_count": 0}, "^min_count must be a whole number of at least 1, got 0"),
            ({"max_length": 0}, "^max_length must be a whole number of at least 1 or None, got 0"),
            ({"max_length": "8"}, "^max_length must be a whole number of at least 1 or None, got '8'"),
            ({"long_lines": "cut"}, "^long_lines must be one of error, drop; got 'cut'"),
            ({"vocabulary": Vocabulary.of("a", "char")}, "^level must be 'char', as in the vocabulary"),
            ({"delimiter": "|"}, "^a delimiter needs level='token', got level 'word'"),
            ({"delimiter": ""}, "^a delimiter needs level='token', got level 'word'"),
            (
                {"delimiter": "a\nb", "level": "token"},
                "^delimiter must be a text of one character or more, without line",
            ),
            (
                {"vocabulary": Vocabulary.build(["a"], "token"), "level": "token", "delimiter": "|"},
                "^delimiter must be None, as in the vocabulary",
            ),
            ({"text_field": "text"}, "corpus.txt: text_field is of lines of JSON, in a file whose name ends in .jsonl"),
            ({"normalization": "NFD"}, "^normalization must be one of none, NFC, NFKC; got 'NFD'"),
            (
                {"vocabulary": Vocabulary.build(["a"]), "normalization": "none"},
                "^normalization must be 'NFC', as in the vocabulary",
            ),
            ({"vocabulary": Vocabulary.build(["a"]), "min_count": 2}, "^min_count must be left at 1"),
            (
                {"vocabulary": Vocabulary.of("a", "bpe"), "level": "bpe", "vocab_size": 9},
                "^vocab_size must be left out",
            ),
            ({"vocab_size": 9}, "corpus.txt: vocab_size needs level='bpe', got level 'word'"),
            ({"level": "bpe", "vocab_size": 9}, "corpus.txt: vocab_size must be at least 16, one for each character"),
            (
                {"max_length": 6},
                r"corpus.txt: 2 of 5 lines are longer than max_length = 6 \(end-of-sequence included\), the first is "
                r"line 1 with 7; raise max_length to 8, or drop them with long_lines='drop'$",
            ),
            (
                {"max_length": 2, "long_lines": "drop"},
                "corpus.txt: all 5 lines are longer than max_length = 2 .* up to 8$",
            ),
            ({"min_count": 9}, "corpus.txt: the vocabulary covers nothing of it: every token occurs less than"),
            (
                {"vocabulary": Vocabulary.build(["owl"])},
                "corpus.txt: the vocabulary covers nothing of it: it holds none of the file's tokens",
            ),
            ({"vocabulary": Vocabulary.of(["a", "dog", "cat", "chases", "."])}, "corpus.txt: line 4 has 'the', which"),
        ],
    )
    def test_refuses_arguments(self, options: dict[str, Any], message: str, path: Path) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            Corpus(path, **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "must hold at least one line that is not blank, it is empty"),
            (b"\n \n\t\r\n", "must hold at least one line that is not blank, it is empty"),
            (b"\xef\xbb\xbf", "must hold at least one line that is not blank, it is empty"),
            (b"\xe2\x80\x8b\n\xef\xbb\xbf\n", "must hold at least one line that is not blank, it is empty"),
            (b"text\n\0\0", "must be UTF-8 text, got a NUL byte at offset 5, as in other files"),
            (b"\0a\0 \0b", "must be UTF-8 text, got a NUL byte at offset 0, as in other files"),
            (
                gzip.compress(b"a b\n", mtime=0),
                "must be UTF-8 text, got a file compressed by gzip; decompress it first, or let its name end in .gz",
            ),
            (
                bz2.compress(b"a b\n"),
                "must be UTF-8 text, got a file compressed by bzip2; decompress it first, or let its name end in .bz2",
            ),
            (
                lzma.compress(b"a b\n"),
                "must be UTF-8 text, got a file compressed by xz; decompress it first, or let its name end in .xz",
            ),
            ("a b\n".encode("utf-16"), "must be UTF-8 text, got text in UTF-16 or UTF-32; convert it first"),
            (b"caf\xe9 au lait", "must be UTF-8 text, byte 3 is not: invalid continuation byte"),
        ],
    )
    def test_refuses_files(self, content: bytes, message: str, path: Path) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path}: the corpus {message}$"):
            Corpus(path)

    def test_a_beginning_like_that_of_another_kind_of_file_is_text(self, path: Path) -> None:
        path.write_text("BZh is no word\nPK is none\n")
        assert len(Corpus(path)) == 2

    @pytest.mark.timeout(20)
    def test_a_pipe_and_a_device_are_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            with pytest.raises(ValueError, match=f"^{path}: the corpus must be .*: it is not a file on a disk$"):
                Corpus(path)

    def test_refuses_the_end_of_sequence_as_a_token(self, path: Path) -> None:
        path.write_text("a b <eos>\nb a <eos>\n")
        with pytest.raises(ValueError, match="the corpus must not hold the token '<eos>', the end that is added to"):
            Corpus(path, level="token")

    def test_refuses_what_is_no_file(self, tmp_path: Path) -> None:
        for name in (str(tmp_path), str(tmp_path / "none.txt"), f"{tmp_path}/a\0b"):
            with pytest.raises(ValueError, match="the corpus must be a text file that can be read: "):
                Corpus(name)

    def test_the_real_texts(self, data_dir: Path) -> None:
        captions = Corpus(data_dir / "image_coco_train.txt")
        train_BT, test_BT = captions.split(10**6, 10**6, seed=0)
        assert len(train_BT) + len(test_BT) == len(captions) == 10_000
        poems = Corpus(data_dir / "tang_quatrains_train.txt", level="char")
        assert poems.spec.max_length == 25


class TestCorpusSplit:
    @staticmethod
    def corpus(path: Path, counts: dict[str, int]) -> Corpus:
        path.write_text("\n".join(line for line, n in counts.items() for _ in range(n)))
        return Corpus(path)

    @staticmethod
    def texts(source: Corpus, rows_BT: Tokens) -> Counter[str]:
        return Counter(source.vocabulary.decode(row) for row in rows_BT)

    @pytest.mark.parametrize(
        ("n_train", "n_test", "sizes"),
        [(1000, 1000, (80, 20)), (1000, 7, (93, 7)), (10, 7, (10, 7)), (1, 1, (1, 1)), (1000, 20, (80, 20))],
    )
    def test_holds_out_at_most_a_fifth(self, n_train: int, n_test: int, sizes: tuple[int, int], path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(100)})
        train_BT, test_BT = source.split(n_train, n_test, seed=0)
        assert (len(train_BT), len(test_BT)) == sizes
        assert not self.texts(source, train_BT) & self.texts(source, test_BT)

    def test_keeps_identical_lines_together_and_as_often_as_they_are(self, path: Path) -> None:
        counts = {f"line {i}": 1 + i % 4 for i in range(40)}
        source = self.corpus(path, counts)
        for seed in range(20):
            train_BT, test_BT = source.split(1000, 1000, seed)
            train, test = self.texts(source, train_BT), self.texts(source, test_BT)
            assert not train & test
            assert train + test == Counter(counts)
            assert 0 < len(test_BT) <= 20

    def test_holds_out_a_part_where_every_line_is_too_frequent(self, path: Path) -> None:
        source = self.corpus(path, {"one": 50, "two": 10, "three": 40})
        train_BT, test_BT = source.split(1000, 3, seed=0)
        assert self.texts(source, test_BT) == {"two": 3}
        assert self.texts(source, train_BT) == {"one": 50, "three": 40}

    def test_has_something_on_both_sides(self, path: Path) -> None:
        source = self.corpus(path, {"one": 1, "two": 1})
        train_BT, test_BT = source.split(9, 9, seed=0)
        assert len(train_BT) == len(test_BT) == 1
        for counts in ({"one": 1}, {"one": 3}):
            with pytest.raises(ValueError, match=f"^{path}: a split needs at least 2 distinct sequences, it has 1$"):
                self.corpus(path, counts).split(1, 1, seed=0)

    def test_lines_that_read_the_same_count_as_one(self, path: Path) -> None:
        path.write_text("a dog\na  dog\na owl\na cat")
        with pytest.raises(ValueError, match="at least 2 distinct sequences"):
            Corpus(path, min_count=4).split(1, 1, seed=0)
        train_BT, test_BT = Corpus(path).split(9, 9, seed=0)
        assert {len(train_BT), len(test_BT)} == {3, 1}

    def test_is_shuffled_by_the_seed(self, path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(100)})
        train_BT, test_BT = source.split(80, 20, seed=0)
        for a, b in zip(Corpus(path).split(80, 20, seed=0), (train_BT, test_BT), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(source.split(10, 20, seed=0)[0], train_BT[:10])
        np.testing.assert_array_equal(source.split(10, 20, seed=0)[1], test_BT)
        assert (source.split(80, 20, seed=1)[1] != test_BT).any()
        assert train_BT.tolist() != sorted(train_BT.tolist())

    def test_every_line_is_held_out_as_often_as_any_other(self, path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(10)})
        held_out: Counter[str] = Counter()
        for seed in range(500):
            held_out += self.texts(source, source.split(9, 9, seed)[1])
        assert stats.chisquare(list(held_out.values())).pvalue > FALSE_ALARM
        assert len(held_out) == 10

    @pytest.mark.parametrize("arguments", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
    def test_a_part_without_sequences_and_a_negative_seed_are_refused(
        self, arguments: tuple[int, int, int], path: Path
    ) -> None:
        with pytest.raises(ValueError, match="must be a whole number of at least"):
            Corpus(path).split(*arguments)

    def test_sets_that_do_not_fit_into_memory_are_refused(self, path: Path) -> None:
        path.write_text("a\nb\n")
        with pytest.raises(
            ValueError, match=r"^1 lines of \S+ of max_length 1\d+ must fit into the memory of this machine"
        ):
            Corpus(path, max_length=10**13).split(1, 1, 0)
