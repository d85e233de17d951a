"""Checkpoints that hold no code: a zip of JSON and safetensors, written at once or not at all.

A state is a tree of dictionaries with string or integer keys, lists, numbers, strings, None and tensors. A tuple comes
back as a list.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from seqgan_env.checks import check_names, is_whole
from seqgan_env.files import atomic_write, parse_json, read_members, refusal

FORMAT = "seqgan-env checkpoint"
VERSION = 1

_TREE, _TENSORS = "state.json", "tensors.safetensors"


def save_checkpoint(file: str | Path | BinaryIO, state: dict[str, Any]) -> None:
    """Write a state; a crash in the middle leaves the file that was there before.

    Args:
        file: its path, or a stream.
        state: the state.

    Raises:
        TypeError: the state holds something that is neither plain data nor a tensor.
        ValueError: a tensor is not finite; the file that was there before is left as it was.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps({"format": FORMAT, "version": VERSION, "state": _flatten(state, tensors)}, allow_nan=True)
    writing = atomic_write(file) if isinstance(file, (str, Path)) else nullcontext(file)
    with writing as target, zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_TREE, tree)
        archive.writestr(_TENSORS, save_tensors(tensors))


def check_storable(name: str, value: Any) -> None:
    """Refuse what a checkpoint cannot hold, before anything is trained.

    Args:
        name: of the value, for an error.
        value: the value.

    Raises:
        ValueError: it is, or holds, something else than plain data and tensors.
    """
    try:
        _flatten(value, {})
    except TypeError as error:
        raise ValueError(f"{name} must be plain data, since {error}") from error


def load_checkpoint(file: str | Path | BinaryIO) -> dict[str, Any]:
    """Read a state, with its tensors on the CPU; nothing in the file is executed.

    Args:
        file: its path, or a stream.

    Raises:
        ValueError: the file is missing, truncated, damaged, or something else.
    """
    with refusal(file, "checkpoint"):
        members = read_members(file, (_TREE, _TENSORS))
        document = parse_json(members[_TREE])
        check_names("a checkpoint", document, ("format", "version", "state"))
        if (document["format"], document["version"]) != (FORMAT, VERSION) or document["version"] is True:
            raise ValueError(f"it says {document['format']!r}, version {document['version']!r}")
        tensors = load_tensors(members[_TENSORS])
        state = _unflatten(document["state"], tensors)
        if tensors:
            raise ValueError(f"it holds {len(tensors)} tensors without a place")
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}")
    return state


def _flatten(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain data for JSON; tensors go into ``tensors`` and leave their name. Keys are listed: integers survive."""
    if isinstance(node, torch.Tensor):
        _check_finite(node)
        name = str(len(tensors))
        tensors[name] = node.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(node, dict):
        if not all(isinstance(key, (int, str)) for key in node):
            raise TypeError(f"the keys of a checkpoint are strings and integers, got {list(node)}")
        return {"dict": [[key, _flatten(value, tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return {"list": [_flatten(value, tensors) for value in node]}
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"a checkpoint holds plain data and tensors, got {type(node).__name__}")


def _unflatten(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of ``_flatten``; takes each tensor out of ``tensors``, which no other node may name."""
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        tensor = tensors.pop(value)
        _check_finite(tensor)
        return tensor
    if kind == "dict":
        if not all(is_whole(key) or isinstance(key, str) for key, _ in value) or len(dict(value)) < len(value):
            raise ValueError(
                f"the keys of a checkpoint are different strings and integers, got {[k for k, _ in value]}"
            )
        return {key: _unflatten(child, tensors) for key, child in value}
    if kind == "list":
        return [_unflatten(child, tensors) for child in value]
    raise ValueError(f"it holds a {kind!r}")


def _check_finite(tensor: torch.Tensor) -> None:
    if not tensor.isfinite().all():
        raise ValueError("the tensors of a checkpoint must be finite, got NaN or infinity")
