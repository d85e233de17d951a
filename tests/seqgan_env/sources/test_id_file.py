"""A file of token ids as a source."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from seqgan_env.sources import IdFile, Source


def write(folder: Path, text: str) -> Path:
    path = folder / "ids.txt"
    path.write_text(text)
    return path


def rows(source: Source) -> list[list[int]]:
    return sorted(np.concatenate(source.split(99, 99, seed=0)).tolist())


class TestIdFile:
    def test_lines_of_one_length_are_the_sequences(self, tmp_path: Path) -> None:
        source = IdFile(write(tmp_path, "3 0 1\n007 1 1\n\n0 0 0\n"))
        assert (source.spec.vocab_size, source.spec.max_length, source.spec.eos_id) == (8, 3, None)
        assert source.vocabulary is None
        assert source.spec.vocabulary is None
        assert rows(source) == [[0, 0, 0], [3, 0, 1], [7, 1, 1]]

    @pytest.mark.parametrize(("options", "v"), [({}, 9), ({"vocab_size": 20}, 20), ({"vocab_size": 9}, 9)])
    def test_lines_of_other_lengths_end_with_the_last_id(self, options: Any, v: int, tmp_path: Path) -> None:
        source = IdFile(write(tmp_path, "3 0 1\n7\n2 2\n"), **options)
        assert (source.spec.vocab_size, source.spec.max_length, source.spec.eos_id) == (v, 4, v - 1)
        assert rows(source) == sorted([[3, 0, 1, v - 1], [7, v - 1, v, v], [2, 2, v - 1, v]])
        source.spec.validate(rows(source), complete=True)

    def test_another_length_needs_an_end(self, tmp_path: Path) -> None:
        path = write(tmp_path, "3 0 1\n7 1 1\n")
        assert IdFile(path, max_length=3).spec.eos_id is None
        assert (IdFile(path, max_length=5).spec.eos_id, IdFile(path, max_length=5).spec.max_length) == (8, 5)
        path = write(tmp_path, "3 0 1\n7\n2 2\n")
        source = IdFile(path, max_length=3, long_lines="drop")
        assert (len(source), source.spec.vocab_size, source.spec.max_length) == (2, 9, 3)

    def test_other_forms_of_file_and_delimiter(self, tmp_path: Path) -> None:
        path = tmp_path / "ids.jsonl.gz"
        path.write_bytes(gzip.compress(b'{"ids": "1, 2"}\n{"ids": "2,0"}\n'))
        assert rows(IdFile(path, delimiter=",", text_field="ids")) == [[1, 2], [2, 0]]

    @pytest.mark.parametrize(
        ("text", "options", "message"),
        [
            ("1 2\n\n3 x\n", {}, "line 3 must hold token ids, whole numbers from 0 to 16777214, got 'x'"),
            ("1 -2\n", {}, "line 1 must hold token ids, whole numbers from 0 to 16777214, got '-2'"),
            ("1 2.0\n", {}, "line 1 must hold token ids, .*, got '2.0'"),
            ("1 1_0\n", {}, "line 1 must hold token ids, .*, got '1_0'"),
            ("1 \u0663\n", {}, "line 1 must hold token ids, .*, got '\u0663'"),
            (
                "1 16777215\n",
                {},
                "line 1 must hold token ids, .*, got '16777215'; level='token' numbers the tokens that occur",
            ),
            ("1\n5 2147483000\n", {}, "line 2 must hold token ids, .*, got '2147483000'; level='token'"),
            ("1 " + "9" * 5000 + "\n", {}, "line 1 must hold token ids, .*, got '9999"),
            ("1 2\n5 0\n", {"vocab_size": 5}, "line 2 has the id 5; ids must be below 5; raise vocab_size to 6$"),
            (
                "1 2\n5\n",
                {"vocab_size": 6},
                "line 2 has the id 5; ids must be below 5, since 5, the last, is end-of-sequence; raise vocab_size to",
            ),
            ("1 2\n5\n", {"max_length": 2}, "1 of 2 lines are longer than max_length = 2 .*raise max_length to 3, or"),
            ("1 2 3\n5 1 1\n", {"max_length": 2}, "2 of 2 lines are longer than max_length = 2 "),
            ("\n", {}, "the corpus must hold at least one line that is not blank, it is empty"),
        ],
    )
    def test_refuses_files(self, text: str, options: Any, message: str, tmp_path: Path) -> None:
        path = write(tmp_path, text)
        with pytest.raises(ValueError, match=f"^{path}: {message}") as caught:
            IdFile(path, **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"long_lines": "cut"}, "^long_lines must be one of error, drop; got 'cut'"),
            ({"vocab_size": 0}, "^vocab_size must be a whole number of at least 1 or None, got 0"),
            ({"delimiter": ""}, "^delimiter must be a text of one character or more"),
        ],
    )
    def test_refuses_arguments(self, options: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            IdFile(write(tmp_path, "1 2\n"), **options)

    def test_is_played(self, tmp_path: Path) -> None:
        path = write(tmp_path, "1 2 0\n2\n0 0\n1\n2 2\n")
        env = gym.make("SeqGANText-v0", source=str(path), level="ids", max_length=6)
        env.reset(options={"prefix": [1, 2]})
        observation, reward, terminated, _, _ = env.step(np.int64(3))
        assert terminated
        assert observation.tolist() == [1, 2, 3, 4, 4, 4]
        assert float(reward) < 0
