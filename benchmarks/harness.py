"""The parts that every benchmark shares: where results lie, what they were measured on, and their way into the docs.

A benchmark is scenarios as data, a ``run`` that measures and writes JSON, and a ``report`` that writes tables from it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy import stats

from agents.runs.report import markdown_table, shown_columns
from agents.sweeps.environment import describe
from seqgan_env.files import printable

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path(__file__).parent / "results"


def command_line(name: str, commands: Mapping[str, Callable[..., object]]) -> None:
    """Run one of a benchmark's commands on the arguments of the process; what is wrong is said in a line.

    Args:
        name: of the benchmark's module.
        commands: its functions, whose arguments become flags.
    """
    program = f"python -m benchmarks.{name}"
    try:
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog=program)
    except (ValueError, OSError) as error:
        sys.exit(printable(f"{program}: error: {' '.join(str(error).split())}"))
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


def write_results(file: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, with the environment first.

    Args:
        file: where.
        document: the results, as plain data.
    """
    file.parent.mkdir(exist_ok=True)
    text = json.dumps({"environment": describe(), **document}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {file}", file=sys.stderr)


def write_section(page: Path, name: str, results: Path, tables: Callable[[Any], str]) -> None:
    """Make a section of the docs from committed results.

    Args:
        page: the Markdown file.
        name: of the section.
        results: the JSON file.
        tables: makes Markdown of it.
    """
    replace_section(page, name, tables(json.loads(results.read_text(encoding="utf-8"))))
    print(f"wrote {page}", file=sys.stderr)


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


def mean_cell(values: Sequence[float], sign: str = "", digits: int = 3) -> str:
    """The text of ``interval`` in a table, with a plus sign before what is above 0 where ``sign`` is "+"."""
    mean, half = interval(values)
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"


def replace_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the comments of a section.

    Args:
        page: the Markdown file.
        name: of the section.
        text: its new content.

    Raises:
        ValueError: the page has no such section.
    """
    section(page, name)
    begin, end = _comments(name)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def section(page: Path, name: str) -> str:
    """The text between the comments of a section.

    Raises:
        ValueError: the page has no such section.
    """
    content = page.read_text(encoding="utf-8")
    begin, end = _comments(name)
    if content.count(begin) != 1 or content.count(end) != 1:
        raise ValueError(f"{page} must hold {begin.strip()} and {end} once each")
    return content.split(begin)[1].split(end)[0]


def _comments(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
