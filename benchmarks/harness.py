"""The parts that every benchmark shares: its command line, its file of results, and the form of pictures and tables.

A benchmark is scenarios as data, a ``run`` that measures and writes JSON, and a ``report`` that writes tables from it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from scipy import stats

from agents.runs.folder import check_same
from agents.runs.report import markdown_table, shown_columns
from agents.sweeps.environment import describe
from seqgan_env.checks import check_arguments, check_type
from seqgan_env.files import atomic_write, parse_json, printable, read_bytes, refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_REACHED = "not reached"
"""The text of a cell where a seed has no value."""
RESULTS = Path(__file__).parent / "results"


def command_line(name: str, commands: Mapping[str, Callable[..., object]]) -> None:
    """Run one of a benchmark's commands on the arguments of the process; what is wrong is said in a line.

    Args:
        name: of the benchmark's module.
        commands: its functions, whose arguments become flags.
    """
    program = f"python -m benchmarks.{name}"
    try:
        checked = {word: check_arguments(function) for word, function in commands.items()}
        tyro.extras.subcommand_cli_from_dict(checked, prog=program)
    except (ValueError, OSError) as error:
        sys.exit(printable(f"{program}: error: {' '.join(str(error).split())}"))
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


@contextmanager
def svg_figure(file: Path, size: tuple[float, float], font_size: int = 8) -> Iterator[Figure]:
    """A figure to draw on, which is written at the end; the same drawing gives the same bytes.

    Args:
        file: an SVG file.
        size: its width and height, inches.
        font_size: points.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "seqgan-env", "font.size": font_size}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        figure.savefig(file, format="svg", metadata={"Date": None})


def check_some(name: str, values: Sequence[str], choices: Collection[str]) -> None:
    """Refuse what is not at least one of the choices.

    Raises:
        ValueError: it is not.
    """
    unknown = [repr(value) for value in values if value not in choices]
    if unknown or not values:
        raise ValueError(f"{name} must be some of {', '.join(map(repr, choices))}; got {', '.join(unknown) or 'none'}")


def begin_results(file: Path) -> dict[str, Any]:
    """The results so far; a place where none can be written is refused before hours of work.

    Args:
        file: the JSON file; its folder is made.

    Returns:
        Nothing where there is no such file yet.

    Raises:
        ValueError: there is another file, or a folder of that name.
        OSError: no file can be written there.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=file.parent):
        return read_results(file) if file.exists() else {}


def parts_that_stay(file: Path, kind: str, again: Collection[str], **same: Any) -> dict[str, Any]:
    """The parts of a file of results that are not done again, by name.

    Args:
        file: see ``begin_results``.
        kind: the field that holds them, such as tasks.
        again: the names of those that are.
        **same: other fields, which must be the same where parts stay.

    Raises:
        ValueError: see ``begin_results``; there is no such field, or another one differs.
        OSError: see ``begin_results``.
    """
    before = begin_results(file)
    with refusal(file, "file of results"):
        parts = check_type(kind, before[kind] if before else {}, dict[str, Any])
    staying = {name: part for name, part in parts.items() if name not in again}
    _check_same(before if staying else {}, same)
    return staying


def in_order(parts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The parts of a file of results as they are written: in the order of all names that there are."""
    return {name: parts[name] for name in names if name in parts}


def cells_that_stay(
    file: Path, seeds: Sequence[int], is_new: Callable[[Mapping[str, Any]], bool]
) -> list[dict[str, Any]]:
    """The cells in a file of results that are not measured anew.

    Args:
        file: see ``begin_results``.
        seeds: of the new cells.
        is_new: whether a cell is one of those.

    Raises:
        ValueError: see ``begin_results``; or cells of other seeds stay.
        OSError: see ``begin_results``.
    """
    before = begin_results(file)
    with refusal(file, "file of results"):
        cells = check_type("cells", before.get("cells", []), list[dict[str, Any]])
        staying = [cell for cell in cells if not is_new(cell)]
    _check_same(before if staying else {}, {"seeds": list(seeds)})
    return staying


def _check_same(before: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Refuse fields that differ from those of the results that stay in a file, where ``before`` holds some."""
    for name, value in fields.items():
        if before and before.get(name) != value:
            raise ValueError(f"{name} must be those of the results that stay, {before.get(name)}, got {value}")


def read_results(file: Path) -> dict[str, Any]:
    """The content of a JSON file of results.

    Raises:
        ValueError: it is missing, or no such file.
    """
    with refusal(file, "file of results"):
        found: dict[str, Any] = check_type("it", parse_json(read_bytes(file)), dict[str, Any])
        return found


def write_results(file: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, with the environment first, at once or not at all.

    Args:
        file: where.
        document: the results, as plain data.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"environment": describe(), **document}, indent=1, ensure_ascii=False)
    with atomic_write(file) as stream:
        stream.write(f"{text}\n".encode())
    print(f"wrote {file}", file=sys.stderr)


def kept_result(file: Path, names: Collection[str], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of a piece of work that was done before; None where it has not been.

    Args:
        file: where it is kept.
        names: its fields.
        settings: all that it depends on, beside the code.

    Raises:
        ValueError: the file holds something else, as after damage, or the result of other settings; without it the
            work is done again.
    """
    if not file.exists():
        return None
    with refusal(file, "result, and without the file the work is done again"):
        found: dict[str, Any] = check_type("it", parse_json(read_bytes(file)), dict[str, Any])
        if missing := [name for name in (*names, "settings") if name not in found]:
            raise ValueError(f"it must have {', '.join(names)} and settings; it lacks {', '.join(missing)}")
        made_with = check_type("settings", found.pop("settings"), dict[str, Any])
    check_same(made_with, json.loads(json.dumps(settings)), f"what was done in {file}")
    return found


def keep_result(file: Path, result: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what ``kept_result`` reads, and return it."""
    with atomic_write(file) as stream:
        stream.write(json.dumps({**result, "settings": settings}).encode())
    return result


def measured_with(environment: Mapping[str, Any]) -> str:
    """The versions and the machine of a result, in words."""
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    return f"{versions}, on {environment['gpu'] or environment['processor']}"


def metric_table(rows: Mapping[str, Mapping[str, Any]], cell: Callable[[Any], str] = "{:.3f}".format) -> str:
    """A table of the ``shown_columns`` of some rows, in Markdown.

    Args:
        rows: the value of each metric, or whatever ``cell`` takes, by the name of the row.
        cell: makes the text of a cell.
    """
    shown = {name: column.label for name, column in shown_columns(rows).items()}
    cells = {row: {shown[c]: cell(values[c]) for c in shown if c in values} for row, values in rows.items()}
    return markdown_table(cells, list(shown.values()))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a few seeds, and half the width of its 95 % interval by Student's t."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(half)


def mean_cell(values: Sequence[float | None], sign: str = "", digits: int = 3) -> str:
    """The text of ``interval`` in a table, with a plus sign before what is above 0 where ``sign`` is "+".

    Args:
        values: one a seed; None where it has none, and then the text says so.
        sign: "+" or nothing.
        digits: behind the point.
    """
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return NOT_REACHED
    mean, half = interval(found)
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"
