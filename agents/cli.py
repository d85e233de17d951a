"""The command line: ``seqgan train | sample | evaluate | demo``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

from agents.config import EXACT_REWARD, TrainConfig
from agents.presets import PRESETS, get_preset, preset_for

DEMO_REWARDS: dict[str, dict[str, Any]] = {
    "log_d": {},
    "constant": {},
    EXACT_REWARD: {"n_episodes": 256, "learning_rate": 3e-3, "final_learning_rate": 3e-4},
}
"""The demo's rewards, each with the settings of its own. The exact reward bears larger steps, which with log D would
follow the discriminator's errors."""

T = TypeVar("T")
_Flat = Annotated[T, tyro.conf.arg(name="")]
_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True)
class Train:
    """Train a generator and a discriminator, and write a report."""

    config: _Flat[TrainConfig]
    preset: str | None = None
    """Where settings that are not given come from: grammar, small, paper or text; by default what suits the source."""
    out: Path | None = None
    """The run's folder; by default runs/SOURCE-REWARD-SEED."""
    resume: bool = False
    """Go on with the run in the folder where it stopped."""
    start_from: Path | None = None
    """A run whose maximum-likelihood phase this one shares."""

    def run(self) -> None:
        """Train, print a table, say where the report is."""
        from agents.experiment import REPORT, Experiment
        from agents.report import rich_table, summary

        config = self.config
        name = f"{Path(config.source).stem}-{config.reward}-{config.seed}"
        out = self.out or Path("runs") / name
        records = Experiment(config, out, resume=self.resume, start_from=self.start_from).run()
        _console().print(rich_table(summary({config.reward: records}), f"SeqGAN on {Path(config.source).name}"))
        print(f"report: {out / REPORT}")


@dataclass(frozen=True)
class Demo:
    """Train on the embedded grammar with three rewards: log D, a constant, and the best possible one.

    The first is SeqGAN. The other two say what a reward is worth: one that says nothing, and one that says everything.
    """

    out: Path = Path("runs/demo")
    """The folder; a demo that was interrupted, or finished, is taken up from there."""
    seed: int = 0
    """Everything random follows it."""

    def run(self) -> None:
        """Train, print a table and some sentences, say where the report is."""
        from agents.experiment import REPORT, SAMPLES, compare
        from agents.report import rich_table, summary, write_comparison

        config = dataclasses.replace(PRESETS["grammar"], seed=self.seed)
        records = compare(config, DEMO_REWARDS, self.out)
        samples = {
            reward: (self.out / reward / SAMPLES).read_text(encoding="utf-8").splitlines()[:20] for reward in records
        }
        write_comparison(self.out / REPORT, config, records, samples)
        console = _console()
        console.print(rich_table(summary(records), "SeqGAN on the embedded grammar"))
        console.print("\nSentences after training with log D:")
        for line in samples["log_d"][:8]:
            console.print(f"  {line}", highlight=False, markup=False)
        print(f"\nreport: {self.out / REPORT}")


@dataclass(frozen=True)
class Sample:
    """Print sequences from the generator of a run, one a line."""

    run_folder: _Run
    """The folder of a run."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """How many."""
    temperature: float = 1.0
    """Below 1 likelier and less diverse, above 1 the contrary."""
    top_k: int | None = None
    """Draw only from the k likeliest tokens."""
    top_p: float | None = None
    """Draw only from the likeliest tokens that together reach this probability."""
    prefix: str = ""
    """Text, or token ids where tokens have no text, that every sequence begins with."""
    seed: int = 0
    """The same seed gives the same sequences."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""

    def run(self) -> None:
        """Sample and print."""
        from agents.experiment import load_generator

        for line in load_generator(self.run_folder, self.device).texts(
            self.n,
            prefix=self.prefix,
            temperature=self.temperature,
            seed=self.seed,
            top_k=self.top_k,
            top_p=self.top_p,
        ):
            print(line)


@dataclass(frozen=True)
class Evaluate:
    """Measure the generator and the discriminator of a run on fresh samples and held-out sequences; print JSON."""

    run_folder: _Run
    """The folder of a run."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Sequences of each kind; by default as many as the run's own evaluations."""
    temperature: float = 1.0
    """Of the generator."""

    def run(self) -> None:
        """Evaluate and print."""
        from agents.experiment import evaluate_run

        print(json.dumps(evaluate_run(self.run_folder, self.n, self.temperature), indent=2))


def _console() -> Console:
    """A terminal, taken to be wide enough for a table where it does not say how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


def _command(argv: Sequence[str]) -> Train | Demo | Sample | Evaluate:
    """Parse the command line; the flags' defaults are those of the preset or, on resuming, the run's own settings."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--source")
    early.add_argument("--preset")
    early.add_argument("--out", type=Path)
    early.add_argument("--resume", action="store_true")
    default = PRESETS["grammar"]
    if list(argv[:1]) == ["train"] and not {"-h", "--help"} & set(argv):
        given, _ = early.parse_known_args(list(argv[1:]))
        if given.resume and given.out is not None:
            default = TrainConfig.load(given.out / "config.json") if given.out.exists() else default
        elif given.preset is not None or given.source is not None:
            default = get_preset(given.preset if given.preset is not None else preset_for(given.source))
    commands = (
        Annotated[Train, tyro.conf.subcommand("train", default=Train(default))]
        | Annotated[Sample, tyro.conf.subcommand("sample")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )
    return tyro.cli(commands, prog="seqgan", args=list(argv), description=__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None is those of the process.

    Returns:
        The exit status: 0, 2 for bad input, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        _command(argv).run()
    except (ValueError, OSError) as error:
        print(f"seqgan: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("seqgan: interrupted; the same command goes on with --resume (demo: as it is)", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
