"""The commands that look at a text, a task or a run: ``inspect``, ``sample``, ``evaluate``, ``play`` and ``judge``."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Annotated

import tyro

from agents.cli.base import Command, RunArgument, as_flags
from agents.runs.presets import PRESETS
from seqgan_env.checks import check_type
from seqgan_env.files import printable


@dataclass(frozen=True, kw_only=True)
class Sample(Command):
    """Print sequences from the generator of a run, one a line.

    A terminal is shown control characters as escapes; a file or a pipe gets them as they are.
    """

    run_folder: RunArgument
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
    known_only: bool = False
    """Draw no unknown token, <unk>."""
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
            known_only=self.known_only,
            temperature=self.temperature,
            seed=self.seed,
            top_k=self.top_k,
            top_p=self.top_p,
        ):
            print(printable(line) if sys.stdout.isatty() else line)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure the generator and the discriminator of a run on fresh samples and held-out sequences; print JSON.

    Several temperatures give a list, a row for each: a curve of quality against diversity.
    """

    run_folder: RunArgument
    """The folder of a run."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Sequences of each kind, and the most references of BLEU; by default as many as the run's own evaluations."""
    temperature: tuple[float, ...] = (1.0,)
    """Of the generator, one or several."""
    best_of: int = 1
    """Measure the best of so many sequences, as `seqgan sample --best-of` draws them."""
    resample: int = 1
    """Measure one of so many sequences, as `seqgan sample --resample` draws them."""
    metrics: tuple[str, ...] | None = None
    """Groups of metrics to measure beside the usual ones, with spaces between them: text, temperatures or
    text_temperatures, which take seconds, language_model, minutes. By default those of the run's own evaluations."""
    source: str | None = None
    """The new place of the run's text; by default it is where it was."""
    held_out: str | None = None
    """The new place of its held-out file, likewise."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""

    def run(self) -> None:
        """Evaluate and print."""
        from agents.runs.evaluation import evaluate_run
        from seqgan_env.autoregressive.sampling import Temperature

        if not self.temperature:
            raise ValueError("temperature must be at least one number, got none")
        for temperature in self.temperature:  # all before one is measured
            check_type("temperature", temperature, Temperature)
        rows = [
            {"temperature": temperature}
            | evaluate_run(
                self.run_folder,
                self.n,
                temperature,
                best_of=self.best_of,
                resample=self.resample,
                metrics=self.metrics,
                source=self.source,
                held_out=self.held_out,
                device=self.device,
            )
            for temperature in self.temperature
        ]
        print(json.dumps(rows if len(rows) > 1 else rows[0], indent=2))


@dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Describe a text before it is trained on: lines, lengths, tokens, settings that suit it, and what would go wrong.

    The settings are read as those of training are.
    """

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file, or - for standard input."""
    level: str = "word"
    """word, char, token, bpe or ids."""
    delimiter: str | None = None
    """The text between two tokens; by default white space."""
    text_field: str | None = None
    """The field of lines of JSON that holds the text, or a list of tokens; by default text. Standard input is lines of
    JSON where it is given."""
    normalization: str = "NFC"
    """none, NFC or NFKC."""
    max_length: int | None = None
    """Warn of lines that are longer, with their end."""
    min_count: int = PRESETS["text"].task.min_count or 1
    """Warn of the tokens that are rarer; by default as in training."""
    vocab_size: int | None = None
    """The most tokens of byte-pair encoding; by default 1000."""
    held_out: str | None = None
    """The file of held-out text, to compare."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Read and print."""
        from agents.inspection import inspect_text, inspection_text

        settings = ("level", "delimiter", "text_field", "normalization", "max_length", "min_count", "vocab_size")
        file = sys.stdin.buffer if self.file == "-" else self.file
        given = {name: getattr(self, name) for name in settings}
        found = inspect_text(file, **given, held_out=self.held_out)
        if not self.json:
            for name in ("warnings", "refused"):
                found[name] = [as_flags(warning) for warning in found[name]]
        print(json.dumps(found, indent=2) if self.json else inspection_text(found))


@dataclass(frozen=True, kw_only=True)
class Play(Command):
    """Write a sequence yourself, token by token, and see what the discriminator thinks of each beginning.

    Type a token, the beginning of one, its number, or several at once; ? lists tokens, < takes the last one back.
    Where these two are tokens themselves, type their numbers. The discriminator of a registered task is untrained.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """A registered task, as SeqGANGrammar-v0, or the folder of a run."""
    source: str | None = None
    """The text, of a task without one; or the new place of a run's."""
    held_out: str | None = None
    """Its held-out file, of a task of a text; or the new place of a run's."""
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

        play(
            make_env(self.task, self.source, self.held_out, render=self.render),
            read,
            lambda text: print(printable(text)),
        )


@dataclass(frozen=True, kw_only=True)
class Judge(Command):
    """Judge two generators on a local page that shows pairs of their lines and not which of them wrote what.

    The answers are kept one by one, and the same command goes on; the result has an interval.
    """

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """The folder of a run, or a file of lines: what `seqgan sample` printed, or real text."""
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Another one."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 50
    """Pairs, at most 10,000."""
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
    text_field: str | None = None
    """The field of lines of JSON that holds the text; by default text."""

    def run(self) -> None:
        """Serve the page, and print the result when it ends."""
        import webbrowser

        from agents.judging import Ballot, draw_pairs, serve

        result = ExitStack()
        pairs = draw_pairs(self.a, self.b, self.n, seed=self.seed, text_field=self.text_field)
        ballot = Ballot(self.out, (self.a, self.b), pairs)

        def tell() -> None:
            print(printable(ballot.verdict))
            print(printable(f"answers: {self.out}"))

        def opened(url: str) -> None:
            result.callback(tell)
            print(f"the pairs are at {url}, on this machine alone; Ctrl-C ends it", flush=True)
            if self.browser:  # a thread, as some browsers end only when they are closed
                Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        with result:
            if ballot.next is None:
                result.callback(tell)
            else:
                ballot.check_place()
                serve(ballot, question=self.question, port=self.port, opened=opened)
