"""The direction of imports, held by parsing every module; and no file of the project knows anyone's machine.

``tests → benchmarks → agents → seqgan_env``: a package imports from itself and from those to its right. Each check is a
function over paths or text, and is shown to fail on a bad example of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.modules import imports_of, modules_of, write_modules
from tests.support.package import ROOT, project_files

LAYERS = ("seqgan_env", "agents", "benchmarks", "tests")
NOT_IN_THE_ENVIRONMENT = ("stable_baselines3", "sb3_contrib")
SLOW_TO_IMPORT = ("stable_baselines3", "sb3_contrib", "matplotlib", "tensorboard", "agents")


def wrong_directions(root: Path, package: str) -> list[str]:
    """Imports of ``package`` that point against the layers, at any depth and also where only types are checked."""
    forbidden = set(LAYERS[LAYERS.index(package) + 1 :])
    if package == "seqgan_env":
        forbidden |= set(NOT_IN_THE_ENVIRONMENT)
    return [
        f"{path.relative_to(root)}:{found.line} imports {found.target}"
        for name, path in modules_of(root, package).items()
        for found in imports_of(name, path)
        if found.target.partition(".")[0] in forbidden
    ]


def import_cycle(root: Path, package: str) -> list[str]:
    """The modules of one circle of imports within ``package``, or nothing.

    An import for type checking alone doesn't count; one inside a function does, since it only puts the circle off.
    """
    modules = modules_of(root, package)
    graph = {}
    for name, path in modules.items():
        targets = (found.target for found in imports_of(name, path) if not found.typing_only)
        resolved = (t if t in modules else t.rpartition(".")[0] for t in targets)
        graph[name] = {t for t in resolved if t in modules and t != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def loaded_by_importing(module: str, suspects: tuple[str, ...], cwd: Path) -> list[str]:
    """Which of ``suspects`` a fresh interpreter in ``cwd`` has loaded after ``import module``."""
    code = f"import sys, {module}; print(*[name for name in {suspects!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


_MACHINE_PATH = re.compile(r"(?<![\w.~/}-])/(?:home|root|Users|work|opt|mnt)/(?=\w|\.)")


def machine_paths(text: str) -> list[str]:
    """Lines that name an absolute path of somebody's machine; part of a URL or of a relative path is none."""
    return [line.strip() for line in text.splitlines() if _MACHINE_PATH.search(line)]


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package: str) -> None:
    assert wrong_directions(ROOT, package) == []


@pytest.mark.parametrize("package", LAYERS)
def test_no_package_imports_in_a_circle(package: str) -> None:
    assert import_cycle(ROOT, package) == []


def test_the_checks_see_the_packages() -> None:
    assert {"seqgan_env", "seqgan_env.tokens"} <= modules_of(ROOT, "seqgan_env").keys()
    assert "agents" in modules_of(ROOT, "agents")
    assert "tests.project.test_architecture" in modules_of(ROOT, "tests")


def test_importing_the_environment_is_light() -> None:
    assert loaded_by_importing("seqgan_env", SLOW_TO_IMPORT, ROOT) == []


def test_importing_the_agents_needs_no_sb3_contrib() -> None:
    """It is no dependency; `agents.sb3.maskable` alone imports it."""
    assert loaded_by_importing("agents", ("sb3_contrib",), ROOT) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = {}
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content and (lines := machine_paths(content.decode("utf-8", errors="replace"))):
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("seqgan_env", "import agents"),
        ("seqgan_env", "from agents.policy import AutoregressivePolicy"),
        ("seqgan_env", "def f():\n    from stable_baselines3.common.vec_env import VecEnv\n"),
        ("seqgan_env", "import sb3_contrib as contrib"),
        ("seqgan_env", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stable_baselines3\n"),
        ("seqgan_env", "import importlib\nx = importlib.import_module('agents.sb3')\n"),
        ("agents", "from benchmarks import scenarios"),
        ("agents", "class A:\n    def f(self):\n        import tests.support.reference\n"),
        ("benchmarks", "from tests.support.reference import enumerate_all"),
    ],
)
def test_a_wrong_direction_is_found(tmp_path: Path, package: str, source: str) -> None:
    write_modules(tmp_path, {f"{package}/deep/bad.py": source})
    assert len(wrong_directions(tmp_path, package)) == 1


def test_the_right_direction_is_left_alone(tmp_path: Path) -> None:
    sources = {
        "agents/good.py": "from seqgan_env import mdp\nfrom . import losses\nfrom stable_baselines3 import PPO\n",
        "seqgan_env/good.py": "import numpy\nfrom agentscape import x\nfrom . import agents\nname = 'import agents'\n",
    }
    write_modules(tmp_path, sources)
    assert wrong_directions(tmp_path, "agents") == wrong_directions(tmp_path, "seqgan_env") == []


@pytest.mark.parametrize(
    "sources",
    [
        {"p/a.py": "from p import b", "p/b.py": "import p.a"},
        {"p/a.py": "from .b import name", "p/b.py": "def f():\n    from .a import other\n"},
        {"p/a.py": "from p.b import x", "p/b.py": "from .q import c", "p/q/c.py": "from ..a import y"},
        {"p/__init__.py": "from p.a import x", "p/a.py": "from p import exported"},
    ],
    ids=["plain", "inside a function", "of three", "through the package"],
)
def test_a_circle_is_found(tmp_path: Path, sources: dict[str, str]) -> None:
    assert len(import_cycle(write_modules(tmp_path, sources), "p")) >= 3  # the first module is named again at the end


def test_what_is_no_circle_is_left_alone(tmp_path: Path) -> None:
    sources = {
        "p/__init__.py": "from p.a import x\nfrom . import b\n",
        "p/a.py": "import typing\nif typing.TYPE_CHECKING:\n    from p.b import B\nelse:\n    import json\n",
        "p/b.py": "from p import a\nfrom p.a import x\n",
    }
    assert import_cycle(write_modules(tmp_path, sources), "p") == []


def test_a_heavy_import_is_found(tmp_path: Path) -> None:
    write_modules(tmp_path, {"eager.py": "import heavy", "heavy.py": "", "light.py": ""})
    assert loaded_by_importing("eager", ("heavy", "light"), tmp_path) == ["heavy"]


def test_a_machine_path_is_found() -> None:
    bad = [f"see {'/'}home/ann/notes.md", f"PATH='{'/'}root/.cache'", f"({'/'}work/main)", f"{'/'}opt/wheels"]
    good = ["https://example.org/home/page", "../work/data", "./root/x", "a/root/b", "~/work/x", "<root/>", "and/or"]
    assert machine_paths("\n".join(bad)) == bad
    assert machine_paths("\n".join(good)) == []
