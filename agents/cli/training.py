"""The commands that train: ``train``, ``tune``, ``sweep`` and ``demo``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.cli.base import Command, as_flags, console
from agents.runs.config import RunConfig
from agents.runs.demo import demo_runs
from agents.runs.flags import flag_with
from agents.runs.search_space import SPACE
from seqgan_env.files import printable

_LARGE_GENERATOR = (
    "This generator is too small for the grammar. One that is large enough (seqgan train --preset grammar) gains "
    "nothing from log D over maximum likelihood, and both quality and diversity from the likelihood ratio: "
    "docs/results.md."
)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a generator and a discriminator, and write a report."""

    preset: str | None = None
    """The settings that no flag gives: grammar, demo, searched, small, paper, text or ratio; by default those that
    suit the source."""
    out: Path | None = None
    """The run's folder; by default runs/SOURCE-REWARD-SEED."""
    resume: bool = False
    """Go on with the run in the folder where it stopped."""
    start_from: Path | None = None
    """A run whose maximum-likelihood phase this one shares."""
    track: tuple[str, ...] | None = None
    """The trackers that are told every evaluation: tensorboard, wandb, mlflow, trackio. By default those that the run
    had, or tensorboard."""

    def run(self, config: RunConfig) -> None:
        """Train, print a table, say where the report is."""
        from agents.inspection import warnings_about
        from agents.runs.experiment import Experiment
        from agents.runs.notes import notes
        from agents.runs.report import rich_table, summary
        from agents.runs.standard_input import keeping_standard_input

        source = Path("stdin" if config.task.source == "-" else config.task.source)
        out = self.out or Path("runs") / f"{source.stem}-{config.task.reward}-{config.seed}"
        with keeping_standard_input(config, out, resume=self.resume) as config:
            experiment = Experiment(config, out, resume=self.resume, start_from=self.start_from, track=self.track)
        for warning in () if self.resume else warnings_about(config.task):
            print(printable(f"seqgan: warning: {as_flags(warning)}"), file=sys.stderr)
        try:
            records = experiment.run()
        except KeyboardInterrupt as interrupt:
            if not experiment.folder.holds_run:
                raise
            raise KeyboardInterrupt("the same command goes on with --resume") from interrupt
        console().print(rich_table(summary({config.label: records}), f"SeqGAN on {source.name}"))
        for note in notes(records):
            print(f"note: {note}")
        print(printable(f"report: {experiment.folder.report}"))


@dataclass(frozen=True, kw_only=True)
class Tune(Command):
    """Search the settings of maximum likelihood, by the likelihood of validation sequences alone.

    A setting that a flag gives is not searched; --pretraining.n-epochs is the budget of a trial. The same command goes
    on where it stopped. Needs the extra "tune".
    """

    preset: str | None = None
    """The settings that no flag gives: grammar, demo, searched, small, paper, text or ratio; by default those that
    suit the source."""
    out: Path | None = None
    """The search's folder; by default runs/tune-SOURCE-SEED."""
    trials: int = 40
    """Trials in all, with those that the folder holds already."""
    workers: int = 1
    """Processes that try side by side."""

    def run(self, config: RunConfig, flags: Sequence[str]) -> None:
        """Search, print the best trials and the command that trains with the best of them."""
        from agents.runs.tune import SearchFolder, tune
        from agents.runs.tune_report import draw, search_table, train_flags

        given = {word.partition("=")[0].replace("_", "-") for word in flags}
        held = {name for name in SPACE for value in (True, False) if flag_with(name, value)[0] in given}
        space = {name: values for name, values in SPACE.items() if name not in held}
        source = Path(config.task.source)
        out = self.out or Path("runs") / f"tune-{source.stem}-{config.seed}"
        results = tune(config, out, self.trials, space=space, n_workers=self.workers)
        picture = SearchFolder(out).picture
        draw(results, picture)
        terminal = console()
        terminal.print(search_table(results))
        own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for name in ("out", "trials", "workers"):
            own.add_argument(f"--{name}")
        command = ["seqgan", "train", *own.parse_known_args(flags)[1], *train_flags(results)]
        print(printable(f"{shlex.join(command)}\n\npicture: {picture}"))


@dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Compare algorithms, rewards, shapings and discriminators: every combination that a file lists, with every seed.

    The same command goes on where it stopped, and a wider file adds to what is done. `seqgan sweep report RUNS` shows
    the results.
    """

    spec: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SPEC")] = Path("sweep.toml")
    """The file, TOML or Python."""
    example: bool = False
    """Write an example to the file, and do nothing else."""
    out: Path | None = None
    """The sweep's folder; by default runs/sweep-SPEC."""
    engine: str = "local"
    """local, processes of this machine; or ray, a cluster."""
    workers: int = max(1, (os.cpu_count() or 2) // 2)
    """Processes of the engine local, each with one thread."""
    address: str | None = None
    """The cluster of the engine ray, HOST:PORT or auto; by default one is started on this machine."""
    track: tuple[str, ...] = ()
    """The trackers that are told each run while it plays: tensorboard, wandb, mlflow, trackio."""

    def run(self) -> int:
        """Do what is missing, write the report, print its tables; 1 where runs have failed, else 0."""
        from agents.sweeps.driver import run_sweep
        from agents.sweeps.engines import build_engine
        from agents.sweeps.folder import FAILED
        from agents.sweeps.spec import resources_of
        from agents.sweeps.spec_file import find_modules_beside, read_spec, write_example

        if self.example:
            write_example(self.spec)
            print(printable(f"wrote {self.spec}; seqgan sweep {self.spec} runs it"))
            return 0
        find_modules_beside(self.spec)
        spec = read_spec(self.spec)
        out = self.out or Path("runs") / f"sweep-{self.spec.stem}"
        engine = build_engine(self.engine, self.workers, self.address, resources_of(spec))
        results = run_sweep(spec, out, engine=engine, track=self.track)
        SweepReport(results=out).run()
        n_failed = sum(result["status"] == FAILED for result in results)
        if n_failed:
            print(f"seqgan: {n_failed} of {len(results)} runs failed, as the report says", file=sys.stderr)
        return int(n_failed > 0)


@dataclass(frozen=True, kw_only=True)
class SweepReport(Command):
    """Write the tables, the page and the numbers of a sweep from its results alone."""

    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")]
    """The sweep's folder, or a file of results."""
    metric: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A metric of the pictures, as kl_sum. By default the sum of both divergences, and nll_oracle."""
    parquet: bool = False
    """Write the numbers as Parquet too."""

    def run(self) -> None:
        """Write them, print the tables."""
        from agents.sweeps.folder import read_results
        from agents.sweeps.report import markdown, write_report

        written = write_report(self.results, self.metric, parquet=self.parquet)
        print(printable(markdown(read_results(self.results))))
        print(printable(f"report: {', '.join(map(str, written))}"))


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Train a generator that is too small for the embedded grammar, with four rewards.

    The first is SeqGAN's log D, the second comes from a language model of the same sentences. The other two say what a
    reward is worth: one that says nothing, and one that says everything.
    """

    out: Path = Path("runs/demo")
    """The folder; a demo that was interrupted, or finished, is taken up from there."""
    seed: int = 0
    """Everything random follows it."""
    workers: int = 2
    """Processes that play side by side."""
    scale: float = 1.0
    """The share of the sentences, epochs, rounds and updates that is done: 0.02 shows in seconds what comes, and
    teaches nothing."""

    def run(self) -> None:
        """Train, print a table and some sentences, say where the report is."""
        from agents.runs.comparison import compare
        from agents.runs.folder import RunFolder
        from agents.runs.report import rich_table, summary, write_comparison

        runs = demo_runs(self.seed, scale=self.scale)
        labels = {name: config.label for name, config in runs.items()}
        terminal = console()
        title = "SeqGAN on the embedded grammar"
        played = compare(
            runs,
            self.out,
            n_workers=min(len(runs), self.workers),
            on_pretrained=lambda own: terminal.print(rich_table(summary({"": own}), f"Before {title}")),
        )
        records = {labels[name]: own for name, own in played.items()}
        samples = {
            label: RunFolder(self.out / name).samples.read_text(encoding="utf-8").splitlines()[:20]
            for name, label in labels.items()
        }
        report = RunFolder(self.out).report
        write_comparison(report, runs["log_d"], records, samples, {})
        terminal.print(rich_table(summary(records), title))
        for label in labels.values():
            terminal.print(f"\nSentences after training with {label}:", markup=False)
            for line in samples[label][:4]:
                terminal.print(f"  {line}", highlight=False, markup=False)
        print(f"\n{_LARGE_GENERATOR}")
        print(f"\nreport: {report}")
