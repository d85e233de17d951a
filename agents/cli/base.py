"""The parts that commands share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from agents.runs.flags import flag_of
from seqgan_env.task_config import TaskConfig

RunArgument = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""The folder of a run, the first argument."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """The flags of every command."""

    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE"), tyro.conf.UseAppendAction] = ()
    """A module to import first, as one that registers a reward or a discriminator of your own."""


def console() -> Console:
    """A terminal, taken to be wide enough for a table where it does not say how wide it is."""
    own = Console()
    return own if own.is_terminal else Console(width=110)


def as_flags(reason: str) -> str:
    """An error with the arguments that it advises, as in ``long_lines='drop'``, as flags."""
    return re.sub(
        r"\b(\w+)='([^']*)'",
        lambda found: f"{flag_of(found[1])} {found[2]}" if hasattr(TaskConfig, found[1]) else found[0],
        reason,
    )
