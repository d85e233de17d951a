"""The file of a sweep: TOML, or Python with the same tables as a dictionary ``SPEC``."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs.workers import portable
from seqgan_env.checks import check_type, shown
from seqgan_env.files import read_bytes, refusal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLE = """\
# Every combination of these, with every seed. `seqgan sweep SPEC` runs it and shows the results.
seeds = [0, 1, 2]

# Registered tasks, or presets of `seqgan train`. A table overrides: { name = "small", n_real = 5000 }
task = ["small"]

# `grid` makes an entry of each combination of its lists.
algorithm = [
    "seqgan",
    { name = "ppo", grid = { learning_rate = [3e-4, 1e-3] } },
    "maximum_likelihood",
    "random",
]
reward = ["log_d", "constant"]
shaping = ["none"]

# Without this axis each task has its own discriminator.
# discriminator = ["cnn", "gru"]

# A run ends with the collection in which it reaches one of the limits.
[budget]
steps = 50_000        # tokens chosen in the environment
scored = 200_000      # sequences that the reward was asked for
evaluations = 10

# Parts of every run, as `seqgan train --help` names them.
[run.pretraining]
n_epochs = 20

# Other variants of these parts, by dotted name.
# [grid]
# "adversary.every_n_episodes" = [128, 512]

# A run's share of a node, for --engine ray.
# [resources]
# cpus = 1
# gpus = 0.25           # with device = "auto" in [run.runtime]
# memory_mb = 2000
"""


def write_example(path: Path) -> None:
    """Write an example of a sweep.

    Args:
        path: of the file, which must not be there yet.

    Raises:
        ValueError: it is there, or is no TOML file by its name.
    """
    if path.suffix == ".py":
        raise ValueError(f"the example is a TOML file, got the name {path}")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise ValueError(f"the example needs a name that is free; {path} is there already") from None


def find_modules_beside(path: Path) -> None:
    """Let functions of ``"module:function"`` be in modules beside a file or in the working folder.

    They are found here and by processes that start later; what is installed is found first.

    Args:
        path: of the user's own file, since it then names code that is run.
    """
    for folder in (path.parent, Path.cwd()):
        if (place := str(folder.resolve())) not in sys.path:
            sys.path.append(place)


def read_spec(path: str | Path) -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: of a TOML file, or of a Python file, which is run and has them in ``SPEC``.

    Raises:
        ValueError: it is missing or no such file.
    """
    path = Path(path)
    if path.suffix != ".py":
        with refusal(path, "sweep"):
            text = read_bytes(path).decode("utf-8-sig")
            spec: dict[str, Any] = tomllib.loads(text)
            return spec
    with refusal(path, "sweep"):
        try:
            found = runpy.run_path(str(path)).get("SPEC")
        except (Exception, SystemExit) as error:
            raise ValueError(repr(portable(error))) from error
        return plain(check_type("SPEC", found, Mapping[str, Any]))


def plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The tables as JSON has them: paths become text; ranges and what is of NumPy become lists and numbers.

    Args:
        spec: the tables.

    Raises:
        ValueError: there is something else in them, as a function.
    """

    def of_other(value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, (range, np.ndarray, np.generic)):
            return list(value) if isinstance(value, range) else value.tolist()
        raise TypeError(f"got {shown(value)}")

    try:
        tables: dict[str, Any] = json.loads(json.dumps(spec, default=of_other))
    except (TypeError, ValueError) as error:
        raise ValueError(f"a sweep must be lists and tables of names and numbers: {error}") from error
    return tables
