"""Files in every form that holds lines of text: what is read of them, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from seqgan_env.sources import Corpus, IdFile
from seqgan_env.sources.text_file import TokenizedFile, read_lines, read_tokens

COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def lines(file: TokenizedFile) -> list[list[str]]:
    words = iter(file.words[number] for number in file.word_F)
    return [[next(words) for _ in range(length)] for length in file.length_L]


class TestReadTokens:
    def test_numbers_the_tokens_of_lines_that_have_some(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(b"\xef\xbb\xbfa b\r\n\r\n b a a\r \nc")
        file = read_tokens(path, "word")
        assert lines(file) == [["a", "b"], ["b", "a", "a"], ["c"]]
        assert (file.name, file.words, file.line_L.tolist()) == (str(path), ["a", "b", "c"], [1, 3, 5])
        assert file.counts.tolist() == [3, 2, 1]
        assert [file.line_of(at) for at in range(6)] == [1, 1, 3, 3, 3, 5]

    def test_cuts_each_token_into_pieces(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("abc d\n\ne abc abc\nd\n")
        whole = read_tokens(path, "word")
        file = whole.cut(list)
        assert lines(file) == [list("abcd"), list("eabcabc"), ["d"]]
        assert (file.name, file.sha256, file.words) == (whole.name, whole.sha256, list("abcde"))
        assert [file.line_of(at) for at in range(12)] == [1] * 4 + [3] * 7 + [4]
        assert lines(whole.cut(lambda word: [word])) == lines(whole)

    @pytest.mark.parametrize("suffix", COMPRESS)
    @pytest.mark.parametrize("stem", ["a.txt", "a", "a.jsonl", "A.JSONL"])
    @pytest.mark.parametrize("spelt", [str, str.upper])
    def test_a_compressed_file_is_the_same_text(
        self, spelt: Callable[[str], str], stem: str, suffix: str, tmp_path: Path
    ) -> None:
        content = b'{"text": "b a"}\n{"text": "c"}\n' if stem.lower() == "a.jsonl" else b"b a\nc\n"
        path = tmp_path / (stem + spelt(suffix))
        compress = COMPRESS[suffix]
        path.write_bytes(compress(content[:5]) + compress(content[5:]))  # as files that were joined
        file = read_tokens(path, "word")
        assert lines(file) == [["b", "a"], ["c"]]
        assert file.sha256 == hashlib.sha256(content).hexdigest()

    @pytest.mark.parametrize("suffix", COMPRESS)
    def test_a_damaged_compressed_file_is_refused(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"a.txt{suffix}"
        whole = COMPRESS[suffix](b"a text that is cut off\n" * 9)
        for content in (b"", b"a b\n", whole[:-4], whole[:-20], whole[:20] + b"\xff\xff" + whole[22:]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"^{path}: the corpus must ") as caught:
                read_tokens(path, "word")
            assert "\n" not in str(caught.value)

    def test_json_lines_hold_a_text_in_a_field(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        rows = [{"text": "A dog.", "n": 1}, {"text": ""}, {"n": {}, "text": "two\r\nlines\n"}]
        path.write_text("\n\n".join(map(json.dumps, rows)))
        file = read_tokens(path, "word")
        assert lines(file) == [["A", "dog", "."], ["two", "lines"]]
        assert file.line_L.tolist() == [1, 5]
        path.write_text('{"body": "\\u00e9 1"}\n')
        assert lines(read_tokens(path, "token", text_field="body")) == [["\u00e9", "1"]]
        path.write_text('{"text": "a\\nb"}\n')
        assert lines(read_tokens(path, "char")) == [["a", " ", "b"]]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("a b", "line 2 must be an object of JSON: Expecting value at column 1"),
            ('["a"]', r"line 2 must be an object of JSON: got \['a'\]"),
            ("[" * 100_000, "line 2 must be an object of JSON: "),
            ('{"text": "a", "text": "b"}', "line 2 must be an object of JSON: it names a field twice"),
            ('{"body": "a"}', "line 2 has no field 'text'; it has 'body'; text_field names another"),
            (
                json.dumps(dict.fromkeys("abcdefghij")),
                "line 2 has no field 'text'; it has 'a', .*, 'h', ...; text_field",
            ),
            ("{}", "line 2 has no field 'text'; it has no field; text_field names another"),
            ('{"text": {"a": 1}}', "line 2 must have a text in its field 'text', got {'a': 1}$"),
            ('{"text": null}', "line 2 must have a text in its field 'text', got None"),
            ('{"text": "\\ud800"}', "line 2 must have valid Unicode in its field 'text': surrogates not allowed"),
        ],
    )
    def test_a_line_without_a_text_is_named(self, line: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"text": "a b"}\n' + line + "\n")
        for read in (lambda: Corpus(path), lambda: IdFile(path), lambda: read_tokens(path, "char")):
            with pytest.raises(ValueError, match=f"^{path}: {message}") as caught:
                read()
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("delimiter", "row"),
        [(None, ["a", "b-c", "7"]), ("|", ["a b", "c", "7"]), ("||", ["a|", "|b", "7"]), ("\t", ["a b", " ", "7"])],
    )
    def test_json_lines_hold_lists_of_tokens(self, delimiter: str | None, row: list[str], tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps({"text": each}) + "\n" for each in ([*row[:2], 7], [], ["a", "a"])))
        assert lines(read_tokens(path, "token", delimiter=delimiter)) == [row, ["a", "a"]]
        for level in ("word", "char"):
            advice = "; a list of tokens needs level='token' or level='ids'$"
            with pytest.raises(ValueError, match=f"line 1 must have a text in its field 'text', got .*{advice}"):
                read_tokens(path, level)
        assert read_lines(path) == [" ".join(row), "a a"]

    @pytest.mark.parametrize(
        ("delimiter", "token"),
        [(None, "a b"), (None, ""), ("|", "a|b"), (None, "\ufeff"), (None, "a\u00a0b"), (None, "a\nb")],
    )
    def test_an_item_of_a_list_is_one_token(self, delimiter: str | None, token: str, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"text": "a"}\n' + json.dumps({"text": ["a", token]}) + "\n")
        says = "line 2 must have a list of single tokens, got "
        with pytest.raises(ValueError, match=f"^{path}: {says}") as caught:
            read_tokens(path, "token", delimiter=delimiter)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("token", [1.5, True, None, ["a"], {}])
    def test_an_item_of_a_list_is_a_text_or_a_number(self, token: object, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"text": "a"}\n' + json.dumps({"text": ["a", token]}) + "\n")
        for read in (lambda: read_tokens(path, "token"), lambda: read_lines(path)):
            with pytest.raises(ValueError, match="line 2 must have only texts and whole numbers in the list of its fi"):
                read()

    def test_a_field_needs_lines_of_json(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt.gz"
        path.write_bytes(gzip.compress(b"a\n"))
        with pytest.raises(ValueError, match=f"^{path}: text_field is of lines of JSON"):
            read_tokens(path, "word", text_field="text")

    def test_reads_a_stream(self) -> None:
        file = read_tokens(io.BytesIO(b"a b\n"), "word")
        assert (lines(file), file.name) == ([["a", "b"]], "the stream")
        assert lines(read_tokens(io.BytesIO(b'{"t": "a b"}'), "word", text_field="t")) == [["a", "b"]]
        with pytest.raises(ValueError, match=r"^the stream: the corpus must hold at least one line"):
            read_tokens(io.BytesIO(b""), "word")
