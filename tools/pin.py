"""Write the installed versions of the project's dependencies as a pip constraints file, for ``make constraints``.

It differs from ``pip freeze`` in three ways. It lists only what the project's extras lead to. It drops the local part
of a version (``2.13.0+cpu`` becomes ``2.13.0``), so that the file holds for every build. And a release that needs a
newer Python than the project's oldest gets a marker, so that an older Python takes an older release instead of failing.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "seqgan-env[consumers,dev,docs,fuzz,package]"
OLDEST_PYTHON = (3, 10)
HEADER = """\
# The releases that `make check` is run with, written by `make constraints` on Python {major}.{minor}.
#
# pyproject.toml keeps open ranges, for the users of the library. This file makes a test run repeatable, and keeps pip
# from taking another release of torch than the one whose CPU build `make install` has put in place. A marker stands
# where a release needs a newer Python than the project does; an older Python then takes the newest release that it can.
# To renew it: edit the torch line if torch is to move, `make constraints`, then `make distclean check`.
"""


def closure(root: str) -> dict[str, str]:
    """Follow the installed requirements of ``root``, itself left out.

    Args:
        root: a requirement with its extras, such as ``"seqgan-env[dev]"``.

    Returns:
        The version of each distribution that it leads to here, by canonical name.
    """
    start = Requirement(root)
    waiting = [start]
    seen: set[tuple[str, frozenset[str]]] = set()
    versions: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (str(name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        found = distribution(name)
        versions[name] = found.version
        for line in found.requires or ():
            needed = Requirement(line)
            extras = ("", *requirement.extras)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    del versions[canonicalize_name(start.name)]
    return versions


def pin(name: str, version: str, requires_python: str | None) -> str:
    """Return one line of the file.

    Args:
        name: the distribution.
        version: its version; a local part is dropped.
        requires_python: the range of Pythons that the release declares, or None.
    """
    line = f"{name}=={version.partition('+')[0]}"
    minimum = re.search(r">=\s*3\.(\d+)", requires_python or "")
    if minimum and (3, int(minimum[1])) > OLDEST_PYTHON:
        line += f' ; python_version >= "3.{minimum[1]}"'
    return line


def main(path: str) -> None:
    """Write the file at ``path``."""
    lines = [
        pin(name, version, distribution(name).metadata["Requires-Python"])
        for name, version in sorted(closure(PROJECT).items())
    ]
    header = HEADER.format(major=sys.version_info.major, minor=sys.version_info.minor)
    Path(path).write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
