"""The program answers at once, and can be interrupted from its first moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import agents
from agents import cli, command
from seqgan_env import __version__

INTERRUPTED = """
import builtins, os, signal, sys
from agents import command
own, sys.argv = builtins.__import__, ["seqgan", "inspect", "nothing"]
signal.signal(signal.SIGINT, {handler})
def interrupted(name, *more):
    if name == "{at}":
        os.kill(os.getpid(), signal.SIGINT)
        try:
            for _ in range(10):
                pass
        except BaseException:  # as a library may
            pass
    return own(name, *more)
builtins.__import__ = interrupted
sys.exit(command.main())
"""


def test_the_version_needs_no_library(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seqgan", "--version"])
    assert command.main() == 0
    assert capsys.readouterr().out == f"seqgan {__version__}\n"
    lines = "import sys, agents.command; assert not {'torch', 'numpy', 'gymnasium'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", lines], check=True)


def test_python_m_gives_the_same_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"seqgan {__version__}\n"


def test_every_public_name_is_there_when_it_is_asked_for() -> None:
    assert set(agents.__all__) == agents._MODULES.keys()
    for name in agents.__all__:
        assert getattr(agents, name).__name__ == name
    assert set(agents.__all__) <= set(dir(agents))
    with pytest.raises(AttributeError, match="'agents' has no attribute 'Nothing'"):
        agents.Nothing  # noqa: B018


@pytest.mark.parametrize("at", ["tyro", "agents.runs.config"])
def test_ctrl_c_during_the_imports_is_one_line(at: str) -> None:
    code = INTERRUPTED.format(at=at, handler="signal.default_int_handler")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "seqgan: interrupted\n")


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setattr("agents.cli.main", lambda: int(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
        monkeypatch.setattr(sys, "argv", ["seqgan", "inspect"])
        assert command.main() == 1
    finally:
        signal.signal(signal.SIGINT, before)
