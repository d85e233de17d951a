"""The documentation site has a place for everything that is registered or public; ``make docs`` checks the rest."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from agents.sweeps import ALGORITHMS
from seqgan_env import TASKS
from seqgan_env.autoregressive import CORES
from seqgan_env.discriminators import DISCRIMINATORS
from seqgan_env.discriminators.losses import LOSSES
from seqgan_env.rewards import REWARDS
from seqgan_env.shaping import SHAPINGS
from tests.support.package import ROOT

PAPERS = (ROOT / "docs/papers.md").read_text(encoding="utf-8")
SECTIONS = {
    "Rewards": REWARDS,
    "Discriminators": DISCRIMINATORS,
    "Losses of the discriminator": LOSSES,
    "Shaping": SHAPINGS,
    "Generators": CORES,
    "Other algorithms": ALGORITHMS,
}

spec = importlib.util.spec_from_file_location("site_settings", ROOT / "docs/conf.py")
assert spec is not None
assert spec.loader is not None
conf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conf)


@pytest.mark.parametrize("env_id", TASKS)
def test_every_task_has_a_page_with_the_sections_of_gymnasium(env_id: str) -> None:
    page = conf.generated_pages()[f"environments/{env_id}"]
    titles = re.findall(r"^## (.+)", page, flags=re.MULTILINE)
    assert page.startswith(f"# {env_id}\n")
    assert titles[:3] == ["Description", "Action Space", "Observation Space"]
    assert titles[-1] == "Version History"
    assert re.search(r"\| \*\*Action Space\*\* \| `Discrete\(\w+\)` \|", page)
    overview = conf.tasks_overview((ROOT / "docs/tasks.md").read_text(encoding="utf-8"))
    assert f"\nenvironments/{env_id}\n" in overview
    assert f"](environments/{env_id}.md)" in overview
    assert "### Description" not in overview


def test_a_picture_of_a_task_is_drawn(tmp_path: Path) -> None:
    conf.draw_task("SeqGANText-v0", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_the_reference_has_every_module_that_says_what_is_public() -> None:
    files = [file for package in ("seqgan_env", "agents") for file in (ROOT / package).rglob("__init__.py")]
    public = [file for file in files if "__all__" in file.read_text(encoding="utf-8")]
    assert {".".join(file.relative_to(ROOT).parent.parts) for file in public} <= set(conf.API)
    assert {f"api/{module}" for module in conf.API} <= set(conf.generated_pages())


@pytest.mark.parametrize("section", SECTIONS)
def test_the_paper_index_has_a_row_for_every_name_and_its_papers(section: str) -> None:
    rows = PAPERS.split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines()
    for name, entry in SECTIONS[section].items():
        own = [row for row in rows if f"`{name}`" in row]  # several, where its settings have papers of their own
        assert own, name
        for paper in re.findall(r"\d{4}\.\d{5}", getattr(entry, "source", "")):
            assert f"https://arxiv.org/abs/{paper}" in "".join(own)


def test_links_are_those_of_their_new_place() -> None:
    source = ["See [rewards.md](rewards.md#rank) and [contributing](../CONTRIBUTING.md)."]
    conf._on_source(None, "faq", source)
    assert source == ["See [](rewards.md#rank) and [contributing](project/contributing.md)."]
    pages = conf.generated_pages()
    assert "](../metrics.md)" in pages["project/changelog"]
    assert "](code_of_conduct.md)" in pages["project/contributing"]


def test_a_notebook_shows_what_its_cells_print_and_draw(tmp_path: Path) -> None:
    fence = "```{code-cell} python\n%s\n```\n\n"
    text = fence % "from matplotlib import pyplot\nx = 2" + fence % "print(x + 1)\n_ = pyplot.figure()"
    shown = conf.run_notebook(text, "it", tmp_path)
    (figure,) = tmp_path.iterdir()
    assert "{code-cell}" not in shown
    assert f"```text\n3\n```\n\n![What the cell draws.](../figures/{figure.name})" in shown


@pytest.mark.parametrize(
    ("outcome", "limit_s", "says"),
    [
        ("x > 2", 60.0, "notebook it must end with x > 2"),
        ("x == 2", 0.0, "a notebook must run within 0 s; it took 0.0 s"),
    ],
)
def test_a_notebook_that_fails_or_takes_long_ends_the_build(
    outcome: str, limit_s: float, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "LONGEST_NOTEBOOK_S", limit_s)
    with pytest.raises(RuntimeError, match=says):
        conf.run_notebook("```{code-cell} python\nx = 2\n```", "it", tmp_path, outcome)


def test_there_are_four_notebooks() -> None:
    assert sorted(path.stem for path in (ROOT / "docs/notebooks").glob("*.md")) == sorted(conf.NOTEBOOKS)
    assert len(conf.NOTEBOOKS) == 4


@pytest.mark.parametrize("path", sorted((ROOT / "docs/notebooks").glob("*.md")), ids=lambda path: path.stem)
def test_a_notebook_has_cells_that_are_programs(path: Path) -> None:
    cells = re.findall(r"```\{code-cell\} python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert cells
    for cell in cells:
        compile(cell, path.name, "exec")
