"""Rows by seeds: the training of each and its measurement, which are done once."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.rivals import RelaxedTrainer
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.experiment import Experiment
from agents.runs.folder import check_same
from agents.runs.phases import ADVERSARIAL, TEMPERATURES
from agents.runs.workers import side_by_side
from agents.sweeps.environment import describe
from benchmarks.curves import game_seconds, record_at
from benchmarks.harness import keep_result, kept_result
from benchmarks.language_models import fit
from benchmarks.paper.rivals import RIVALS
from benchmarks.paper.rows import ROWS, Scenario, config_of
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import Discriminator
from seqgan_env.files import refusal
from seqgan_env.sources import build_source
from seqgan_env.task import Task
from seqgan_env.weights import load_weights

_MODELS = "models"
N_SAMPLES = 10
"""Sentences that the result of a cell shows, the first that are drawn, where tokens have text."""


def check_oracle(oracle: str) -> None:
    """Refuse what is neither the name of the project's own oracle nor a file of one.

    Raises:
        ValueError: it is not, or the file is not there or not readable.
    """
    if oracle != "oracle" and not oracle.endswith(".pkl"):
        raise ValueError(f"oracle must be 'oracle' or an oracle's parameter file (.pkl), got {oracle!r}")
    build_source(oracle)


def known_source(config: RunConfig) -> str:
    """The name of a run's source that stays when its file is moved: the hash of its content.

    Raises:
        ValueError: there is no such source.
    """
    return getattr(config.task.build_source(), "sha256", None) or config.task.source


class Cell(NamedTuple):
    """One row with one seed."""

    row: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file and its folder."""
        plain = "".join(c if c.isalnum() else "-" for c in self.row)
        return f"{self.seed}/{plain}"


@dataclass(frozen=True)
class Grid:
    """The cells of a scenario, in a folder; what is done there is not done again.

    Its methods are the jobs of processes that work side by side.
    """

    scenario: Scenario
    source: str
    """The task's: the name of a source or a file."""
    out: Path
    """The folder."""
    n: int
    """Sequences in each measurement."""
    groups: tuple[str, ...] = ()
    """Groups of metrics on request, at every temperature."""
    groups_at_one: tuple[str, ...] = ()
    """More of them, at temperature 1 alone."""

    def measure(self, rows: Sequence[str], seeds: Sequence[int], workers: int) -> dict[Cell, dict[str, Any]]:
        """Train and measure each row with each seed.

        Args:
            rows: keys of ``ROWS``.
            seeds: of the runs.
            workers: processes side by side.

        Returns:
            Of each cell the ``seconds`` of a game's updates, with its discriminator's between them, or of a rival; its
            ``records`` by temperature, the ``share`` of the optimum that its discriminator had in the end, if it has
            one that is a network, what it was measured on, and, where tokens have text, ``samples``.

        Raises:
            ValueError: there is no such source, or what is done was done with other settings; nothing more has been
                done then.
        """
        cells = [Cell(row, seed) for seed in seeds for row in rows]
        left = self.check(rows, seeds)
        starts = sorted({(ROWS[cell.row].start, cell.seed) for cell in left})
        models = sorted({cell.seed for cell in left if ROWS[cell.row].needs_models})
        longest_first = [*((_MODELS, seed) for seed in models), *starts]
        side_by_side(self.prepare, {job: job for job in longest_first}, workers)
        with tqdm(desc="rows", total=len(cells), initial=len(cells) - len(left)) as bar:
            side_by_side(self.play, {cell: (cell,) for cell in left}, workers, lambda _: bar.update())
        return {cell: self.kept(cell) or {} for cell in cells}

    def check(self, rows: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
        """The cells that are left to do; see ``measure``, which begins with this."""
        _ = self._known  # which refuses a source that is not there
        return [cell for seed in seeds for row in rows if self.kept(cell := Cell(row, seed)) is None]

    def kept(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a cell; None where it has none yet.

        Raises:
            ValueError: it is damaged, or of other settings.
        """
        names = ("seconds", "share", "records", "measured on")
        return kept_result(self._file(cell), names, self.settings(cell))

    def settings(self, cell: Cell) -> dict[str, Any]:
        """The settings that the result of a cell depends on, as plain data."""
        row, config = ROWS[cell.row], self.config(cell).to_dict()
        config["task"]["source"] = self._known  # with a file of held-out sequences the hash of both
        config["task"]["held_out"] = None
        found = {"n": self.n, "groups": self.groups, "groups_at_one": self.groups_at_one, "config": config}
        if row.needs_models:
            found["models"] = dict(self.scenario.models)
        if row.rival:
            found["n_epochs"] = self.scenario.n_epochs[row.rival]
            found["rival"] = dataclasses.asdict(RIVALS[row.rival].settings(self.config(cell)))
        return found

    @cached_property
    def _known(self) -> str:
        """See ``known_source``."""
        return known_source(self.config(Cell(next(iter(ROWS)), 0)))

    def config(self, cell: Cell) -> RunConfig:
        """The settings of a cell's run."""
        return config_of(cell.row, self.scenario, cell.seed, self.source)

    def _file(self, cell: Cell) -> Path:
        return self.out / f"{cell.name}.json"

    def _checkpoint(self, cell: Cell) -> Path:
        """The file of a rival's training until it is measured."""
        return self.out / f"{cell.name}.zip"

    def prepare(self, name: str, seed: int) -> None:
        """Do the maximum likelihood that rows start from, or fit the language models, or what is left of either.

        Args:
            name: the ``start`` of some rows, or ``"models"``.
            seed: everything random follows it.
        """
        if name == _MODELS:
            fit(self.config(Cell("distilled", seed)), self.models(seed), self.scenario.models)
        else:
            self.start(name, seed).run(pretraining_only=True)

    def start(self, name: str, seed: int) -> Experiment:
        """The run of a start, as it is on the disk."""
        row = next(row for row, found in ROWS.items() if found.start == name and not found.game and not found.rival)
        folder = self.out / str(seed) / f"start-{name}"
        return Experiment.begin_or_resume(self.config(Cell(row, seed)), folder)

    def models(self, seed: int) -> Path:
        """The file of the language models of a seed."""
        return (self.out / str(seed) / "models.safetensors").resolve()

    def play(self, cell: Cell) -> None:
        """Train a row and measure it at every temperature."""
        row = ROWS[cell.row]
        start = self.start(row.start, cell.seed)
        task, generator, seconds, share = start.game.task, start.game.agent.generator, 0.0, None
        trained = None
        if row.rival:
            seconds, trained = self._train_rival(cell, start)
        elif row.game:
            task, generator, seconds, share = self._play_game(cell, start.folder.path)
        evaluator = Evaluator(task, generator, self.n, cell.seed, trained)
        records = []
        for t in TEMPERATURES:
            evaluator.groups = self.groups + (self.groups_at_one if t == 1 else ())
            records.append({"temperature": t, **evaluator.measure("paper", t)})
        if trained is not None:
            share = record_at({"records": records}).get("discriminator_share_of_optimum")
        environment = describe()
        measured_on = {name: environment[name] for name in ("processor", "gpu", "versions", "commit")}
        result: dict[str, Any] = {"seconds": seconds, "share": share, "records": records, "measured on": measured_on}
        if (vocabulary := task.source.vocabulary) is not None:
            drawn = generator.draw(N_SAMPLES, seed=cell.seed)
            result["samples"] = [vocabulary.decode(row_T[row_T != task.spec.pad_id]) for row_T in drawn]
        keep_result(self._file(cell), result, self.settings(cell))
        self._checkpoint(cell).unlink(missing_ok=True)

    def _play_game(self, cell: Cell, start: Path) -> tuple[Task, AutoregressiveModel, float, float | None]:
        """Play a row's game, or what is left of it; the task, the generator, the seconds, the share of the optimum."""
        config = self.config(cell)
        if ROWS[cell.row].needs_models:
            learned = dataclasses.replace(
                config.task, discriminator=str(self.models(cell.seed)), discriminator_kwargs={}
            )
            config = dataclasses.replace(config, task=learned)
        run = Experiment.begin_or_resume(config, self.out / cell.name, start_from=start)
        game = [r for r in run.run() if r["phase"] == ADVERSARIAL]
        share = game[-1].get("discriminator_share_of_optimum")
        return run.game.task, run.game.agent.generator, game_seconds(game), share

    def _train_rival(self, cell: Cell, start: Experiment) -> tuple[float, Discriminator | None]:
        """Train the generator of a start in another way, or what is left of it; the seconds, the discriminator."""
        rival, generator, file = ROWS[cell.row].rival, start.game.agent.generator, self._checkpoint(cell)
        n_epochs, seconds = self.scenario.n_epochs[rival], 0.0
        settings = json.loads(json.dumps(self.settings(cell)))
        trainer = RIVALS[rival].trainer(generator, self.config(cell), self.models(cell.seed), n_epochs)
        if file.exists():
            with refusal(file, "checkpoint of a rival, and without the file its training begins again"):
                state = load_checkpoint(file)
                check_same(state["settings"], settings, "what was begun")
                load_weights(generator, state["generator"])
                trainer.load_state_dict(state["trainer"])
                seconds = float(state["seconds"])
        for _ in tqdm(range(trainer.n_epochs, n_epochs), desc=cell.row, initial=trainer.n_epochs, total=n_epochs):
            started = time.perf_counter()
            trainer.epoch(start.game.task.real_sequences)
            seconds += time.perf_counter() - started
            own = {"generator": generator.state_dict(), "trainer": trainer.state_dict()}
            save_checkpoint(file, {"settings": settings, "seconds": seconds, **own})
        return seconds, trainer.discriminator.discriminator if isinstance(trainer, RelaxedTrainer) else None


def measured_on(rows: Iterable[Sequence[Mapping[str, Any]]]) -> str:
    """The machines that cells were measured on, in words.

    Args:
        rows: the results of each, one for each seed.
    """
    machines = {cell["measured on"]["gpu"] or cell["measured on"]["processor"] for row in rows for cell in row}
    return " and ".join(sorted(machines))
