"""A look at a text before it is trained on."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.cli import main
from agents.inspection import inspect_text, inspection_text, warnings_about
from agents.runs.presets import PRESETS
from seqgan_env.sources import SourceConfig, build_source

COMMON = "a b c\nb c\n" * 200
TEXT = "a dog\n\nthe dog\na dog\na dog sleeps here\n"


def inspected(text: str, **settings: Any) -> dict[str, Any]:
    return inspect_text(io.BytesIO(text.encode()), **settings)


def test_counts_lines_and_tokens() -> None:
    found = inspected(TEXT)
    assert (found["lines"], found["distinct_lines"]) == (4, 3)
    assert (found["tokens"], found["distinct_tokens"]) == (10, 5)
    assert found["most_frequent"] == [["dog", 4], ["a", 3], ["the", 1], ["sleeps", 1], ["here", 1]]
    assert found["preview"] == [["a", "dog"], ["the", "dog"], ["a", "dog"]]
    lengths = found["lengths"]
    assert (lengths["min"], lengths["median"], lengths["max"], lengths["mean"]) == (2, 2, 4, 2.5)
    rows = [(row["min_count"], row["tokens_kept"], row["share_of_tokens"]) for row in found["coverage"]]
    assert rows == [(1, 5, 1.0), (2, 2, 0.7), (3, 2, 0.7), (5, 0, 0.0), (10, 0, 0.0)]
    assert [row["share_of_lines"] for row in found["coverage"]] == [1.0, 0.5, 0.5, 0.0, 0.0]


def test_compares_a_held_out_file(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("a dog\nthe cat sleeps\n")
    found = inspected(TEXT, held_out=str(path), min_count=2)
    assert found["held_out"] | {"sha256": ""} == {
        "file": str(path), "sha256": "", "lines": 2, "in_both": 1, "unknown": 0.6
    }  # fmt: skip
    assert "1 of 2 held-out lines stand in the text too, and are not trained on" in found["warnings"]
    assert "60% of the held-out tokens are unknown" in found["warnings"]
    assert f"held out   {path}: 2 lines, 1 of them in both, 60.00% of their tokens unknown" in inspection_text(found)
    assert inspected(TEXT)["held_out"] is None
    path.write_text("a dog sleeps here here here\n")
    found = inspected(TEXT, held_out=str(path))
    assert found["suggested"]["max_length"] == 7
    assert "the held-out file: 1 of 1 lines are longer than max_length = 5 " in "".join(found["warnings"])
    assert "one held-out line is too few: half of them choose, the other half reports" in found["warnings"]


@pytest.mark.parametrize(
    ("text", "held_out", "suggested", "warning"),
    [
        ("1 2\n2 0\n", "1 2 0\n2 1 0\n", 4, "the held-out file: 2 of 2 lines are longer than max_length = 2"),
        ("1 2\n2 0\n", "1\n2\n", 2, "the held-out file: all lines must have 2 ids, as those of the text have"),
        ("1 2\n2 0\n", "1 5\n2 0\n", 2, "the held-out file: it has the id 5; vocab_size must be at least 6"),
        ("1 2\n2\n", "1 x\n2 0\n", 3, "the held-out file: line 1 must hold token ids"),
    ],
)
def test_compares_held_out_ids(text: str, held_out: str, suggested: int, warning: str, tmp_path: Path) -> None:
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text(text)
    test.write_text(held_out)
    found = inspect_text(str(train), level="ids", held_out=str(test))
    assert any(each.startswith(warning) for each in found["warnings"])
    assert not any("unknown" in each for each in found["warnings"])
    assert found["suggested"] == {"max_length": suggested}
    if "longer" in warning:
        build_source(str(train), level="ids", held_out=str(test), **found["suggested"])
    else:
        with pytest.raises(ValueError, match=r"test\.txt: "):
            build_source(str(train), level="ids", held_out=str(test), **found["suggested"])


@pytest.mark.parametrize("settings", [{}, {"vocab_size": 12}, {"vocab_size": 11, "min_count": 3}])
def test_pieces_are_those_that_a_source_has(settings: dict[str, int], tmp_path: Path) -> None:
    """Lengths are of pieces; what is unknown, or rare, is a character."""
    pytest.importorskip("tokenizers")
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("see the seas\nthe  sees\n" * 9 + "the b\n")
    test.write_text("see the bzz\nthe b\n")
    found = inspect_text(str(train), level="bpe", held_out=str(test), **settings)
    assert found["suggested"].items() >= {"min_count": 1, **settings}.items()
    source = build_source(str(train), level="bpe", held_out=str(test), **found["suggested"])
    assert source.vocabulary is not None
    of_both = [source.vocabulary.encode(line) for path in (train, test) for line in path.read_text().splitlines()]
    assert found["lengths"]["max"] == max(map(len, of_both[:-2]))
    if "long_lines" not in found["suggested"]:
        assert found["suggested"]["max_length"] == max(map(len, of_both)) + 1
    assert found["preview"][0] == [source.vocabulary.tokens[i] for i in of_both[0]]
    assert found["distinct_tokens"] == len({i for line in of_both[:-2] for i in line})
    assert [row["tokens_kept"] for row in found["coverage"]] == [7, 6, 6, 6, 5]
    assert "  characters kept  of characters  " in inspection_text(found)
    assert any(re.fullmatch(r"\d+% of the held-out characters are unknown", each) for each in found["warnings"])
    unknown = 2 if found["suggested"]["min_count"] == 1 else 4
    assert (found["held_out"]["in_both"], found["held_out"]["unknown"]) == (1, pytest.approx(unknown / 16))


def test_suggests_settings() -> None:
    assert inspected(TEXT)["suggested"] == {"max_length": 5, "min_count": 1}
    assert inspected(COMMON)["suggested"] == {"max_length": 4, "min_count": 1}
    assert inspected(COMMON + "rare\n")["suggested"] == {"max_length": 4, "min_count": 2}
    assert inspected(COMMON + "some\n" * 4)["suggested"] == {"max_length": 4, "min_count": 5}
    assert inspected(COMMON, level="char")["suggested"] == {"max_length": 6, "min_count": 1}


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (TEXT, "word"),
        (COMMON + "x y " * 50, "word"),
        (COMMON + "x y " * 50, "char"),
        (COMMON + "x y " * 50, "token"),
        ("1 2\n2 3\n", "ids"),
        ("1 2\n2\n", "ids"),
        ("1 2\n3\n" * 100 + "1 " * 50, "ids"),
    ],
)
def test_a_source_takes_the_suggested_settings(text: str, level: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    default, suggested = build_source(path, level=level), inspect_text(path, level=level)["suggested"]
    source = build_source(path, level=level, **suggested)
    assert source.spec.eos_id == default.spec.eos_id
    assert source.spec.max_length == min(default.spec.max_length, suggested["max_length"])
    assert len(source) == len(default) - ("long_lines" in suggested)


MANY = "".join(f"w{i} x\n" for i in range(1000))
VERSE = "\u5357\u964c\u6885\u6885\uff0c\u5e74\u5e74\u3002\n\u5357\u6885\u6885\uff0c\u5e74\u5357\u5e74\u3002\n"
CUT = "".join(f"\u5357{chr(0x4E00 + i)} \u964c\u6885 {chr(0x5E00 + i)}\n" for i in range(1000))
"""Words of a script without spaces that stand apart already."""
THAI = "".join(
    f"\u0e20\u0e32\u0e29\u0e32{chr(0x0E01 + i % 40)} \u0e44\u0e17\u0e22{chr(0x0E01 + i // 40)}\n" for i in range(1000)
)


@pytest.mark.parametrize(
    ("text", "settings", "warning"),
    [
        ("a b\n", {}, "there is one line; training needs at least 2 distinct lines"),
        ("a b\n" * 3, {}, "all 3 lines are equal; training needs at least 2 distinct lines"),
        (TEXT, {}, "4 lines are few"),
        ("a\nb\n" * 500, {}, "998 of 1000 lines repeat another one"),
        (TEXT, {"max_length": 4}, "1 of 4 lines are longer than max_length = 4 (end-of-sequence included), the first"),
        ("a " * 10_001, {}, "line 1 has 10001 tokens"),
        (MANY, {"min_count": 2}, "with min_count = 2, 50% of the tokens become unknown"),
        (TEXT, {"min_count": 9}, "every token occurs less than min_count = 9 times, and nothing is left"),
        ("a <eos>\nb\n", {"level": "token"}, "the token '<eos>' stands in it, which is refused"),
        ("\u5357\u964c\u5357\u964c\u5357\u964c\u5357\u964c\u5357\n" * 2, {}, "level='char' suits text that is written"),
        (VERSE, {}, "level='char' suits text that is written without spaces"),
        ("acgtacgtacgt\nacgtacctacgt\n" * 9, {}, "level='char' suits text that is written"),
        (
            "a\\t long\\tline\nand\\tanother\n",
            {"level": "token", "delimiter": "\t"},
            "delimiter says what stands between",
        ),
        ('{"text": "a"}\n{"text": "b"}\n', {}, "it looks like JSON"),
        ('{"text": "a"}\n', {"level": "char"}, "it looks like JSON"),
        ('["a b", "c"]\n', {"level": "token"}, "it looks like JSON"),
        ("0 9\n1 01\n", {"level": "ids"}, "3 ids occur of the 10 up to the largest"),
        ("1 2\nx 1\n", {"level": "ids"}, "line 2 must hold token ids"),
        ("1,2\n2,1\n", {"level": "ids"}, "got '1,2'; delimiter says what stands between two of them"),
        ("1 2\n2 1\n", {"level": "ids", "max_length": 1}, "2 of 2 lines are longer than max_length = 1"),
    ],
)
def test_warns_of_what_would_go_wrong(text: str, settings: Any, warning: str) -> None:
    warnings = inspected(text, **settings)["warnings"]
    assert any(each.startswith(warning) or warning in each for each in warnings), warnings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (MANY, {}),
        ("".join(f"{i} 3\n" for i in range(1000)), {"level": "ids", "max_length": 2}),
        (CUT, {}),
        (THAI, {}),
    ],
)
def test_a_sound_text_has_no_warning(text: str, settings: Any) -> None:
    assert inspected(text, **settings)["warnings"] == []


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("a b\nb\n", {}, ["2 lines are few; a discriminator soon knows them by heart"]),
        (MANY, {}, []),
        ("0 1\n1 0\n" * 500, {"level": "ids", "vocab_size": 4}, ["998 of 1000 lines repeat another one"]),
        (MANY + "a " * 99, {"max_length": 9, "long_lines": "drop"}, []),  # of those that training has done with
    ],
)
def test_what_training_warns_of_is_that(text: str, settings: Any, expected: list[str], tmp_path: Path) -> None:
    (path := tmp_path / "text").write_text(text)
    assert warnings_about(SourceConfig(source=str(path), **settings)) == expected


@pytest.mark.parametrize("source", ["grammar", "oracle", "parameters.pkl"])
def test_there_is_nothing_to_warn_of_without_a_text(source: str) -> None:
    assert warnings_about(SourceConfig(source=source)) == []


class TestCommand:
    def test_prints_a_table_or_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "a.jsonl"
        arguments = ["inspect", str(path), "--text-field", "body", "--level", "token", "--delimiter", "|"]
        path.write_text('{"body": "a|b\\u001b"}\n{"body": "c"}\n')
        assert main([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["preview"] == [["a", "b\x1b"], ["c"]]
        assert main(arguments) == 0
        shown = capsys.readouterr().out
        assert shown == inspection_text(found) + "\n"
        assert "\x1b" not in shown
        for words in ("lines      2, 2 of them distinct", "1            3    100.00%   100.00%", "--max-length 3"):
            assert words in shown

    def test_warns_as_training_would_refuse(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """By the flags of training, and with its least count of a word."""
        path = tmp_path / "a.txt"
        path.write_text("once\n" + "a " * 10_001)
        assert main(["inspect", str(path)]) == 0
        shown = capsys.readouterr().out
        assert "and drop longer lines with --long-lines drop" in shown
        assert "suggested  --max-length 10002 --min-count" in shown
        assert "min 1, q25 10,001, median" in shown
        path.write_text("one line\nanother two\n")
        assert main(["inspect", str(path)]) == 0
        shown = capsys.readouterr().out
        refused = f"every token occurs less than min_count = {PRESETS['text'].task.min_count} times"
        assert f"\nrefused    {refused}" in shown
        assert "\nwarning    2 lines are few" in shown

    def test_reads_standard_input(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
        assert main(["inspect", "-", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["lines"] == 4
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"ids": [1, 2]}\n{"ids": [0]}\n')))
        assert main(["inspect", "-", "--json", "--level", "ids", "--text-field", "ids"]) == 0
        assert json.loads(capsys.readouterr().out)["preview"] == [["1", "2"], ["0"]]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["none.txt"], "none.txt: the corpus must be a text file that can be read: No such file"),
            (["empty.txt"], "empty.txt: the corpus must hold at least one line that is not blank, it is empty"),
            (["."], ".: the corpus must be a text file that can be read: Is a directory"),
            (["empty.txt", "--level", "byte"], "level must be one of word, char, token, bpe, ids; got 'byte'"),
            (["a.txt", "--vocab-size", "9"], "vocab_size needs --level bpe, got level 'word'"),
            (["empty.txt", "--min-count", "0"], "min_count must be a whole number of at least 1, got 0"),
            (["empty.txt", "--delimiter", "|"], "a delimiter needs --level token, got level 'word'"),
            ([], "seqgan inspect needs FILE, The file, or - for standard input"),
        ],
    )
    def test_bad_input_is_one_line(
        self,
        arguments: list[str],
        says: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("empty.txt").write_text("\n")
        assert main(["inspect", *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
