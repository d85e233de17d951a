"""Tables in the docs that are made from committed results: each stands between two comments that name it."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path(__file__).parent / "results"


def replace_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the comments of a section.

    Args:
        page: the Markdown file.
        name: of the section.
        text: its new content.

    Raises:
        ValueError: the page has no such section.
    """
    section(page, name)
    begin, end = _comments(name)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def section(page: Path, name: str) -> str:
    """What stands between the comments of a section.

    Raises:
        ValueError: the page has no such section.
    """
    content = page.read_text(encoding="utf-8")
    begin, end = _comments(name)
    if content.count(begin) != 1 or content.count(end) != 1:
        raise ValueError(f"{page} must hold {begin.strip()} and {end} once each")
    return content.split(begin)[1].split(end)[0]


def _comments(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
