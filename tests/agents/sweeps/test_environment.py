"""The description of a measurement's environment."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from agents.sweeps import environment
from agents.sweeps.environment import describe, peak_memory_mb, reset_peak_memory


def test_the_environment_is_plain_data_and_names_what_is_installed() -> None:
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_code_and_says_if_files_differ_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    code = tmp_path / "code.py"
    code.write_text("a = 1")
    monkeypatch.setattr(environment, "__file__", str(code))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe()["commit"] is None
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    assert describe()["commit"] == git("rev-parse", "HEAD")
    code.write_text("a = 2")
    assert describe()["commit"] == f"{git('rev-parse', 'HEAD')}-dirty"
    monkeypatch.setenv("PATH", "")
    assert describe()["commit"] is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can't be reset elsewhere")
def test_the_peak_is_that_of_a_run_and_not_of_the_one_before() -> None:
    block = np.ones(64 << 17)  # 64 MB
    high = peak_memory_mb()
    del block
    reset_peak_memory()
    low = peak_memory_mb()
    assert high is not None
    assert low is not None
    assert high - low > 48
