"""Every command that the documents name is parsed, and every one that they show is run: here, elsewhere or in CI."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import re
import runpy
import shlex
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.cli import main
from agents.cli.program import COMMANDS
from benchmarks import harness
from tests.support.documents import missing
from tests.support.package import ROOT
from tests.support.runs import without_pictures

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WORKFLOWS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").glob("*.yml")))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MADE = "\n".join(
    [
        *re.findall(r"(?:run: make|target:) (.*)", WORKFLOWS),
        *re.findall(r"\$\(MAKE\) (.*)", MAKEFILE.split("\ncheck: ")[1].split("\n\n")[0]),
    ]
)
"""The targets that CI makes."""
TYPED_ELSEWHERE = {
    "docs/session.md": "tests/project/test_session.py::test_every_command_prints_what_the_page_shows",
    "docs/use_it_with.md": "tests/consumers/test_page.py::test_every_block_is_run_or_is_part_of_a_program",
}
"""Pages with a test of their own."""
RUN_ELSEWHERE = {
    "--level bpe": "tests/agents/runs/test_sample.py",  # needs an extra
    "make install": "tests/project/test_install.py",
    "seqgan-env[": "tests/project/test_install.py::test_every_dependency_is_pinned_within_its_range",
    "pip install --no-deps imitation": "benchmarks/consumers/imitation_bc.py",
    "python -m benchmarks.": "tests/benchmarks/",  # they take hours: their functions are run there, at a small size
    "python tools/gif.py": "tests/seqgan_env/test_rendering.py",
    "python tools/release_notes.py": "tests/project/test_package.py",
    "ray start": "tests/agents/sweeps/test_ray_engine.py",
    "seqgan demo": "tests/agents/runs/test_demo.py",
    "seqgan sweep": "tests/agents/test_cli.py::test_a_sweep_from_its_example_to_its_report",
}
"""A part of a command, and what runs it, or what it is part of."""
ADDED = {
    "train": "--evaluation.n 50 --pretraining.n-epochs 1 --adversary.n-rounds 1 --adversary.n-generated 16 "
    "--adversary.n-held-out 8 --agent.n-updates 1 --agent.n-episodes 4 --generator.embedding-dim 8 "
    "--generator.hidden-dim 8 --discriminator.embedding-dim 8",
    "--preset ratio": "--discriminator.hidden-dim 8 --discriminator.n-members 1 --discriminator.n-epochs 1",
    "train --source": "--agent.n-completions 1 --discriminator.filters 1 8",
    "evaluate": "-n 50",
    "judge": "-n 3 --port 0",
}
"""A part of a command, and the flags that make it small enough to be run here."""
SHOWN = {
    "inspect": r"lines +60, 60 of them distinct",
    "train": r"(?s)SeqGAN .*\nreport: runs/\w+/report\.html\n$",
    "sample": r"^(.+\n){10}$",
    "evaluate": r'"bleu_2": 0\.',
    "play": r"(?s)a man.*D",
    "judge": r"(?s)neither in 3\..*answers: runs/judge\.json\n$",
}
"""The pattern of what each command prints."""
NAMES = {"--reward name": "--reward rank", "--discriminator name": "--discriminator gru"}
"""Words of the documents that stand for others."""
PROGRAMS = r"seqgan|python|make|uv|pip|docker|ray|\.venv/bin/\w+"


def plain(command: str) -> str:
    """A command without the variables and the folder before it, and without a redirection or a comment after it."""
    command = re.sub(r"\s+(#|> ).*", "", " ".join(command.split()))
    return re.sub(r"^(\w+=\S+ )*(\.venv/bin/)?", "", command)


def typed(page: str) -> list[str]:
    """The commands of a page's blocks."""
    blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [plain(line) for line in lines if line.strip() and not line.startswith("#")]


def mentioned(page: str) -> list[str]:
    """The commands that a page names within its sentences, or parts of them."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return [plain(span) for span in re.findall(rf"`((?:{PROGRAMS})\s[^`]+)`", text)]


def is_run(command: str) -> bool:
    """Whether a command is run here, elsewhere or in CI."""
    program, *words = command.split()
    if program == "make" and all(re.search(rf"\b{word}\b", MADE) for word in words if "=" not in word):
        return True
    return program == "seqgan" or f"run: {command}\n" in WORKFLOWS or is_run_elsewhere(command)


def is_run_elsewhere(command: str) -> bool:
    return any(part in command for part in RUN_ELSEWHERE)


TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
TYPED = list(dict.fromkeys(c for page, text in TEXTS.items() if page not in TYPED_ELSEWHERE for c in typed(text)))
MENTIONED = list(dict.fromkeys(c for text in TEXTS.values() for c in mentioned(text)))
HERE = [command for command in TYPED if command.startswith("seqgan ") and not is_run_elsewhere(command)]


def test_every_command_is_run_by_something() -> None:
    parsed = re.compile(r"(seqgan|make|python -m benchmarks\.\w+) ")
    assert [command for command in TYPED if not is_run(command)] == []
    assert [command for command in MENTIONED if not parsed.match(command) and not is_run(command)] == []
    for part, where in {**TYPED_ELSEWHERE, **RUN_ELSEWHERE}.items():
        assert part in TEXTS or any(part in command for command in [*TYPED, *MENTIONED])
        assert missing(f"`{where}`", ROOT / "README.md", ROOT) == []


def test_commands_are_found_and_one_that_nothing_runs_is_told() -> None:
    page = (
        "Say `make\nall` or `a b`.\n```sh\nX=1 .venv/bin/npm i \\\n  x > y  # z\n# no\nmake a B=1\n```\n`pip install x`"
    )
    assert typed(page) == ["npm i x", "make a B=1"]
    assert mentioned(page) == ["make all", "pip install x"]
    assert not any(map(is_run, [*typed(page), *mentioned(page), "docker build", "uv venv"]))
    assert all(map(is_run, ["make lint", "make demo TORCH=cu130", "docker build -t seqgan ."]))


def test_what_ci_makes_is_there_and_torch_is_the_pinned_one() -> None:
    for target in re.findall(r"target: \[(.*)\]", WORKFLOWS):
        assert all(re.search(rf"^{name}: ", MAKEFILE, re.MULTILINE) for name in target.split(", "))
    pin = re.search(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pin is not None
    assert set(re.findall(r"torch==([\w.]+)\+cpu", TEXTS["README.md"])) == {pin[1]}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The output of each command that is run here, one after the other in a folder that stays the working one."""
    shown = {}
    with pytest.MonkeyPatch.context() as patch, without_pictures():
        patch.chdir(tmp_path_factory.mktemp("commands"))
        parts = ["a man,a woman,two men", "rides,sees,holds,eats", "a horse,a dog,the bread,a red apple,some rice"]
        lines = [" ".join(line) for line in itertools.product(*(part.split(",") for part in parts))]
        Path("runs").mkdir()
        for file in ("captions.txt", "poems.txt", "runs/other"):
            Path(file).write_text("\n".join(lines), encoding="utf-8")
        patch.setattr("webbrowser.open", answer)
        for command in HERE:
            added = " ".join(flags for part, flags in ADDED.items() if part in command)
            patch.setattr(sys, "stdin", io.StringIO("a man\n"))
            with contextlib.redirect_stdout(io.StringIO()) as out:
                assert main(shlex.split(f"{command} {added}")[1:]) == 0
            shown[command] = out.getvalue()
        yield shown


def answer(url: str) -> None:
    """See no difference in any pair of a ballot of three."""
    for index in range(3):
        body = json.dumps({"index": index, "place": "neither"}).encode()
        asked = urllib.request.Request(f"{url}answer", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=10).close()


@pytest.mark.parametrize("command", HERE)
def test_a_command_of_a_block_does_what_it_is_for(command: str, played: dict[str, str]) -> None:
    assert re.search(SHOWN[command.split()[1]], played[command])


@pytest.mark.parametrize("command", [c for c in [*TYPED, *MENTIONED] if c.startswith("seqgan ")])
def test_a_command_of_the_program_is_one(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of one, too: what it lacks is all that is wrong with it."""
    for kind in COMMANDS.values():
        monkeypatch.setattr(kind, "run", lambda *_: None)
    for name, example in NAMES.items():
        command = command.replace(name, example)
    words = shlex.split(command)[1:]
    if len(words) == 1:
        assert words[0] in COMMANDS
        return
    try:
        status = main(words)
    except SystemExit as end:  # of --help
        status = int(end.code or 0)
    error = capsys.readouterr().err
    if command in MENTIONED and re.search("needs|Missing value", error):
        with pytest.raises(SystemExit):
            main([*(word for word in words if not word.startswith("--")), "--help"])
        assert {word for word in words if word.startswith("--")} <= set(
            re.findall(r"--[\w.-]+", capsys.readouterr().out)
        )
    else:
        assert status == 0, error


@pytest.mark.parametrize("command", [c for c in [*TYPED, *MENTIONED] if c.startswith("python -m benchmarks.")])
def test_a_command_of_a_benchmark_is_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, parsed = harness.command_line, []

    def pretended(name: str, commands: dict[str, Callable[..., object]]) -> None:
        def instead(function: Callable[..., object]) -> Callable[..., object]:
            return functools.wraps(function)(lambda *_, **__: parsed.append(function))

        real(name, {word: instead(function) for word, function in commands.items()})

    module, *words = shlex.split(command)[2:]
    path = ROOT / module.replace(".", "/")
    monkeypatch.setattr(harness, "command_line", pretended)
    monkeypatch.setattr(sys, "argv", [module, *words])
    runpy.run_path(str(path / "__main__.py" if path.is_dir() else path.with_suffix(".py")), run_name="__main__")
    assert len(parsed) == 1


@pytest.mark.parametrize("command", [c for c in [*TYPED, *MENTIONED] if c.startswith("make ")])
def test_a_command_of_make_is_one(command: str) -> None:
    for word in command.split()[1:]:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} \?=" if is_variable else rf"^{name}: ", MAKEFILE, re.MULTILINE), word
