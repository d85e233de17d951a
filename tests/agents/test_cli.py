"""The command line: one clear line and status 2 for bad input, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.cli import main
from agents.runs.experiment import Experiment
from tests.support.runs import TINY, changed

TRAIN = ["train", "--preset", "small"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    Experiment(changed(TINY, agent={"n_updates": 2}), folder, progress=False).run()
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "huge"], "preset must be one of grammar, demo, paper, small, text; got 'huge'"),
        (["--reward", "praise"], "reward must be one of"),
        (["--generator.core", "mlp"], "core must be one of lstm, gru, attention, transformer; got 'mlp'"),
        (["--device", "tpu9"], "device must be 'auto', 'cpu'"),
        (["--discriminator", "oracle"], "discriminator must be one of"),
        (["--agent.baseline", "high"], "baseline must be one of"),
        (["--matmul-precision", "double"], "matmul_precision must be one of None, highest, high, medium; got 'double'"),
        (["--vocab-size", "0"], "vocab_size must be"),
        (["--max-length", "0"], "max_length must be"),
        (["--agent.n-completions", "-1"], "n_completions must be a whole number of at least 0, not -1"),
        (["--agent.n-episodes", "-1"], "n_episodes must be a whole number of at least 1, not -1"),
        (["--agent.learning-rate", "0"], "learning_rate must be a finite number above 0"),
        (["--source", "missing.txt"], "missing.txt"),
        (["--source", "empty.txt"], "empty.txt"),
        (["--source", "binary.txt"], "binary.txt"),
        (["--source", "latin1.txt"], "latin1.txt"),
        (["--source", "."], "."),
        (["--source", "long.txt", "--max-length", "4"], "longer than"),
        (["--source", "rare.txt", "--min-count", "5"], "min_count"),
        (["--source", "grammar", "--level", "char"], "level"),
        (["--resume"], "no run to resume"),
        (["--start-from", "nowhere"], "nowhere"),
        (["--out", "full"], "not an empty folder"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_status_2(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n\n")
    Path("binary.txt").write_bytes(b"a\x00b\n")
    Path("latin1.txt").write_bytes("café\n".encode("latin-1"))
    Path("long.txt").write_text("a b c d e f g\na b\n")
    Path("rare.txt").write_text("a b c\nd e f\n")
    Path("full").mkdir()
    Path("full/letter.txt").write_text("keep me")
    source = [] if {"--source", "--preset"} & set(arguments) else ["--preset", "small"]
    out = [] if "--out" in arguments else ["--out", "run"]
    assert main(["train", *source, *out, *arguments]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("seqgan: error: ")
    assert stderr.count("\n") == 1
    assert says in stderr
    assert not Path("run").exists()
    assert Path("full/letter.txt").read_text() == "keep me"


def test_sample_and_evaluate(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), "-n", "4", "--prefix", "3 1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("3 1 ") and len(line.split()) == 5 for line in lines)
    assert main(["sample", str(run), "-n", "4", "--top-k", "1", "--top-p", "0.9", "--temperature", "2"]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    assert main(["evaluate", str(run)]) == 0
    assert {"nll_test", "nll_oracle", "discriminator_accuracy"} <= set(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sample", "RUN", "--prefix", "99"], "[0, 12)"),
        (["sample", "RUN", "--prefix", "a man"], "token ids"),
        (["sample", "RUN", "--prefix", "1 1 1 1 1"], "shorter than T = 5"),
        (["sample", "RUN", "--temperature", "0"], "temperature"),
        (["sample", "RUN", "--top-k", "0"], "top_k must be a whole number of at least 1, got 0"),
        (["sample", "RUN", "--top-p", "1.5"], "top_p must be above 0 and at most 1, got 1.5"),
        (["sample", "RUN", "-n", "0"], "n must be at least 1"),
        (["sample", "RUN", "--device", "tpu9"], "device"),
        (["sample", "nowhere"], "no run in nowhere"),
        (["evaluate", "nowhere"], "no run in nowhere"),
        (["evaluate", "RUN", "--temperature", "-1"], "temperature"),
    ],
)
def test_bad_requests_to_a_run(run: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run) if argument == "RUN" else argument for argument in arguments]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("seqgan: error: ")
    assert stderr.count("\n") == 1
    assert says in stderr


def test_another_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([*TRAIN, "--out", str(run)]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_resume_takes_the_settings_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(run), "--agent.n-updates", "9"]) == 2
    assert "agent.n_updates 9 instead of 2" in capsys.readouterr().err


def test_a_corpus_cannot_command_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its control characters are shown as escapes; a pipe gets the text as it is."""
    corpus = tmp_path / "[bold]a \x1b[31m.txt"
    corpus.write_text("\x1b\x9bab\n" * 50 + "\x1bba\x07\n" * 50)
    config = changed(
        TINY,
        task={"source": str(corpus), "level": "char", "vocab_size": None, "max_length": None},
        pretraining={"n_epochs": 1},
        agent={"n_updates": 0},
    )
    run = tmp_path / "run"
    Experiment(config, run, progress=False).run()
    assert main(["sample", str(run), "-n", "20"]) == 0
    assert "\x1b" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["sample", str(run), "-n", "20"]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b" in shown
    assert not {"\x1b", "\x9b", "\x07"} & set(shown)
    monkeypatch.undo()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "[bold]a \\x1b[31m.txt" in " ".join(shown.split())
    assert "\x1b" not in shown
    assert main(["train", "--source", str(corpus) + "no", "--out", str(tmp_path / "new")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_lack_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("agents.cli.default_config", fail)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "seqgan: error: MemoryError\n"
