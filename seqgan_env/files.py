"""Files that are written at once or not at all, and refused in one line if they are not what they should be.

A file may come from a stranger, be cut off or be damaged. Whatever is wrong with it, a reader raises a ``ValueError``
of one line that begins with the path.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import secrets
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

File = str | os.PathLike[str] | BinaryIO
"""A path, or a stream of bytes."""

_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,  # a RecursionError too
    SafetensorError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""The exceptions of the libraries that read, and of using what was read as if it were sound."""

COMPRESSED: dict[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""The suffixes of compressed files, and what opens each."""
LARGEST_RATIO, SMALL = 100, 32 << 20
"""A compressed file may hold as many times its bytes, or as many bytes where that is more: no text is so repetitive."""

_CHUNK = 1 << 20  # bytes
_LONGEST_REASON = 500  # characters of an error
_PARTIAL = ".partial"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing bytes that takes its name only when it is complete and on the disk.

    Until then it has a name of its own, so that any number of writers leave a whole file, that of the last one.

    Args:
        path: the name it will have; after an error the file that had it before is still there.

    Raises:
        ValueError: the path names no file.
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"path must name a file, got {str(path)!r}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        # the name is none where the disk is full, and that of the partial file where there is no folder
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, os.fspath(partial)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    _sync_folder(path.parent)


def remove_partial(folder: Path) -> None:
    """Remove the files of writers that were killed; nobody else may be writing to the folder.

    Args:
        folder: where they are, not below it.
    """
    for path in folder.iterdir():
        if is_partial(path):
            path.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether a file is one that ``atomic_write`` has not finished."""
    return path.name.startswith(".") and path.name.endswith(_PARTIAL)


@contextmanager
def refusal(path: File, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read and made sense of into one clear error.

    Args:
        path: of the file, or a stream.
        what: the content it should have, in the singular, such as ``"checkpoint"``.

    Raises:
        ValueError: in one line, the path, what the file is not, and why.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it lacks {error}"
        elif isinstance(error, MemoryError):
            reason = f"it asks for too much memory: {error}"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else "the stream"
        raise ValueError(one_line(f"{name} is not a readable {what}: {reason}")) from error


def read_bytes(path: File) -> bytes:
    """The content of a file on the disk, or the rest of a stream.

    Raises:
        ValueError: it is a folder, a device or a pipe, which could have no end.
        OSError: it cannot be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        return path.read()
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a file on a disk")
        return file.read()


def decompressed(data: bytes, suffix: str) -> bytes:
    """The content of a compressed file.

    Args:
        data: the file's bytes.
        suffix: one of ``COMPRESSED``.

    Raises:
        ValueError: the content is not compressed like that, cut off, or out of proportion to the file.
    """
    most = max(SMALL, LARGEST_RATIO * len(data))
    content = bytearray()
    try:
        with COMPRESSED[suffix](io.BytesIO(data)) as file:
            while chunk := file.read(_CHUNK):
                content += chunk
                if len(content) > most:
                    raise ValueError(f"its {len(data)} bytes hold more than {most}, which is out of proportion")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"it is not a whole {suffix} file: {error}") from error
    return bytes(content)


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text describes.

    Raises:
        ValueError: it is no JSON, or names a field twice.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_repetition)


def read_members(path: File, names: Sequence[str]) -> dict[str, bytes]:
    """The members of a zip file by name; no more memory is taken than the file has bytes.

    Args:
        path: of the file, or a stream.
        names: the members that it must have; others are refused.

    Raises:
        ValueError: it has other members, or one that is compressed.
        OSError, zipfile.BadZipFile: it cannot be read.
    """
    with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
        if sorted(archive.namelist()) != sorted(names):
            found = ", ".join(map(repr, archive.namelist()[:5])) or "nothing"
            raise ValueError(f"it must hold {' and '.join(names)}, got {found}")
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"{info.filename} must be stored as it is, got a compressed member")
        return {name: archive.read(name) for name in names}


def printable(text: str) -> str:
    """A text that moves no cursor and rings no bell: control characters become escapes, such as that of ESC.

    So do the invisible characters that change the direction of writing. Line breaks and tabs are left.
    """
    return "".join(ascii(c)[1:-1] if _controls(c) else c for c in text)


def one_line(text: str) -> str:
    """A text as a line that a terminal can show, cut off where it is very long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + " ..."


def _controls(character: str) -> bool:
    is_direction = character in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return is_direction or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it names a field twice")
    return values


def _sync_folder(folder: Path) -> None:
    """Put the folder's entries on the disk, where a folder can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
