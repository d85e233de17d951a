"""Files, functions and tests that the documents point at exist, and generated pages are as they are made now."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.support.documents import missing
from tests.support.package import ROOT

PAGES = [
    "docs/theory.md",
    "docs/architecture.md",
    "docs/tasks.md",
    "docs/discriminators.md",
    "docs/rewards.md",
    "docs/shaping.md",
    "docs/metrics.md",
    "docs/sweeps.md",
    "docs/use_it_with.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/papers.md",
    "docs/install.md",
    "docs/tutorial.md",
    "docs/session.md",
    "docs/benchmark.md",
    "docs/own_text.md",
    "docs/moving_reward.md",
    "docs/faq.md",
    "README.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
]


MADE = {
    "docs/tasks.md": "seqgan_env.task_docs",
    "docs/discriminators.md": "seqgan_env.discriminators.page",
    "docs/rewards.md": "seqgan_env.rewards.page",
    "docs/shaping.md": "seqgan_env.shaping.page",
    "docs/metrics.md": "seqgan_env.metrics.page",
}
"""Pages that the function ``page`` of a module makes."""


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_at_exists(page: str) -> None:
    assert missing((ROOT / page).read_text(encoding="utf-8"), ROOT / page, ROOT) == []


@pytest.mark.parametrize(("page", "module"), MADE.items())
def test_what_is_made_is_current(page: str, module: str) -> None:
    how = f"python -c \"from {module} import page; print(page(), end='')\" > {page}"
    made = importlib.import_module(module).page()
    assert (ROOT / page).read_text(encoding="utf-8") == made, f"make it anew: {how}"


def test_the_theory_names_every_equation_and_a_test_for_each_part() -> None:
    text = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
    title = re.compile(r"(13\.\d\d)(?: (?:to|and) (13\.\d\d))?")
    named: set[int] = set()
    for first, last in title.findall("\n".join(line for line in text.splitlines() if line.startswith("## "))):
        named |= set(range(round(100 * float(first)), round(100 * float(last or first)) + 1))
    assert named == set(range(1328, 1345))
    for section in text.split("\n## ")[1:]:
        assert "`tests/" in section or "variance: begin" in section, section.splitlines()[0]


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/losses.py").write_text("class Loss:\n    def mean(self): ...\n\ndef total(): ...\n")
    text = (
        "`agents/losses.py` `agents/losses.py::total` `agents/losses.py::Loss::mean` [a](agents/losses.py) "
        "[b](https://example.org/none) `agents/gone.py` `agents/losses.py::mean` `agents/losses.py::Loss::total` "
        "[c](gone.md) [d](agents/losses.py#L3)"
    )
    expected = ["gone.md", "agents/gone.py", "agents/losses.py::mean", "agents/losses.py::Loss::total"]
    assert missing(text, tmp_path / "page.md", tmp_path) == expected
