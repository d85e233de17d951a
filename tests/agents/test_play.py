"""An episode that a person plays, through a pipe."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from agents.cli import main
from agents.play import make_env, play, tokens_of
from agents.runs.experiment import Experiment
from seqgan_env.discriminators import save_discriminator
from seqgan_env.env import SeqGANEnv
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from tests.support.cases import SMALL_GRAMMAR
from tests.support.runs import SHORT, without_pictures


def played(env: SeqGANEnv, lines: Iterable[str]) -> tuple[float | None, list[str]]:
    rest, said = iter(lines), []
    return play(env, lambda: next(rest, None), said.append), said


@pytest.fixture
def env() -> SeqGANEnv:
    return SeqGANEnv(**SMALL_GRAMMAR, render_mode="ansi")


class TestPlay:
    def test_shows_d_of_each_beginning_and_the_reward(self, env: SeqGANEnv) -> None:
        total, said = played(env, ["the", "birds sing", "", "<eos>", "never read"])
        vocabulary = env.task.source.vocabulary
        assert vocabulary is not None
        ids = [*vocabulary.encode("the birds sing"), 0]
        assert total == float(env.score([ids])[0])
        assert said[-1] == f"reward {total:.4f}"
        rows = np.full((4, env.sequence_spec.max_length), env.sequence_spec.pad_id)
        for n in range(4):
            rows[n, : n + 1] = ids[: n + 1]
        d_4 = 1 / (1 + np.exp(-env.task.scoring.prefix_logit(rows)))
        words, T = ["the", "birds", "sing", "<eos>"], env.sequence_spec.max_length
        assert said[1:5] == [f"[{n + 1}/{T}] {' '.join(words[: n + 1])}  D {d_4[n]:.3f}" for n in range(4)]

    def test_takes_back(self, env: SeqGANEnv) -> None:
        total, said = played(env, ["the", "<", "<", "a bird", "<", "cat", "0"])
        assert said[2] == said[3] == f"[0/{env.sequence_spec.max_length}] "
        assert " a cat  D" in said[-3]
        vocabulary = env.task.source.vocabulary
        assert vocabulary is not None
        assert total == float(env.score([[*vocabulary.encode("a cat"), 0]])[0])

    def test_what_was_taken_back_is_not_paid(self) -> None:
        env = SeqGANEnv(**SMALL_GRAMMAR, render_mode="ansi", shaping="length")
        total, _ = played(env, ["the", "the", "<", "<", "0"])
        assert total == env.episode_return([[0]])[0]

    def test_lists_what_is_allowed(self) -> None:
        env = SeqGANEnv(**SMALL_GRAMMAR, render_mode="ansi", allowed_tokens=["a", "bird"], min_length=2)
        _, said = played(env, ["?", "the", "0", "a", "?"])
        first, *lines = said[1].splitlines()
        assert first == "2 tokens are allowed, the most real first:"
        assert {line.split()[-1] for line in lines} == {"a", "bird"}
        d = [float(line.split()[2]) for line in lines]
        assert d == sorted(d, reverse=True)
        assert "an action must be allowed by the task's constraints" in said[2]
        assert "an action must be allowed by the task's constraints" in said[3]
        assert said[5].startswith("3 tokens are allowed")

    def test_says_how_a_sequence_ends_and_what_d_is_worth(self, env: SeqGANEnv) -> None:
        untrained = "\nthe discriminator has not been trained, and D says nothing yet"
        _, said = played(env, ["?"])
        assert said[0].endswith(f"; <eos> or 0 ends the sequence{untrained}")
        _, *listed, more = said[1].splitlines()
        n = env.sequence_spec.vocab_size
        assert "<eos>" in {line.split()[-1] for line in listed}
        assert more == f"   and {n - len(listed)} more"
        env.task.scoring.version = 1
        assert played(env, [])[1][0].endswith("; <eos> or 0 ends the sequence")
        assert "ends the sequence" not in played(make_env("SeqGAN-v0"), [])[1][0]

    def test_says_nothing_of_a_discriminator_that_came_from_a_file(self, env: SeqGANEnv, tmp_path: Path) -> None:
        save_discriminator(env.task.scoring.discriminator, tmp_path / "d.st")
        of_file = SeqGANEnv(**{**SMALL_GRAMMAR, "discriminator": str(tmp_path / "d.st"), "discriminator_kwargs": {}})
        assert "trained" not in played(of_file, [])[1][0]

    def test_a_number_that_is_a_token_is_not_said_to_be_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("0 1\n1\n0 0\n")
        task = {"source": str(tmp_path / "a.txt"), "level": "token"}
        assert "; <eos> ends the sequence" in played(SeqGANEnv(**task), [])[1][0]

    def test_the_end_of_the_input_pays_nothing(self, env: SeqGANEnv) -> None:
        total, said = played(env, ["the"])
        assert total is None
        assert said[-1] == "the input ended before the sequence: no reward"

    def test_tokens_without_text_are_numbers(self) -> None:
        env = make_env("SeqGANTiny-v0")
        total, said = played(env, ["9", "x", "1 2", "?", "3 0"])
        assert said[1] == "the number of a token must be below 4, got 9"
        assert said[2] == "no token is or begins with 'x'"
        assert total == float(env.score([[1, 2, 3, 0]])[0])


class TestTokensOf:
    def test_words(self) -> None:
        task = Task(TaskConfig(**SMALL_GRAMMAR))
        vocabulary = task.source.vocabulary
        assert vocabulary is not None
        assert tokens_of(task, " the  cat ") == vocabulary.encode("the cat")
        assert tokens_of(task, "<e 5") == [0, 5]
        with pytest.raises(ValueError, match=r"^no token is or begins with 'xyz'$"):
            tokens_of(task, "the xyz")
        with pytest.raises(ValueError, match=r"^15 tokens begin with 's': sad, sailor, sailors, see, "):
            tokens_of(task, "s")

    def test_byte_pairs(self, tmp_path: Path) -> None:
        pytest.importorskip("tokenizers")
        (tmp_path / "a.txt").write_text("a cat sat\na hat sat\n" * 5)
        task = Task(TaskConfig(source=str(tmp_path / "a.txt"), level="bpe"))
        vocabulary = task.source.vocabulary
        assert vocabulary is not None
        assert tokens_of(task, "a cat sat") == vocabulary.encode("a cat sat")
        assert tokens_of(task, " sat") == [vocabulary.tokens.index(" sat")]
        assert tokens_of(task, "0") == [0]
        with pytest.raises(ValueError, match="only characters of the vocabulary; it does not have 'x'"):
            tokens_of(task, "a xat")

    @pytest.mark.parametrize(
        ("settings", "text", "line", "words"),
        [
            ({"level": "char"}, "a 1\n1b\n", "a 1", ["a", " ", "1"]),
            ({"level": "char"}, "a 1\n1b\n", " ", [" "]),
            ({"level": "char"}, "a 1\n1b\n", "0", ["<eos>"]),
            ({"level": "token", "delimiter": "|"}, "New York|is\nRome|is\n", "New Y|is", ["New York", "is"]),
            ({"level": "token", "delimiter": "|"}, "New York|is\nRome|is\n", "New York", ["New York"]),
            ({"level": "token"}, "3 7\n7 3\n", "7 <unk>", ["7", "<unk>"]),
        ],
    )
    def test_levels(self, settings: dict[str, str], text: str, line: str, words: list[str], tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(text)
        task = Task(TaskConfig(source=str(tmp_path / "a.txt"), **settings))  # type: ignore[arg-type]
        vocabulary = task.source.vocabulary
        assert vocabulary is not None
        assert [vocabulary.tokens[i] for i in tokens_of(task, line)] == words


class TestCommand:
    def test_is_driven_by_a_pipe(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n3\n0\n"))
        assert main(["play", "SeqGANTiny-v0"]) == 0
        assert re.search(r"reward -\d\.\d{4}\n$", capsys.readouterr().out)

    def test_plays_a_run_with_its_discriminator(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "run"
        with without_pictures():
            experiment = Experiment(SHORT, out, progress=False)
            experiment.run()
        row = [[1, 2, 3, 4, 5]]
        expected = experiment.game.task.scoring.discriminator.logits(np.array(row))[0]
        reward = -np.log1p(np.exp(-expected))
        monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3 4 5\n"))
        assert main(["play", str(out)]) == 0
        assert abs(float(capsys.readouterr().out.split()[-1]) - reward) < 1e-3
        assert main(["play", str(out), "--source", "grammar"]) == 2
        assert "source must be the new place of the run's file, got 'grammar'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["CartPole-v1"], "the task, or the folder of a run, must be one of SeqGAN-v0, "),
            (["SeqGANText-v0"], "source must be 'oracle', 'grammar' or the path of a text file, not None"),
            (["SeqGANText-v0", "--source", "none.txt"], "there is no file 'none.txt'"),
            ([], "seqgan play needs ID, A registered task"),
        ],
    )
    def test_bad_input_is_one_line(self, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["play", *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1

    def test_render_shows_each_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = []
        monkeypatch.setattr(SeqGANEnv, "render", lambda self: shown.append(self.render_mode))
        monkeypatch.setattr("agents.play.has_screen", lambda: True)
        monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3\n<\n3 0\n"))
        assert main(["play", "SeqGANTiny-v0", "--render"]) == 0
        assert shown == ["human"] * 7

    def test_without_a_screen_each_step_is_shown_once(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3 0\n"))
        assert main(["play", "SeqGANTiny-v0"]) == 0
        expected = capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3 0\n"))
        assert main(["play", "SeqGANTiny-v0", "--render"]) == 0
        assert capsys.readouterr().out == expected
