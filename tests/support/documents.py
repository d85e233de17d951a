"""What a document points at, and whether it is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
_NAME = re.compile(r"`((?:agents|benchmarks|seqgan_env|tests|docs|tools)/[\w./-]*)((?:::\w+)*)`")


def missing(text: str, page: Path, root: Path) -> list[str]:
    """Links to files that do not exist, and names (``folder/file.py::Class::test``) that their file does not define."""
    wrong = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    for path, names in _NAME.findall(text):
        file = root / path
        if not file.exists() or (names and not defines(file, names.split("::")[1:])):
            wrong.append(path + names)
    return wrong


def defines(file: Path, names: list[str]) -> bool:
    """Whether a module defines a function or class, or a class such a member."""
    body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
    for name in names:
        found = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name]
        if not found:
            return False
        body = found[0].body
    return True
