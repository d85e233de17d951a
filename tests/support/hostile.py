"""Faults of every kind at every place of a stored tree, found by walking it, so that a new field needs no name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch

THOROUGH = bool(os.environ.get("SEQGAN_THOROUGH"))
"""Whether every fault of every field is tried, not one kind in turn at each."""


class Call:
    """Pickles as a call of a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


Path = tuple[Any, ...]
_GONE = object()


def faults(tree: Any, every: int = 1) -> Iterator[tuple[str, Any]]:
    """Copies of a tree with one fault each, and a line that says which.

    Args:
        tree: of dictionaries, lists, plain values and tensors; of a list the first and the last entry are looked at.
        every: take one field in so many, unless thorough.
    """
    for number, (path, node) in enumerate(_places(tree)):
        if number % every and not THOROUGH:
            continue
        kinds = [(name, value) for name, value in _faults_of(node) if value is not _GONE or _is_field(tree, path)]
        for name, value in kinds if THOROUGH else [kinds[number // every % len(kinds)]]:
            where = "".join(f"[{key!r}]" for key in path)
            yield f"{where}: {name}", _replaced(tree, path, value)


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal; lists and tuples are."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(each, b[key]) for key, each in a.items())
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def _places(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, node
    children: list[Any] = []
    if isinstance(node, dict):
        children = list(node)
    elif isinstance(node, (list, tuple)) and node:
        children = sorted({0, len(node) - 1})
    for key in children:
        yield from _places(node[key], (*path, key))


def _is_field(tree: Any, path: Path) -> bool:
    """Whether a place is in a dictionary: a list that lacks an entry is another list."""
    for key in path[:-1]:
        tree = tree[key]
    return isinstance(tree, dict)


def _faults_of(node: Any) -> Iterator[tuple[str, Any]]:
    """The kinds of fault at one place."""
    yield "missing", _GONE
    if isinstance(node, dict):
        yield "extra field", {**node, "unheard-of": 1}
        yield "a list", []
    elif isinstance(node, torch.Tensor):
        yield "another shape", torch.zeros(7, 7, 7, dtype=node.dtype)
        if node.is_floating_point():
            yield "NaN", torch.full_like(node, float("nan"))
            yield "infinity", torch.full_like(node, -float("inf"))
            yield "whole numbers", torch.zeros_like(node, dtype=torch.int64)
        yield "a number", 3
    elif isinstance(node, bool) or node is None:
        yield "text", "bogus"
    elif isinstance(node, (int, float)):
        yield "NaN", float("nan")
        yield "negative infinity", -float("inf")
        yield "negative", -2 if isinstance(node, int) else -2.5
        yield "text", "bogus"
        yield "true", True
        if isinstance(node, int):
            yield "a fraction", 2.5
    elif isinstance(node, str):
        yield "another text", "bogus\x1b[31m"
        yield "a number", 3
    yield "a list of lists", [[]]


def _replaced(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, dict):
        items = {k: _replaced(v, tuple(rest), value) if k == key else v for k, v in tree.items()}
    else:
        items = dict(enumerate(_replaced(v, tuple(rest), value) if i == key else v for i, v in enumerate(tree)))
    kept = {k: v for k, v in items.items() if v is not _GONE}
    return kept if isinstance(tree, dict) else list(kept.values())
