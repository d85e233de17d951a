"""The command line: one clear line and status 2 for bad input, nothing overwritten."""

from __future__ import annotations

import gzip
import inspect
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.cli import main, training, using
from agents.cli.program import COMMANDS
from agents.runs.experiment import Experiment
from agents.runs.folder import RunFolder
from agents.runs.presets import PRESETS
from seqgan_env.autoregressive import CORES
from seqgan_env.setting_docs import setting_meanings
from tests.support.runs import TINY, changed, flags_of, stored, without_pictures, without_time
from tests.support.sweeps import HereEngine, spec_with

pytestmark = pytest.mark.usefixtures("without_pictures")

TRAIN = ["train", "--preset", "small"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    with without_pictures():
        Experiment(changed(TINY, agent={"n_updates": 2}), folder, progress=False).run()
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "huge"], "preset must be one of grammar, demo, searched, paper, small, text, ratio; got 'huge'"),
        (["--reward", "praise"], "reward must be one of"),
        (["--generator.core", "mlp"], "core must be one of lstm, gru, attention, transformer; got 'mlp'"),
        (["--device", "tpu9"], "device must be 'auto', 'cpu'"),
        (["--discriminator", "oracle"], "discriminator must be one of"),
        (["--agent.baseline", "high"], "baseline must be one of"),
        (["--matmul-precision", "double"], "matmul_precision must be one of None, highest, high, medium; got 'double'"),
        (["--vocab-size", "0"], "vocab_size must be"),
        (["--max-length", "0"], "max_length must be"),
        (["--agent.n-completions", "-1"], "n_completions must be a whole number in [0, 100000], got -1"),
        (["--agent.n-episodes", "-1"], "n_episodes must be a whole number of at least 1, got -1"),
        (["--agent.learning-rate", "0"], "learning_rate must be a finite number above 0"),
        (["--source", "missing.txt"], "missing.txt"),
        (["--source", "empty.txt"], "empty.txt"),
        (["--source", "binary.txt"], "binary.txt"),
        (["--source", "latin1.txt"], "latin1.txt"),
        (["--source", "."], "Is a directory"),
        (["--source", "long.txt", "--max-length", "4"], "longer than"),
        (["--source", "rare.txt", "--min-count", "5"], "min_count"),
        (["--source", "grammar", "--level", "char"], "level"),
        (["--source", "long.txt", "--max-length", "4", "--seed", "1"], "or drop them with --long-lines drop"),
        (
            ["--source", "zipped.gz"],
            "zipped.gz: the corpus must be a text file that can be read: it is not a whole .gz file",
        ),
        (["--generator.hidden-dim", "1000000"], "must fit into the memory of this machine"),
        (["--agent.n-episodes", "10000000000"], "10000000000 episodes of max_length 10 must fit into the memory"),
        (["--source", "long.txt", "--max-length", "10000000000"], "must fit into the memory of this machine"),
        (["--adversary.n-held-out", "10000000000"], "sequences of max_length 10, which are drawn at once,"),
        (["--adversary.skip-real", "0.999999"], "skip_real must leave real sequences to learn from, got 0.999999 of"),
        (["--n-threads", "100000"], "n_threads must be a whole number in [1, 1024] or None, got 100000"),
        (
            ["--shaping", "..module:function"],
            "shaping must be a function or 'module:function', got '..module:function'",
        ),
        (
            ["--import", "..module"],
            "--import must name modules that are here: the name '..module' is relative to nothing",
        ),
        (["--evaluation.n", "10000000000"], "10000000000 sequences of max_length 10, which are drawn at once,"),
        (["--agent.learning-rate", "1e30"], "learning_rate must be a finite number above 0 and at most 1000000"),
        (["--sorce", "x"], "error: Unrecognized options: --sorce, x; was --source meant? seqgan COMMAND --help lists"),
        (["--source"], "Missing value for argument '--source'"),
        (["--out"], "Missing value for argument '--out'"),
        (["--agent.n-updates", "1.5"], "Error parsing --agent.n-updates"),
        (["--import", "no_such_module"], "--import must name modules that are here: No module named 'no_such_module'"),
        (["--resume"], "no run to resume"),
        (["--start-from", "nowhere"], "nowhere"),
        (["--out", "full"], "not an empty folder"),
        (["--out", "long.txt/run"], "seqgan: error: long.txt/run: Not a directory"),
        (["--source", "long.txt", "--held-out", "none.txt"], "held_out must be the path of a text file; there is no"),
        (["--source", "grammar", "--held-out", "long.txt"], "it has no use for held_out"),
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
    Path("zipped.gz").write_bytes(gzip.compress(b"a b\n")[:-1])
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


def test_every_argument_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "a.txt"]) == 2
    assert "seqgan judge needs B, Another one; seqgan COMMAND --help" in capsys.readouterr().err
    assert main(["judge"]) == 2
    assert re.search(r"seqgan judge needs A, The folder of .*; and B, Another one; seqgan", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [["--source", "c.txt", "--help"], ["--help", "--source", "c.txt"]])
def test_the_help_beside_a_source_shows_the_defaults_of_its_preset(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", *arguments])
    assert end.value.code in (0, None)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"(default: {PRESETS['text'].generator.kwargs['hidden_dim']})" in shown
    assert f"(default: {PRESETS['text'].adversary.n_generated})" in shown


@pytest.mark.parametrize("word", COMMANDS)
def test_the_help_has_no_line_break_of_the_source(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal that is wide enough each flag's meaning is one line."""
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit):
        main([word, "--help"])
    shown = capsys.readouterr().out
    config = PRESETS["grammar"]
    parts = [config.pretraining, config.adversary, config.agent, config.evaluation, config.runtime]
    kinds = [COMMANDS[word], *(map(type, parts) if word in ("train", "tune") else ())]
    meanings = [meaning for kind in kinds for meaning in setting_meanings(kind).values()]
    assert all(meanings)
    about = inspect.cleandoc(COMMANDS[word].__doc__ or "").split("\n\n")
    for text in (*meanings, *about):
        assert " ".join(text.split()).replace("`", "") in shown
    assert "`" not in shown


@pytest.mark.parametrize("word", ["train", "tune"])
def test_the_help_names_every_preset(word: str) -> None:
    named = re.findall(r"\w+", setting_meanings(COMMANDS[word])["preset"].split(":")[1].split(";")[0])
    assert set(named) - {"or"} == set(PRESETS)


def test_sample_and_evaluate(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), "-n", "4", "--prefix", "3 1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("3 1 ") and len(line.split()) == 5 for line in lines)
    assert main(["sample", str(run), "-n", "4", "--top-k", "1", "--top-p", "0.9", "--temperature", "2"]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    assert main(["evaluate", str(run)]) == 0
    usual = json.loads(capsys.readouterr().out)
    assert {"nll_test", "nll_oracle", "discriminator_accuracy"} <= set(usual)
    assert main(["evaluate", str(run), "--metrics", "text"]) == 0
    more = json.loads(capsys.readouterr().out)
    assert usual.items() <= more.items()
    assert {"bleu_4", "copied", "js_2"} <= set(more) - set(usual)


def test_several_temperatures_are_evaluated_in_a_row_each(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows(*temperatures: str) -> Any:
        assert main(["evaluate", str(run), "--metrics", "text", "--temperature", *temperatures]) == 0
        return json.loads(capsys.readouterr().out)

    alone = [rows(temperature) for temperature in ("0.5", "1.0")]
    assert rows("0.5", "1.0") == alone
    assert [row["temperature"] for row in alone] == [0.5, 1.0]
    assert alone[0]["bleu_4"] != alone[1]["bleu_4"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sample", "RUN", "--prefix", "99"], "[0, 12)"),
        (["sample", "RUN", "--prefix", "a man"], "token ids"),
        (["sample", "RUN", "--prefix", "1 1 1 1 1"], "shorter than T = 5"),
        (["sample", "RUN", "--temperature", "0"], "temperature"),
        (["sample", "RUN", "--top-k", "0"], "top_k must be a whole number of at least 1 or None, got 0"),
        (["sample", "RUN", "--top-p", "1.5"], "top_p must be a finite number above 0 and at most 1 or None, got 1.5"),
        (["sample", "RUN", "-n", "0"], "n must be a whole number of at least 1, got 0"),
        (["sample", "RUN", "--device", "tpu9"], "device"),
        (["sample", "nowhere"], "no run in nowhere"),
        (["evaluate", "nowhere"], "no run in nowhere"),
        (["evaluate", "RUN", "--temperature", "-1"], "temperature"),
        (["evaluate", "nowhere", "--temperature", "1", "0"], "temperature must be a finite number of at least 1e-30"),
        (["evaluate", "RUN", "--temperature"], "temperature must be at least one number, got none"),
        (["evaluate", "RUN", "--metrics", "text", "bleu"], "metrics must be one of temperatures, text, text_temp"),
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
    assert "holds a run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_resume_takes_the_settings_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(run), "--agent.n-episodes", "9"]) == 2
    assert "agent.n_episodes 9 instead of 8" in capsys.readouterr().err


def test_training_warns_of_the_text_and_of_what_the_game_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of ``inspect``, and once: not when the run goes on."""
    (tmp_path / "a.txt").write_text("one two\ntwo one\none one\n" * 9)
    config = changed(TINY, task={"source": str(tmp_path / "a.txt"), "vocab_size": None, "min_count": 2})
    monkeypatch.setattr("agents.runs.notes.REPEATS", 99)
    command = ["train", *flags_of(config), "--out", str(tmp_path / "run")]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "seqgan: warning: 27 lines are few; a discriminator soon knows them by heart\n" in shown.err
    assert "note: the game has made the generator repeat itself" in shown.out
    assert main([*command, "--resume"]) == 0
    assert "few" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "small"], "has other settings: task.vocab_size"),
        (["--start-from", "RUN"], "did not start from"),
        (["--source", "grammar"], "task.source 'grammar' instead of 'oracle'"),
    ],
)
def test_resume_ignores_nothing(
    run: Path, arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Experiment(changed(TINY, agent={"n_updates": 0}, seed=1), tmp_path / "other", progress=False).run()
    given = [str(tmp_path / "other") if argument == "RUN" else argument for argument in arguments]
    assert main(["train", "--resume", "--out", str(run), *given]) == 2
    assert says in capsys.readouterr().err


def test_the_same_command_with_its_preset_goes_on(run: Path, tmp_path: Path) -> None:
    """Also with more updates, and on another number of threads."""
    copy = shutil.copytree(run, tmp_path / "run")
    flags = flags_of(changed(TINY, agent={"n_updates": 4}, runtime={"n_threads": 2}))
    assert main([*TRAIN, *flags, "--out", str(copy), "--resume"]) == 0
    whole = Experiment(changed(TINY, agent={"n_updates": 4}), tmp_path / "whole", progress=False).run()
    assert stored(copy) == without_time(whole)


def test_names_of_an_imported_module_are_known_to_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("agents.runs.workers._imported", [])  # the workers of later tests have no such module
    Path("my_core.py").write_text(
        "from seqgan_env.autoregressive import CORES, register_core\nregister_core('mine', CORES['gru'])\n"
    )
    small = changed(TINY, generator={"core": "gru"}, pretraining={"n_epochs": 0}, agent={"n_updates": 0})
    flags = ["mine" if text == "gru" else text for text in flags_of(changed(small, adversary={"n_rounds": 0}))]
    for command in (
        [*TRAIN, *flags, "--out", "run"],
        ["train", "--resume", "--out", "run"],
        ["sample", "run"],
        ["evaluate", "run"],
    ):
        assert main(command) == 2
        assert "core must be one of" in capsys.readouterr().err
        try:
            assert main([*command, "--import", "json", "--import", "my_core"]) == 0
        finally:
            CORES.unregister("mine")
            del sys.modules["my_core"]


class TestOutput:
    """What is printed is for a person or a pipe, whatever either can take."""

    @pytest.fixture
    def _text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Any run holds a text with a heart and an accent, many times."""
        texts = SimpleNamespace(texts=lambda n, **_: ["i \u2764 caf\xe9"] * n)
        monkeypatch.setattr("agents.runs.sample.load_generator", lambda *_, **__: texts)

    @pytest.mark.usefixtures("_text")
    def test_a_character_that_cannot_be_shown_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="cp1252"))
        assert main(["sample", "run", "-n", "3"]) == 0
        assert shown.getvalue().decode("cp1252").split("\n") == ["i ? caf\xe9"] * 3 + [""]

    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_a_terminal_is_shown_control_characters_as_escapes(
        self, is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A program at the other end of a pipe gets the text as it is."""
        text = "a \x1b[2J\u202eman\x9b1m"
        texts = SimpleNamespace(texts=lambda n, **_: [text] * n)
        monkeypatch.setattr("agents.runs.sample.load_generator", lambda *_, **__: texts)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
        assert main(["sample", "run", "-n", "2"]) == 0
        assert capsys.readouterr().out.splitlines() == [r"a \x1b[2J\u202eman\x9b1m" if is_terminal else text] * 2

    @pytest.mark.usefixtures("_text")
    def test_so_is_one_in_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(shown, encoding="cp1252"))
        assert main(["evaluate", str(tmp_path / "\u2764")]) == 2
        sys.stderr.flush()
        assert shown.getvalue().endswith(b"?\n")

    def test_a_closed_one_is_no_error(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", None)
        assert main(["sample", str(run), "-n", "1"]) == 0
        assert main(["sample", str(run), "-n", "0"]) == 2

    @pytest.mark.parametrize(
        ("arguments", "status", "says"),
        [
            (["inspect", "-"], 2, "it is empty"),
            (["train", "--source", "-", "--out", "run"], 2, "it is empty"),
            (["play", "SeqGANTiny-v0"], 0, "the input ended"),
        ],
    )
    def test_a_closed_input_is_an_empty_one(
        self,
        arguments: list[str],
        status: int,
        says: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "stdin", None)
        assert main(arguments) == status
        assert says in "".join(capsys.readouterr())
        assert sys.stdin is None

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["train", "--source", "grammar", "--out", "run"], ""),
            (["tune", "--source", "grammar", "--out", "run"], "; the same command goes on"),
            (["demo"], "; the same command goes on"),
            (["sample", "run"], ""),
            (["evaluate", "run"], ""),
            (["inspect", "a"], ""),
            (["play", "SeqGANTiny-v0"], ""),
        ],
    )
    def test_an_interrupted_command_says_how_it_goes_on_if_it_can(
        self, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        trained = (training.Train, training.Tune, training.Demo)
        for command in (*trained, using.Sample, using.Evaluate, using.Inspect, using.Play):
            monkeypatch.setattr(command, "run", interrupt)
        assert main(arguments) == 130
        assert capsys.readouterr().err == f"seqgan: interrupted{says}\n"

    @pytest.mark.parametrize(
        ("interrupted", "says"), [("measure", "; the same command goes on with --resume"), ("__init__", "")]
    )
    def test_training_goes_on_with_resume_once_a_run_has_begun(
        self,
        interrupted: str,
        says: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Experiment, interrupted, interrupt)
        assert main(["train", "--preset", "demo", "--out", str(tmp_path / "run")]) == 130
        assert capsys.readouterr().err.splitlines()[-1] == f"seqgan: interrupted{says}"
        monkeypatch.undo()
        assert RunFolder(tmp_path / "run").holds_run is bool(says)

    @pytest.mark.usefixtures("_text")
    @pytest.mark.parametrize("arguments", [["sample", "run", "-n", "2"], ["sample", "run", "-n", "20000"], ["--help"]])
    def test_a_reader_that_has_gone_is_no_error(
        self, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as pipe:
            monkeypatch.setattr(sys, "stdout", pipe)
            assert main(arguments) == 0
            print("at the end of the process nothing is said either", file=pipe)
        assert capsys.readouterr().err == ""

    def test_another_pipe_that_breaks_is_one(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise BrokenPipeError(32, "Broken pipe")

        monkeypatch.setattr("agents.runs.sample.load_generator", fail)
        assert main(["sample", "run"]) == 2
        assert "Broken pipe" in capfd.readouterr().err


def test_a_sweep_from_its_example_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.sweeps.driver.check", lambda cell: None)
    monkeypatch.setattr("agents.sweeps.engines.build_engine", lambda *given: HereEngine())
    assert main(["sweep", "--example"]) == 0
    assert main(["sweep", "sweep.toml", "--example"]) == 2
    assert "sweep.toml is there already" in capsys.readouterr().err
    Path("sweep.toml").write_text(Path("sweep.toml").read_text().replace("[0, 1, 2]", "[0]"))
    assert main(["sweep"]) == 0
    shown = capsys.readouterr()
    assert "| maximum_likelihood | 1 |" in shown.out
    assert shown.err.count("done; ") == 8  # a line for each run
    assert Path("runs/sweep-sweep/report.html").is_file()
    assert main(["sweep", "report", "runs/sweep-sweep/results.jsonl", "--metric", "nll_oracle"]) == 0
    assert "results.html" in capsys.readouterr().out


def test_a_sweep_finds_modules_beside_its_file_and_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module of the user's hides none that is installed; a report is also made of what a stranger sends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("agents.sweeps.engines.build_engine", lambda *given: HereEngine())
    before = list(sys.path)
    Path("mine").mkdir()
    Path("mine/numpy.py").write_text("raise SystemExit('this is not numpy')")
    Path("mine/beside_the_sweep.py").write_text("def play(contest): return contest.game.agent")
    Path("in_the_folder.py").write_text("def reward(logit_B, tokens_BT): return logit_B")
    spec = spec_with(algorithm=["beside_the_sweep:play"], reward=["in_the_folder:reward"])
    Path("mine/sweep.py").write_text(f"import beside_the_sweep, numpy\nSPEC = {spec!r}")
    assert main(["sweep", "mine/sweep.py"]) == 0, capsys.readouterr().err
    assert sys.path == [*before, str(tmp_path / "mine"), str(tmp_path)]
    sys.path[:] = before
    assert main(["sweep", "report", "runs/sweep-sweep"]) == 0
    assert sys.path == before


@pytest.mark.parametrize("n_failed", [0, 1])
def test_the_status_of_a_sweep_tells_failed_runs(
    n_failed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.py").write_text('SPEC = {"task": ["small"], "algorithm": ["random"], "budget": {"steps": 9}}')
    results = [{"status": "failed"}] * n_failed + [{"status": "done"}]
    monkeypatch.setattr("agents.sweeps.driver.run_sweep", lambda *_, **__: results)
    monkeypatch.setattr("agents.cli.training.SweepReport.run", lambda self: print("the report"))
    assert main(["sweep", "sweep.py"]) == n_failed
    shown = capsys.readouterr()
    assert shown.out == "the report\n"  # also of runs that failed
    assert shown.err == ("seqgan: 1 of 2 runs failed, as the report says\n" if n_failed else "")


def test_a_sweep_of_which_every_run_fails_has_a_report_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> bytes:
        raise ValueError("no luck")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.sweeps.engines.build_engine", lambda *given: HereEngine(fail))
    Path("sweep.py").write_text(f"SPEC = {spec_with()!r}")
    assert main(["sweep", "sweep.py"]) == 1
    assert "seed 0: its pretraining failed: no luck" in capsys.readouterr().out
    assert "no luck" in Path("runs/sweep-sweep/report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.toml"], "missing.toml is not a readable sweep: No such file or directory"),
        (["sweep.py", "--engine", "slurm"], "engine must be one of local, ray; got 'slurm'"),
        (["sweep.py", "--out", "sweep.py"], "sweep.py is neither a sweep nor an empty folder"),
        (["report", "missing"], "missing is not a readable file of results: No such file or directory"),
        (["report", "sweep.py"], "sweep.py is not a readable file of results: "),
    ],
)
def test_a_sweep_that_cannot_be_is_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.py").write_text('SPEC = {"task": ["small"], "algorithm": ["random"], "budget": {"steps": 9}}')
    assert main(["sweep", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"seqgan: error: {says}")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.py"]
