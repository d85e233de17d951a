"""The wheel and the sdist hold what they should, and the wheel works where nothing else of the project is."""

from __future__ import annotations

import re
from email import message_from_bytes
from pathlib import Path

import pytest

import seqgan_env
from tests.support.package import ROOT, build, contents, copy_project, project_files, run
from tests.support.runs import SHORT, flags_of
from tools.release_notes import notes, versions

CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_sdist_is_the_project_and_builds_the_same_wheel(tmp_path: Path) -> None:
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    code = {name for name in names if name.startswith(("seqgan_env/", "agents/"))}
    assert {"seqgan_env/py.typed", "agents/py.typed", "agents/sb3/vec_env.py"} < code
    tree = copy_project(tmp_path / "tree")

    sdist = build("sdist", tree, tmp_path / "sdist")
    made = re.compile(r"PKG-INFO|setup\.cfg|seqgan_env\.egg-info/.*")
    assert {name for name in contents(sdist) if not made.fullmatch(name)} == {
        name for name in names if not name.startswith(".")
    }

    wheel = contents(build("wheel", tree, tmp_path / "wheel"))
    info = f"seqgan_env-{seqgan_env.__version__}.dist-info"
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert set(wheel) == code | {f"{info}/{name}" for name in about}
    metadata = message_from_bytes(wheel[f"{info}/METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("seqgan-env", seqgan_env.__version__)
    assert metadata["License-Expression"] == "MIT"

    for name, content in contents(sdist).items():
        (file := tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert contents(build("wheel", tmp_path / "unpacked", tmp_path / "again")) == wheel


def test_the_command_of_the_wheel_trains_in_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    assert "demo" in run(tmp_path, programs / "seqgan", "--help")
    run(tmp_path, programs / "seqgan", "train", "--out", "run", *flags_of(SHORT))
    assert {"agent.zip", "report.html", "samples.txt"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_the_version_is_the_same_everywhere() -> None:
    assert re.findall(r"^version: (.*)$", CITATION, flags=re.MULTILINE) == [seqgan_env.__version__]
    assert versions(CHANGELOG)[:1] in ([], [seqgan_env.__version__])
    assert "## [Unreleased]\n" in CHANGELOG


def test_the_pythons_are_the_same_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert f'requires-python = ">={pythons[0]}"' in project
    assert f'python_version = "{pythons[0]}"' in project
    assert f'target-version = "py{pythons[0].replace(".", "")}"' in project
    ci = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'"(3\.\d+)"', ci)) == set(pythons)


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml", ".github/workflows/release.yml"]
)
def test_every_command_of_make_that_is_named_exists(file: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = (ROOT / file).read_text(encoding="utf-8")
    named = re.findall(r"(?:`|run: |^)make (?:--[a-z-]+ )*([a-z][a-z-]*)", text, flags=re.MULTILINE)
    assert named
    assert set(named) <= targets


def test_the_notes_of_a_release_are_its_part_of_the_changelog() -> None:
    changelog = (
        "# Log\n\n## [Unreleased]\n\n- New.\n\n## [0.2.0] - 2026-01-31\n\n### Added\n\n- Two.\n\n## [0.1.0]\n\nOne.\n"
    )
    assert versions(changelog) == ["0.2.0", "0.1.0"]
    assert notes(changelog, "0.2.0") == "### Added\n\n- Two.\n"
    assert notes(changelog, "0.1.0") == "One.\n"
    with pytest.raises(ValueError, match=r"no heading \[0.3.0\]; it has \['Unreleased', '0.2.0', '0.1.0'\]"):
        notes(changelog, "0.3.0")
