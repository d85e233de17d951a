"""Checkpoints that hold no code: a zip of JSON and safetensors, written at once or not at all.

A state is a tree of dictionaries with string or integer keys, lists, numbers, strings, None and tensors. A tuple comes
back as a list.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

FORMAT = "seqgan-env checkpoint"
VERSION = 1

# What zipfile, json and safetensors raise on damaged files; a RuntimeError is one that claims to be encrypted.
_DAMAGE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write a state; a crash in the middle leaves the file that was there before.

    Raises:
        TypeError: the state holds something that is neither plain data nor a tensor.
        ValueError: a tensor is not finite; the file that was there before is left as it was.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps({"format": FORMAT, "version": VERSION, "state": _flatten(state, tensors)}, allow_nan=True)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("state.json", tree)
        archive.writestr("tensors.safetensors", save_tensors(tensors))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a state, with its tensors on the CPU; nothing in the file is executed.

    Raises:
        ValueError: the file is missing, truncated, damaged, or something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("state.json"))
            if document["format"] != FORMAT or document["version"] != VERSION:
                raise ValueError(f"it says {document['format']!r}, version {document['version']!r}")
            state = _unflatten(document["state"], load_tensors(archive.read("tensors.safetensors")))
            if not isinstance(state, dict):
                raise ValueError(f"it holds a {type(state).__name__}")
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from error
    return state


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes that takes its name only when it is complete and on the disk.

    Args:
        path: the name it will have; after an error the file that had it before is still there.
    """
    partial = Path(path).with_name(Path(path).name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _flatten(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain data for JSON; tensors go into ``tensors`` and leave their name. Keys are listed: integers survive."""
    if isinstance(node, torch.Tensor):
        if not node.isfinite().all():
            raise ValueError("the tensors of a checkpoint must be finite, got NaN or infinity")
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
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        if not tensors[value].isfinite().all():
            raise ValueError("it holds NaN or infinity")
        return tensors[value]
    if kind == "dict":
        return {key: _unflatten(child, tensors) for key, child in value}
    if kind == "list":
        return [_unflatten(child, tensors) for child in value]
    raise ValueError(f"it holds a {kind!r}")
