"""The command line: ``seqgan inspect | train | tune | sweep | sample | evaluate | play | judge | demo | --version``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import select
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Union

import tyro

import seqgan_env
from agents.cli.base import as_flags
from agents.cli.training import Demo, Sweep, SweepReport, Train, Tune
from agents.cli.using import Evaluate, Inspect, Judge, Play, Sample
from agents.runs.flags import default_config, explained, run_flags, to_config
from agents.runs.presets import PRESETS
from agents.runs.workers import import_for_workers
from seqgan_env.device import is_out_of_memory
from seqgan_env.files import printable

_GOES_ON = dict.fromkeys(("tune", "sweep", "judge", "demo"), "the same command goes on")
"""The end of the message after Ctrl-C, of the commands that can go on and say nothing else."""
COMMANDS: dict[str, type] = {
    "train": Train,
    "tune": Tune,
    "inspect": Inspect,
    "play": Play,
    "judge": Judge,
    "sweep": Sweep,
    "sweep-report": SweepReport,
    "sample": Sample,
    "evaluate": Evaluate,
    "demo": Demo,
}
"""The commands by their word."""


def _import_modules(argv: Sequence[str]) -> None:
    """Import what ``--import`` names, before the names that it registers are needed."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--import", dest="modules", action="append", nargs="?", default=[])
    modules = early.parse_known_args(list(argv))[0].modules
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        import_for_workers(module for module in modules if module)
    except ImportError as error:
        raise ValueError(f"--import must name modules that are here: {error}") from error


def _run(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says; the exit status."""
    if list(argv) == ["--version"]:
        print(f"seqgan {seqgan_env.__version__}")
        return 0
    if list(argv[:2]) == ["sweep", "report"]:
        argv = ["sweep-report", *argv[2:]]
    _import_modules(argv)
    default = default_config(argv[1:]) if list(argv[:1]) in (["train"], ["tune"]) else PRESETS["grammar"]
    flags = run_flags(default)
    config = [("config", Annotated[type(flags), tyro.conf.arg(name="")], flags)]
    kinds = {word: explained(kind, config if kind in (Train, Tune) else ()) for word, kind in COMMANDS.items()}
    named = tuple(Annotated[kind, tyro.conf.subcommand(word)] for word, kind in kinds.items())
    command = _parse(Union[named], argv)  # noqa: UP007 - of a list
    if isinstance(command, Train):
        command.run(to_config(command.config, default))  # type: ignore[attr-defined]
    elif isinstance(command, Tune):
        command.run(to_config(command.config, default), argv[1:])  # type: ignore[attr-defined]
    else:
        return command.run() or 0
    return 0


def _parse(commands: Any, argv: Sequence[str]) -> Any:
    """The command that the arguments describe; a wrong one is an error like any other, not the parser's box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(commands, prog="seqgan", args=list(argv), description=__doc__.replace("``", ""))
    except SystemExit as end:
        if end.code:
            raise ValueError(_without_box(box.getvalue())) from None
        raise


def _without_box(box: str) -> str:
    """The parser's message in a line: what is wrong, the flag that may have been meant, and what lists the others."""
    lines = [line.strip().strip("|\u2502").strip() for line in box.splitlines()[1:]]  # without the title
    rule = re.compile("[-+\u2500-\u257f]*")  # of ASCII, where the output takes no more
    sections = "\n".join("\n" if rule.fullmatch(line) else line for line in lines).split("\n\n")
    reason, *more = [" ".join(section.split()) for section in sections if section.strip()]
    reason = re.sub(r" Got errors:.*", "", reason).rstrip(". ")
    if missing := re.match(r"Missing from (.*?): (.*)", reason):
        needed = [text.strip(" .").replace(" ", ", ", 1) for text in missing[2].split("(required)")]
        reason = f"{missing[1]} needs {'; and '.join(filter(None, needed))}"
    meant = dict.fromkeys(re.findall(r"(?<= )(--[\w.-]+) ", more[0])) if more and "meant" in more[0] else {}
    return f"{reason}; {f'was {next(iter(meant))} meant? ' if meant else ''}seqgan COMMAND --help lists what there is"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None is those of the process.

    Returns:
        The exit status: 0, also where the reader of the output has gone, 1 where runs of a sweep have failed, 2 for bad
        input, 130 after Ctrl-C.
    """
    with contextlib.ExitStack() as stack:
        if sys.stdin is None:  # closed by who started the program, as the others may be
            sys.stdin = stack.enter_context(open(os.devnull))
            stack.callback(setattr, sys, "stdin", None)
        for stream, redirected in ((sys.stdout, contextlib.redirect_stdout), (sys.stderr, contextlib.redirect_stderr)):
            if stream is None:
                stack.enter_context(redirected(stack.enter_context(open(os.devnull, "w"))))
        return _main(sys.argv[1:] if argv is None else argv)


def _main(argv: Sequence[str]) -> int:
    """Run one command; see ``main``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack a character of the text
    try:
        try:
            status = _run(argv)
        finally:
            sys.stdout.flush()
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        if isinstance(error, BrokenPipeError) and _has_no_reader(sys.stdout):
            return 0
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        reason = as_flags(" ".join(text.split()) or type(error).__name__)
        print(printable(f"seqgan: error: {reason}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        says = [*map(str, interrupt.args), *(_GOES_ON[word] for word in argv[:1] if word in _GOES_ON)]
        print("; ".join(["seqgan: interrupted", *says]), file=sys.stderr)
        return 130
    return status


def _has_no_reader(stream: Any) -> bool:
    """Whether a pipe is closed at its other end, as by ``head``; what is left to be written is then dropped."""
    state = select.poll()
    state.register(stream.fileno(), 0)  # errors are told whatever is asked for
    if state.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False
