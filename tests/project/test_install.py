"""What `make install` asks pip for, without installing anything: the right build of torch, and pins that hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.package import ROOT
from tools.pin import pin


def pip_commands(tmp_path: Path, *settings: str) -> list[str]:
    """The pip commands of `make install` into an environment that doesn't exist yet, one string each."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("needs make")
    inherited = ("MAKEFLAGS", "MAKEOVERRIDES", "TORCH", "TORCH_INDEX", "VENV", "PLATFORM")
    env = {key: value for key, value in os.environ.items() if key not in inherited}
    command = [make, "--dry-run", "--no-print-directory", "install", f"VENV={tmp_path / 'venv'}", *settings]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return [line for line in run.stdout.replace("\\\n", " ").splitlines() if "pip install" in line]


def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@pytest.mark.parametrize("build", ["cpu", "cu130"])
def test_on_linux_the_build_of_torch_is_named_before_anything_else_can_choose_one(tmp_path: Path, build: str) -> None:
    settings = [] if build == "cpu" else [f"TORCH={build}"]
    first, second = pip_commands(tmp_path, "PLATFORM=Linux", *settings)
    assert re.search(rf"'torch{re.escape(str(pins()['torch'].specifier))}\+{build}'", first)
    assert f"--extra-index-url https://download.pytorch.org/whl/{build} " in first
    assert "--no-deps" in first
    assert "-c constraints.txt" in second


@pytest.mark.parametrize("settings", [["PLATFORM=Darwin"], ["PLATFORM=Linux", "TORCH=default"]])
def test_elsewhere_or_on_request_pip_chooses_the_build(tmp_path: Path, settings: list[str]) -> None:
    (only,) = pip_commands(tmp_path, *settings)
    assert "-c constraints.txt" in only


UNPINNED = ("parquet", "trackers")
"""The extras that are tried apart, some of which take only older versions of what the others take."""


def test_every_dependency_is_pinned_within_its_range() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(line for name, extra in project["optional-dependencies"].items() if name not in UNPINNED for line in extra),
    ]
    pinned = pins()
    for requirement in map(Requirement, declared):
        is_needed = requirement.marker is None or requirement.marker.evaluate()
        if requirement.name != project["name"] and is_needed:
            (exact,) = pinned[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(exact.version), requirement


@pytest.mark.parametrize(
    ("version", "requires_python", "line"),
    [
        ("1.2", None, "x==1.2"),
        ("1.2", ">=3.8", "x==1.2"),
        ("1.2", "<4,>=3.10", "x==1.2"),
        ("2.13.0+cpu", ">=3.10.0", "x==2.13.0"),
        ("1.2", "!=3.11.1,>=3.11", 'x==1.2 ; python_version >= "3.11"'),
        ("1.2", ">= 3.12", 'x==1.2 ; python_version >= "3.12"'),
    ],
)
def test_a_pin_drops_the_build_and_names_a_newer_python(version: str, requires_python: str | None, line: str) -> None:
    assert pin("x", version, requires_python) == line
