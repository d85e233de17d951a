"""The project as a package: its files, its distributions, and an environment that holds nothing else of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, f'build_{sys.argv[1]}')(sys.argv[2])"


def project_files() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        run = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a git checkout to tell the project's files from others: {error}")
    return [path for name in filter(None, run.stdout.split("\0")) if (path := ROOT / name).is_file()]


def copy_project(folder: Path) -> Path:
    """A copy of the project's files, without what earlier builds have left in the checkout."""
    for path in project_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def build(kind: str, tree: Path, out: Path) -> Path:
    """Build ``tree`` by the backend's own hook, so that nothing is downloaded.

    Args:
        kind: ``"sdist"`` or ``"wheel"``.
        tree: the folder of ``pyproject.toml``.
        out: a new folder.

    Returns:
        The file that was made.
    """
    out.mkdir()
    run(tree, sys.executable, "-c", _HOOK, kind, str(out))
    (made,) = out.iterdir()
    return made


def contents(archive: Path) -> dict[str, bytes]:
    """The files of a wheel, or of an sdist below its one folder, by name."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as sdist:
        found = {member.name.partition("/")[2]: sdist.extractfile(member) for member in sdist if member.isfile()}
        return {name: file.read() for name, file in found.items() if file is not None}


def borrowing_environment(folder: Path, wheel: Path) -> Path:
    """Make an environment that holds the wheel and borrows everything else.

    A path in a ``.pth`` file is searched for packages, but the ``.pth`` files in it are not read: by one of those the
    environment of these tests finds the checkout, so that it is not found here.

    Returns:
        The folder of its programs.
    """
    venv.create(folder)
    programs = folder / "bin"
    paths = {"base": str(folder), "platbase": str(folder)}
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(sysconfig.get_path("purelib", vars=paths)) / "borrowed.pth").write_text("\n".join(borrowed))
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-index", "--no-deps"]
    run(folder, *pip, "--ignore-installed", str(wheel))
    return programs


def run(cwd: Path, *command: str | Path) -> str:
    """The standard output of a program that succeeds, without the variables that would let Python find the checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
