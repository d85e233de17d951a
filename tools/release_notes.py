"""Print the part of CHANGELOG.md about one version: ``python tools/release_notes.py 0.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\]( - \d{4}-\d\d-\d\d)?$", re.MULTILINE)


def versions(changelog: str) -> list[str]:
    """The released versions of a changelog, the newest first."""
    return [found["version"] for found in _HEADING.finditer(changelog) if found["version"] != "Unreleased"]


def notes(changelog: str, version: str) -> str:
    """Return the text below the heading of a version.

    Raises:
        ValueError: there is none.
    """
    headings = list(_HEADING.finditer(changelog))
    for heading, end in zip(headings, [*(found.start() for found in headings[1:]), len(changelog)], strict=True):
        if heading["version"] == version:
            return changelog[heading.end() : end].strip() + "\n"
    raise ValueError(f"CHANGELOG.md has no heading [{version}]; it has {[found['version'] for found in headings]}")


if __name__ == "__main__":
    print(notes(Path("CHANGELOG.md").read_text(encoding="utf-8"), sys.argv[1]), end="")
