"""A text from standard input as the source of a run: it is kept in a file, so that the run can go on."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.runs.config import RunConfig

STANDARD_INPUT = "-"
"""Its name as a source."""


def kept_text(out: Path, text_field: str | None = None) -> Path:
    """The file beside a run's folder that keeps its text.

    Args:
        out: the run's folder.
        text_field: of lines of JSON, None where the text is plain.
    """
    return out.with_name(f"{out.name}.{'txt' if text_field is None else 'jsonl'}")


@contextmanager
def keeping_standard_input(config: RunConfig, out: Path, *, resume: bool) -> Iterator[RunConfig]:
    """The settings of a run with a file in the place of standard input; others as they are.

    The file is removed again where the run is refused within the context.

    Args:
        config: the settings.
        out: the run's folder.
        resume: whether the run goes on, for which its text is not read again.

    Raises:
        ValueError: the run goes on, or there is a file of that name already; or of the context, about standard input.
    """
    if config.task.source != STANDARD_INPUT:
        yield config
        return
    path = kept_text(out, config.task.text_field)
    if resume:
        raise ValueError(f"a run that goes on reads the text that was kept in {path}; leave --source - out")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = open(path, "xb")  # noqa: SIM115 - closed below, but an error here must not remove it
    except FileExistsError as error:
        raise ValueError(
            f"{path}, which would keep the text of standard input, exists; choose another --out"
        ) from error
    try:
        with file:
            file.write(sys.stdin.buffer.read())
        yield dataclasses.replace(config, task=dataclasses.replace(config.task, source=str(path)))
    except BaseException as error:
        path.unlink()
        about = f"{path.absolute()}: "
        if isinstance(error, ValueError) and str(error).startswith(about):  # a file that is no more
            raise ValueError(f"standard input: {str(error).removeprefix(about)}") from error
        raise
