"""The program ``seqgan``: the command line, where Ctrl-C already ends it while that is imported."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line on the arguments of the process; see ``agents.cli.main``.

    ``seqgan --version`` needs none of it.
    """
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"seqgan {importlib.metadata.version('seqgan-env')}\n")
        return 0
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else whoever started the program wants no such signal
        signal.signal(signal.SIGINT, _end)
    from agents import cli  # here, as it takes seconds

    signal.signal(signal.SIGINT, handler)
    return cli.main()


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has been done, and a library that is half imported may take an exception for its own."""
    os.write(2, b"seqgan: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
