"""Several runs that share one maximum-likelihood phase, one after the other or side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agents.runs.config import RunConfig
from agents.runs.experiment import Experiment
from agents.runs.folder import Record, RunFolder
from agents.runs.workers import side_by_side
from seqgan_env.checks import PositiveInt, check_arguments


@check_arguments
def compare(
    runs: Mapping[str, RunConfig],
    out: str | Path,
    *,
    n_workers: PositiveInt = 1,
    progress: bool = True,
    on_pretrained: Callable[[list[Record]], None] = lambda records: None,
) -> dict[str, list[Record]]:
    """Runs that share one maximum-likelihood phase; what is done already is not done again.

    Args:
        runs: the settings of each by name; the first one does the maximum likelihood.
        out: each run has a folder of its own in here.
        n_workers: processes that play side by side; the results are the same.
        progress: show progress bars.
        on_pretrained: called with the records of the shared phase when it ends; not where it was over before.

    Returns:
        The records of each run by name.

    Raises:
        ValueError: ``out`` holds a run of its own or something else, or see ``Experiment``.
    """
    out, first = Path(out), next(iter(runs))
    if RunFolder(out).holds_run or not (out / first).exists():
        RunFolder(out).check_new()
    if not RunFolder(out / first).pretrained.exists():
        on_pretrained(_play(runs[first], out / first, None, progress, pretraining_only=True))
    jobs = {
        name: (
            config,
            out / name,
            None if name == first else out / first,
            progress,
            False,
            row if n_workers > 1 else None,
        )
        for row, (name, config) in enumerate(runs.items())
    }
    return side_by_side(_play, jobs, n_workers)


def _play(
    config: RunConfig,
    out: Path,
    start_from: Path | None,
    progress: bool,
    pretraining_only: bool = False,
    row: int | None = None,
) -> list[Record]:
    """Do a run, or what is left of it, and return its records."""
    run = Experiment.begin_or_resume(config, out, start_from=start_from, progress=progress)
    run.row = row
    return run.run(pretraining_only=pretraining_only)
