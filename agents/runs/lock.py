"""The lock on a run's folder: one process at a time trains in it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from seqgan_env.files import one_line, refusal

try:
    import fcntl
except ImportError:  # no such lock on Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # some network file systems


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a file for as long as the context lasts.

    The operating system gives the lock back when the process ends, in whichever way, so that none is ever left behind.
    The file stays, as removing it would let two processes hold locks of the same name. Where the operating system or
    the file system has no such locks there is no protection.

    Args:
        path: of the file; it is made if it is not there.

    Raises:
        ValueError: another process holds the lock; the message says which, where, and since when. Or it is nothing that
            can be written to, or a link, whose target is left alone: a folder may come from a stranger.
    """
    if fcntl is None:
        yield
        return
    with _opened(path) as file:
        if not _acquire(file):
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise ValueError(one_line(f"{path.parent} is in use by {holder}"))
        file.truncate(0)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        file.flush()
        yield


def _opened(path: Path) -> IO[str]:
    """The file itself: neither what a link leads to, nor a pipe, for as long as nobody reads it."""
    with refusal(path, "lock"):
        alone = os.O_NOFOLLOW | os.O_NONBLOCK
        return open(path, "a+", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | alone, 0o666))


def _acquire(file: IO[str]) -> bool:
    """Take the lock, or say that another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
    return True
