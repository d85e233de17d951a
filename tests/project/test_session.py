"""docs/session.md is typed into a shell, where only the wheel is, and prints what it says."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.package import ROOT

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
CHECKER = doctest.OutputChecker()


def commands(page: str) -> list[tuple[str, str]]:
    """Each command of the page, and the output that it shows."""
    found: list[tuple[str, str]] = []
    for line in "".join(BLOCK.findall(page)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:] + "\n", ""))
        elif line == ">" or line.startswith("> "):
            found[-1] = (found[-1][0] + line[2:] + "\n", "")
        else:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def prints(wanted: str, got: str) -> bool:
    """Whether an output is as shown, where ``...`` stands for anything."""
    return CHECKER.check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


def test_the_parser_finds_commands_and_outputs() -> None:
    page = "```console\n$ echo a \\\n>   b\na   b\n$ cat <<E\n> x\n>\n> E\n```\n```sh\n$\n```\n```console\n$ true\n```"
    assert commands(page) == [("echo a \\\n  b\n", "a   b\n"), ("cat <<E\nx\n\nE\n", ""), ("true\n", "")]
    assert prints("a ...\nc\n", "a b\nd\nc\n")
    assert not prints("a ...\nc\n", "a b\nd\n")


def test_the_installation_is_the_readme_s() -> None:
    block = re.compile(r"```sh\n(.*?)```", re.DOTALL)
    (shown,) = block.findall((ROOT / "docs/session.md").read_text(encoding="utf-8"))
    assert any(part.startswith(shown) for part in block.findall((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_prints_what_the_page_shows(programs: Path, tmp_path: Path) -> None:
    session = commands((ROOT / "docs/session.md").read_text(encoding="utf-8"))
    assert len(session) >= 11
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "110"}
    env.pop("PYTHONPATH", None)
    for typed, shown in session:
        done = subprocess.run(
            ["sh", "-c", typed],
            cwd=tmp_path,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        assert prints(shown, done.stdout), f"{typed}{done.stdout}"
        assert done.returncode == (2 if "error:" in shown else 0), typed
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
