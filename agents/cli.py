"""The command line: ``seqgan inspect | train | tune | sweep | sample | evaluate | play | judge | demo | --version``."""

# Over 300 lines: the commands are dataclasses whose fields are the flags, and half of them is the help these show.

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import re
import select
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from agents.runs.config import RunConfig
from agents.runs.flags import default_config, flag_of, run_flags, to_config
from agents.runs.presets import PRESETS
from agents.runs.search_space import SPACE
from agents.runs.workers import import_for_workers
from seqgan_env.device import is_out_of_memory
from seqgan_env.files import printable
from seqgan_env.task import TaskConfig

_BOTH: dict[str, Any] = {"reward": "both_divergences", "reward_kwargs": {"log_weight": 1.0}}
_DENSE: dict[str, Any] = {
    "n_updates": 120,
    "n_episodes": 512,
    "n_completions": 0,
    "dense": True,
    "baseline": "step",
    "normalize_advantage": False,
    "learning_rate": 0.015,
    "final_learning_rate": 3e-4,
}
DEMO: dict[str, dict[str, dict[str, Any]]] = {
    "log_d": {"adversary": {"n_rounds": 30}, "agent": {"n_updates": 150}},
    "generative": {
        "task": {
            **_BOTH,
            "discriminator": "generative",
            "discriminator_kwargs": {
                "n_members": 1,
                "dropout": 0.2,
                "n_epochs": 8,
                "learning_rate": 0.01,
                "validation": 0.0,
            },
        },
        "adversary": {"n_rounds": 1, "n_generated": 64, "every_n_episodes": 512},
        "agent": _DENSE,
    },
    "constant": {"task": {"reward": "constant"}, "agent": {"n_completions": 1, "n_updates": 100}},
    "exact": {"task": _BOTH, "adversary": {"exact": True}, "agent": _DENSE},
}
"""The demo's games: the parts in which each differs from the preset. A discriminator that is a likelihood gives each
token a value of its own, which takes no completions, and tolerates a step size at which log D would follow the errors
of its discriminator."""

_LARGE_GENERATOR = (
    "This generator is too small for the grammar. One that is large enough (seqgan train --preset grammar) learns it "
    "by maximum likelihood alone: docs/results.md."
)

_GOES_ON = {"train": "; the same command goes on with --resume"} | dict.fromkeys(
    ("tune", "sweep", "judge", "demo"), "; the same command goes on"
)
"""The end of the message after Ctrl-C, of the commands that can go on."""

_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def demo_runs(
    seed: int = 0,
    base: RunConfig = PRESETS["demo"],
    games: Mapping[str, Mapping[str, Mapping[str, Any]]] = DEMO,
) -> dict[str, RunConfig]:
    """The runs of the demo by name.

    Args:
        seed: everything random follows it.
        base: the settings that they share.
        games: the parts in which each differs from them.
    """
    return {
        name: dataclasses.replace(
            base,
            seed=seed,
            **{part: dataclasses.replace(getattr(base, part), **fields) for part, fields in changes.items()},
        )
        for name, changes in games.items()
    }


@dataclass(frozen=True, kw_only=True)
class _Command:
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE"), tyro.conf.UseAppendAction] = ()
    """A module to import first, as one that registers a reward or a discriminator of your own; can be repeated."""


@dataclass(frozen=True, kw_only=True)
class Train(_Command):
    """Train a generator and a discriminator, and write a report."""

    preset: str | None = None
    """The settings that no flag gives: grammar, demo, small, paper or text; by default those that suit the source."""
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
        from agents.runs.experiment import Experiment
        from agents.runs.report import rich_table, summary
        from agents.runs.standard_input import keeping_standard_input

        source = Path("stdin" if config.task.source == "-" else config.task.source)
        out = self.out or Path("runs") / f"{source.stem}-{config.task.reward}-{config.seed}"
        with keeping_standard_input(config, out, resume=self.resume) as config:
            experiment = Experiment(config, out, resume=self.resume, start_from=self.start_from, track=self.track)
        records = experiment.run()
        _console().print(rich_table(summary({config.label: records}), f"SeqGAN on {source.name}"))
        print(printable(f"report: {experiment.folder.report}"))


@dataclass(frozen=True, kw_only=True)
class Tune(_Command):
    """Search the settings of maximum likelihood, by the likelihood of validation sequences alone.

    A setting that a flag gives is not searched; --pretraining.n-epochs is the budget of a trial. The same command goes
    on where it stopped. Needs the extra "tune".
    """

    preset: str | None = None
    """The settings that no flag gives: grammar, demo, small, paper or text; by default those that suit the source."""
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
        space = {name: values for name, values in SPACE.items() if flag_of(name) not in given}
        source = Path(config.task.source)
        out = self.out or Path("runs") / f"tune-{source.stem}-{config.seed}"
        results = tune(config, out, self.trials, space=space, n_workers=self.workers)
        picture = SearchFolder(out).picture
        draw(results, picture)
        console = _console()
        console.print(search_table(results))
        own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for name in ("out", "trials", "workers"):
            own.add_argument(f"--{name}")
        command = ["seqgan", "train", *own.parse_known_args(flags)[1], *train_flags(results)]
        print(printable(f"{shlex.join(command)}\n\npicture: {picture}"))


@dataclass(frozen=True, kw_only=True)
class Sweep(_Command):
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
    """The trackers that are told each run when it ends: tensorboard, wandb, mlflow, trackio."""

    def run(self) -> int:
        """Do what is missing, write the report, print its tables; 1 where runs have failed, else 0."""
        from agents.sweeps.driver import run_sweep
        from agents.sweeps.engines import build_engine
        from agents.sweeps.folder import FAILED
        from agents.sweeps.spec import resources_of
        from agents.sweeps.spec_file import read_spec, write_example

        if self.example:
            write_example(self.spec)
            print(printable(f"wrote {self.spec}; seqgan sweep {self.spec} runs it"))
            return 0
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
class SweepReport(_Command):
    """Write the tables, the page and the numbers of a sweep from its results alone."""

    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")]
    """The sweep's folder, or a file of results."""
    metric: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A metric of the pictures, as kl_sum; can be repeated. By default the sum of both divergences, and nll_oracle."""

    def run(self) -> None:
        """Write them, print the tables."""
        from agents.sweeps.folder import read_results
        from agents.sweeps.report import markdown, write_report

        written = write_report(self.results, self.metric)
        print(printable(markdown(read_results(self.results))))
        print(printable(f"report: {', '.join(map(str, written))}"))


@dataclass(frozen=True, kw_only=True)
class Demo(_Command):
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

    def run(self) -> None:
        """Train, print a table and some sentences, say where the report is."""
        from agents.runs.comparison import compare
        from agents.runs.folder import RunFolder
        from agents.runs.report import rich_table, summary, write_comparison

        runs = demo_runs(self.seed)
        labels = {name: config.label for name, config in runs.items()}
        console = _console()
        title = "SeqGAN on the embedded grammar"
        played = compare(
            runs,
            self.out,
            n_workers=min(len(runs), self.workers),
            on_pretrained=lambda own: console.print(rich_table(summary({"": own}), f"Before {title}")),
        )
        records = {labels[name]: own for name, own in played.items()}
        samples = {
            label: RunFolder(self.out / name).samples.read_text(encoding="utf-8").splitlines()[:20]
            for name, label in labels.items()
        }
        report = RunFolder(self.out).report
        write_comparison(report, runs["log_d"], records, samples)
        console.print(rich_table(summary(records), title))
        for label in labels.values():
            console.print(f"\nSentences after training with {label}:", markup=False)
            for line in samples[label][:4]:
                console.print(f"  {line}", highlight=False, markup=False)
        print(f"\n{_LARGE_GENERATOR}")
        print(f"\nreport: {report}")


@dataclass(frozen=True, kw_only=True)
class Sample(_Command):
    """Print sequences from the generator of a run, one a line.

    A terminal is shown control characters as escapes; a file or a pipe gets them as they are.
    """

    run_folder: _Run
    """The folder of a run."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """Number of sequences."""
    temperature: float = 1.0
    """Below 1 likelier and less diverse, above 1 the contrary."""
    top_k: int | None = None
    """Draw only from the k likeliest tokens."""
    top_p: float | None = None
    """Draw only from the likeliest tokens that together reach this probability."""
    prefix: str = ""
    """Text, or token ids where tokens have no text, that every sequence begins with."""
    best_of: int = 1
    """Draw so many for each, at most 10,000, and print the one that the run's discriminator finds most real."""
    resample: int = 1
    """Draw so many for each, and print one of them by chance, the likelier the more real the discriminator finds it:
    nearer to real sequences where best-of narrows them down."""
    seed: int = 0
    """The same seed gives the same sequences."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""

    def run(self) -> None:
        """Sample and print."""
        from agents.runs.sample import load_generator

        for line in load_generator(self.run_folder, self.device, judged=(self.best_of, self.resample) != (1, 1)).texts(
            self.n,
            prefix=self.prefix,
            best_of=self.best_of,
            resample=self.resample,
            temperature=self.temperature,
            seed=self.seed,
            top_k=self.top_k,
            top_p=self.top_p,
        ):
            print(printable(line) if sys.stdout.isatty() else line)


@dataclass(frozen=True, kw_only=True)
class Evaluate(_Command):
    """Measure the generator and the discriminator of a run on fresh samples and held-out sequences; print JSON."""

    run_folder: _Run
    """The folder of a run."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Sequences of each kind; by default as many as the run's own evaluations."""
    temperature: float = 1.0
    """Of the generator."""
    best_of: int = 1
    """Measure the best of so many sequences, as `seqgan sample --best-of` draws them."""
    resample: int = 1
    """Measure one of so many sequences, as `seqgan sample --resample` draws them."""
    metrics: tuple[str, ...] | None = None
    """Groups of metrics to measure beside the usual ones: text, which takes seconds, language_model, minutes. By
    default those of the run's own evaluations."""
    source: str | None = None
    """The new place of the run's text; by default it is where it was."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""

    def run(self) -> None:
        """Evaluate and print."""
        from agents.runs.evaluation import evaluate_run

        record = evaluate_run(
            self.run_folder,
            self.n,
            self.temperature,
            best_of=self.best_of,
            resample=self.resample,
            metrics=self.metrics,
            source=self.source,
            device=self.device,
        )
        print(json.dumps(record, indent=2))


@dataclass(frozen=True, kw_only=True)
class Inspect(_Command):
    """Describe a text before it is trained on: lines, lengths, tokens, settings that suit it, and what would go wrong.

    The settings are read as those of training are.
    """

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file, or - for standard input."""
    level: str = "word"
    """word, char, token or ids."""
    delimiter: str | None = None
    """The text between two tokens; by default white space."""
    text_field: str | None = None
    """The field of lines of JSON that holds the text; by default text."""
    normalization: str = "NFC"
    """none, NFC or NFKC."""
    max_length: int | None = None
    """Warn of lines that are longer, with their end."""
    min_count: int = PRESETS["text"].task.min_count or 1
    """Warn of the tokens that are rarer; by default as in training."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Read and print."""
        from agents.inspection import inspect_text, inspection_text

        settings = ("level", "delimiter", "text_field", "normalization", "max_length", "min_count")
        file = sys.stdin.buffer if self.file == "-" else self.file
        found = inspect_text(file, **{name: getattr(self, name) for name in settings})
        if not self.json:
            found["warnings"] = [_as_flags(warning) for warning in found["warnings"]]
        print(json.dumps(found, indent=2) if self.json else inspection_text(found))


@dataclass(frozen=True, kw_only=True)
class Play(_Command):
    """Write a sequence yourself, token by token, and see what the discriminator thinks of each beginning.

    Type a token, the beginning of one, its number, or several at once; ? lists tokens, < takes the last one back.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """A registered task, as SeqGANGrammar-v0, or the folder of a run."""
    source: str | None = None
    """The text, of a task without one; or the new place of a run's."""
    render: bool = False
    """Show the picture of the episode too, where there is a screen."""

    def run(self) -> None:
        """Play one episode."""
        from agents.play import make_env, play

        prompt = "> " if sys.stdin.isatty() else ""

        def read() -> str | None:
            try:
                return input(prompt)
            except EOFError:
                return None

        play(make_env(self.task, self.source, render=self.render), read, lambda text: print(printable(text)))


@dataclass(frozen=True, kw_only=True)
class Judge(_Command):
    """Judge two generators on a local page that shows pairs of their lines and not which of them wrote what.

    The answers are kept one by one, and the same command goes on; the result has an interval.
    """

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """The folder of a run, or a file of lines: what `seqgan sample` printed, or real text."""
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Another one."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 50
    """Pairs."""
    question: str | None = None
    """Shown above each pair; by default: which of the two reads more as if a person had written it?"""
    out: Path = Path("runs/judge.json")
    """The file of the answers."""
    port: int = 8765
    """Of the page; 0 takes any that is free."""
    browser: bool = True
    """Open the page."""
    seed: int = 0
    """The same seed gives the same pairs."""

    def run(self) -> None:
        """Serve the page, and print the result when it ends."""
        import webbrowser

        from agents.judging import Ballot, draw_pairs, serve

        ballot = Ballot(self.out, (self.a, self.b), draw_pairs(self.a, self.b, self.n, seed=self.seed))

        def opened(url: str) -> None:
            print(f"the pairs are at {url}, on this machine alone; Ctrl-C ends it", flush=True)
            if self.browser:
                webbrowser.open(url)

        try:
            serve(ballot, question=self.question, port=self.port, opened=opened)
        finally:
            print(printable(ballot.verdict))
            print(printable(f"answers: {self.out}"))


def _console() -> Console:
    """A terminal, taken to be wide enough for a table where it does not say how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


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
    if list(argv[:2]) == ["sweep", "report"]:
        argv = ["sweep-report", *argv[2:]]
    _import_modules(argv)
    default = default_config(argv[1:]) if list(argv[:1]) in (["train"], ["tune"]) else PRESETS["grammar"]
    train, tune = (_with_flags(kind, run_flags(default)) for kind in (Train, Tune))
    commands = (
        Annotated[train, tyro.conf.subcommand("train")]  # type: ignore[valid-type]
        | Annotated[tune, tyro.conf.subcommand("tune")]  # type: ignore[valid-type]
        | Annotated[Inspect, tyro.conf.subcommand("inspect")]
        | Annotated[Play, tyro.conf.subcommand("play")]
        | Annotated[Judge, tyro.conf.subcommand("judge")]
        | Annotated[Sweep, tyro.conf.subcommand("sweep")]
        | Annotated[SweepReport, tyro.conf.subcommand("sweep-report")]
        | Annotated[Sample, tyro.conf.subcommand("sample")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )
    command = _parse(commands, argv)
    if isinstance(command, Train):
        command.run(to_config(command.config, default))  # type: ignore[attr-defined]
    elif isinstance(command, Tune):
        command.run(to_config(command.config, default), argv[1:])  # type: ignore[attr-defined]
    else:
        return command.run() or 0
    return 0


def _with_flags(command: type, flags: Any) -> type:
    """A command that takes the settings of a run too."""
    config = ("config", Annotated[type(flags), tyro.conf.arg(name="")], dataclasses.field(default=flags))
    kind = dataclasses.make_dataclass(f"{command.__name__}Flags", [config], bases=(command,), frozen=True, kw_only=True)
    kind.__doc__ = command.__doc__
    return kind


def _parse(commands: Any, argv: Sequence[str]) -> Any:
    """The command that the arguments describe; a wrong one is an error like any other, not the parser's box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(commands, prog="seqgan", args=list(argv), description=__doc__)
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
    meant = dict.fromkeys(re.findall(r"(?<= )(--[\w.-]+) ", more[0])) if more and "meant" in more[0] else {}
    return f"{reason}; {f'was {next(iter(meant))} meant? ' if meant else ''}seqgan COMMAND --help lists what there is"


def _as_flags(reason: str) -> str:
    """An error with the arguments that it advises, as in ``long_lines='drop'``, as flags."""
    return re.sub(
        r"\b(\w+)='([^']*)'",
        lambda found: f"{flag_of(found[1])} {found[2]}" if hasattr(TaskConfig, found[1]) else found[0],
        reason,
    )


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
        reason = _as_flags(" ".join(str(error).split()) or type(error).__name__)
        print(printable(f"seqgan: error: {reason}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"seqgan: interrupted{''.join(_GOES_ON.get(word, '') for word in argv[:1])}", file=sys.stderr)
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


if __name__ == "__main__":
    sys.exit(main())
