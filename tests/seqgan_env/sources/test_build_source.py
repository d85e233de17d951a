"""Sources by their names and paths."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from seqgan_env.sources import Corpus, Grammar, IdFile, LSTMOracle, Source, SourceConfig, build_source
from seqgan_env.vocabulary import Vocabulary
from tests.support.sources import tiny_oracle


class TestBuildSource:
    def test_by_name(self) -> None:
        sources: list[Source] = [build_source("oracle"), build_source("grammar"), build_source("grammar", seed=3)]
        assert [type(source) for source in sources] == [LSTMOracle, Grammar, Grammar]
        built = build_source("oracle", vocab_size=50, max_length=5, seed=3)
        assert isinstance(built, LSTMOracle)
        assert (built.spec.vocab_size, built.spec.max_length, built.seed) == (50, 5, 3)

    def test_by_path(self, path: Path, tmp_path: Path) -> None:
        built = build_source(str(path), level="char", max_length=40, min_count=2, long_lines="drop", seed=0)
        assert isinstance(built, Corpus)
        assert (built.vocabulary.level, built.spec.max_length) == ("char", 40)
        vocabulary = Vocabulary.build(["the cat"], "char", normalization="NFKC")
        assert build_source(str(path), vocabulary=vocabulary).vocabulary is vocabulary
        vocabulary = Vocabulary.build(["a", "the"], "token", delimiter="|")
        with pytest.raises(ValueError, match="covers nothing"):  # so its level and delimiter are taken over
            build_source(str(path), vocabulary=vocabulary)
        parameters = tmp_path / "oracle.pkl"
        parameters.write_bytes(pickle.dumps(tiny_oracle().parameters))
        assert build_source(str(parameters)).spec.max_length == 20
        assert build_source(str(parameters), max_length=7).spec.max_length == 7

    def test_a_file_by_its_form(self, tmp_path: Path) -> None:
        (tmp_path / "ids.txt").write_text("0,1\n2,3\n")
        (tmp_path / "texts.jsonl").write_text('{"body": "a|b"}\n{"body": "b|a"}\n')
        config = SourceConfig(str(tmp_path / "ids.txt"), vocab_size=9, level="ids", delimiter=",")
        built = config.build_source()
        assert isinstance(built, IdFile)
        assert (built.spec.vocab_size, built.spec.max_length) == (9, 2)
        config = SourceConfig(str(tmp_path / "texts.jsonl"), level="token", delimiter="|", text_field="body")
        built = config.build_source()
        assert isinstance(built, Corpus)
        assert built.vocabulary.tokens[2:] == ("a", "b")
        assert built.vocabulary.delimiter == "|"

    @pytest.mark.parametrize("name", ["gramar", "Oracle", "", "none.txt", "none.pkl", "a\0b"])
    def test_names_what_is_neither(self, name: str) -> None:
        message = f"source must be 'oracle', 'grammar' or the path of a text file; there is no file {name!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            build_source(name)

    @pytest.mark.parametrize(
        ("source", "option", "value", "takes"),
        [
            ("oracle", "level", "word", "the oracle as a source takes vocab_size, max_length"),
            ("grammar", "normalization", "NFC", "the grammar as a source takes no options"),
            ("oracle", "min_count", 1, "the oracle as a source takes vocab_size, max_length"),
            ("oracle", "vocabulary", Vocabulary.of("a"), "the oracle as a source takes vocab_size, max_length"),
            ("grammar", "vocab_size", 9, "the grammar as a source takes no options"),
            ("grammar", "max_length", 9, "the grammar as a source takes no options"),
            ("corpus.txt", "vocab_size", 9, "a text file as a source takes max_length, level"),
            ("grammar", "delimiter", "|", "the grammar as a source takes no options"),
            ("oracle", "text_field", "text", "the oracle as a source takes vocab_size, max_length"),
            ("oracle.pkl", "vocab_size", 9, "an oracle's parameter file as a source takes max_length"),
            ("oracle.pkl", "long_lines", "drop", "an oracle's parameter file as a source takes max_length"),
        ],
    )
    def test_refuses_an_option_without_a_use(
        self, source: str, option: str, value: Any, takes: str, path: Path
    ) -> None:
        (path.parent / "oracle.pkl").write_bytes(pickle.dumps(tiny_oracle().parameters))
        place = source if "." not in source else str(path.parent / source)
        with pytest.raises(ValueError, match=f"{takes}.*; it has no use for {option}$"):
            build_source(place, **{option: value})

    def test_a_file_of_ids_has_no_use_for_words(self, path: Path) -> None:
        for name, value in (("min_count", 2), ("normalization", "NFC"), ("vocabulary", Vocabulary.of("a"))):
            with pytest.raises(ValueError, match=f"a file of ids as a source takes .*; it has no use for {name}$"):
                build_source(str(path), level="ids", **{name: value})
        with pytest.raises(ValueError, match=r"^level must be one of None, word, char, token, bpe, ids; got 'byte'$"):
            build_source(str(path), level="byte")

    def test_refuses_what_is_no_name(self) -> None:
        with pytest.raises(ValueError, match="source must be 'oracle', 'grammar' or the path of a text file, not None"):
            build_source(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="min_count must be"):
            build_source(__file__, min_count=0)
