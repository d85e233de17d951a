"""A run whose text comes from standard input."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.cli import main
from agents.runs.folder import RunFolder
from agents.runs.standard_input import kept_text
from tests.support.runs import without_pictures

TEXT = "a dog\na cat\nthe dog\nthe cat\na dog sleeps\nthe cat sleeps\n"
FAST = [
    "--pretraining.n-epochs", "1", "--agent.n-updates", "1", "--agent.n-episodes", "4", "--agent.n-completions", "1",
    "--adversary.n-rounds", "1", "--adversary.n-generated", "8", "--evaluation.n", "8", "--generator.hidden-dim", "4",
    "--generator.embedding-dim", "4", "--device", "cpu", "--min-count", "1", "--evaluation.metrics",
]  # fmt: skip


def give(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


def test_the_text_is_kept_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "run"
    give(TEXT, monkeypatch)
    with without_pictures():
        assert main(["train", "--source", "-", "--out", str(out), *FAST]) == 0
        assert kept_text(out).read_text() == TEXT
        assert RunFolder(out).load_config().task.source == str(kept_text(out))
        assert main(["train", "--out", str(out), "--resume", "--agent.n-updates", "2"]) == 0
    capsys.readouterr()
    assert main(["train", "--source", "-", "--out", str(out), "--resume"]) == 2
    says = f"a run that goes on reads the text that was kept in {kept_text(out)}; leave --source - out"
    assert says in capsys.readouterr().err
    assert main(["train", "--source", "-", "--out", str(out)]) == 2
    assert "exists; choose another --out" in capsys.readouterr().err
    assert kept_text(out).read_text() == TEXT


def test_lines_of_json_are_kept_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    give("".join(f'{{"words": "{line}"}}\n' for line in TEXT.splitlines()), monkeypatch)
    with without_pictures():
        assert main(["train", "--source", "-", "--text-field", "words", "--out", str(out), *FAST]) == 0
        assert main(["train", "--out", str(out), "--resume", "--agent.n-updates", "2"]) == 0
    assert RunFolder(out).load_config().task.source == str(tmp_path / "run.jsonl")
    assert "text" not in (out / "vocabulary.json").read_text().split('"tokens"')[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "error: standard input: the corpus must hold at least one line that is not blank, it is empty"),
        ("a\n", "at least 2 distinct"),
        ("a\0b\n", "error: standard input: the corpus must be UTF-8 text, got a NUL byte"),
    ],
)
def test_nothing_is_kept_of_a_run_that_is_refused(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (str(tmp_path / "run"), "run"):
        give(text, monkeypatch)
        assert main(["train", "--source", "-", "--out", out, *FAST]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
    Path("other.txt").write_bytes(b"a\0b\n")
    give(TEXT, monkeypatch)
    assert main(["train", "--source", "-", "--out", "r", "--held-out", "other.txt", *FAST]) == 2
    assert f"error: {tmp_path}/other.txt: " in capsys.readouterr().err
