"""The way of results into the docs: each file of results fills a section of a page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import read_results
from seqgan_env.files import atomic_write, refusal

DOCS = Path(__file__).parents[1] / "docs"


def reporter(
    name: str, file: Path, tables: Callable[[Any, Path], str], page: Path = DOCS / "results.md"
) -> Callable[..., None]:
    """The command that makes a section of the docs from the results of a benchmark.

    Args:
        name: of the section.
        file: the results that are committed.
        tables: makes Markdown of results, and draws pictures into a folder.
        page: the Markdown file.
    """

    def report(results: Path = file, page: Path = page) -> None:
        """Write the tables, and the pictures where there are some, into the docs.

        Args:
            results: the JSON file.
            page: the Markdown file.
        """
        write_section(page, name, results, lambda document: tables(document, page.parent))

    return report


def write_section(page: Path, name: str, results: Path, tables: Callable[[Any], str]) -> None:
    """Make a section of the docs from committed results.

    Args:
        page: the Markdown file.
        name: of the section.
        results: the JSON file.
        tables: makes Markdown of it.

    Raises:
        ValueError: the page has no such section, or the file has other results.
    """
    section(page, name)
    document = read_results(results)
    try:
        text = tables(document)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        with refusal(results, f"file of results of {name!r}"):
            raise error
    replace_section(page, name, text)
    print(f"wrote {page}", file=sys.stderr)


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
    with atomic_write(page) as stream:
        stream.write(f"{before}{begin}{text}{end}{after}".encode())


def section(page: Path, name: str) -> str:
    """The text between the comments of a section.

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
