"""Settings in the documentation: the fields of a dataclass, with what stands below each in its source."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from typing import Any

_WIDTH = 120


def setting_meanings(config: type[Any]) -> dict[str, str]:
    """The meaning of each field of a dataclass: the string below it in the source, empty where there is none.

    Args:
        config: the dataclass; the fields of its bases are looked up there.
    """
    meanings = {field.name: "" for field in dataclasses.fields(config)}
    for base in reversed(config.__mro__):
        if dataclasses.is_dataclass(base):
            meanings |= _strings_below_fields(base)
    return meanings


def settings_list(config: type[Any]) -> str:
    """The fields of a dataclass in Markdown, with their defaults and meanings.

    Args:
        config: the dataclass.
    """
    settings, meanings = config(), setting_meanings(config)
    lines = [
        wrapped(f"* `{field.name}={getattr(settings, field.name)!r}`: {meanings[field.name]}".rstrip(": "), "  ")
        for field in dataclasses.fields(settings)
    ]
    return "**Settings.**" + ("\n\n" + "\n".join(lines) if lines else " None.")


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph in lines as wide as the project's.

    Args:
        text: the paragraph.
        indent: of all lines but the first.
    """
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _strings_below_fields(config: type[Any]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(config))
    except (OSError, TypeError):  # made where there is no file, such as a prompt
        return {}
    (definition,) = ast.parse(source).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    found = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else ""
            found[field.target.id] = " ".join(str(text).split()).replace("``", "`")
    return found
