"""A whole run: maximum likelihood, the discriminator's pretraining, the adversarial game.

A run is measured as it goes, kept, and can be resumed. Randomness is keyed by the seed and by what is being done
(``seqgan_env.seeding``), so a checkpoint needs no generator state and a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import Logger
from tqdm import tqdm

from agents.runs.config import RunConfig
from agents.runs.evaluation import check_corpus
from agents.runs.folder import Record, RunFolder
from agents.runs.game import Game
from agents.runs.phases import (
    ADVERSARIAL,
    DISCRIMINATOR,
    FINAL_TEMPERATURE,
    LIKELIHOOD,
    RANDOM,
    TEMPERATURE,
    Phase,
    phases,
)
from agents.runs.records import check_records
from agents.runs.report import summary, write_report
from agents.runs.resuming import check_settings, without_end
from agents.runs.sample import TextGenerator
from agents.runs.trackers import Trackers, values_of
from seqgan_env.checks import NonNegativeInt, check_arguments, check_choice, check_type
from seqgan_env.files import atomic_write, parse_json, refusal
from seqgan_env.weights import check_form

DONE = "done"
"""The phase of a run that is finished."""


class Experiment:
    """One run in one folder.

    Args:
        config: the settings.
        out: the folder; it is made if it is not there.
        resume: go on where the run in ``out`` stopped; see ``agents.runs.resuming`` for the settings that may be
            others.
        start_from: a run whose maximum-likelihood phase this one shares; None trains its own.
        track: keys of ``TRACKERS``, which are told every evaluation; None is those that the run had before, or
            TensorBoard alone.
        progress: show a progress bar on the terminal.

    Raises:
        ValueError: ``out`` holds another run, there is nothing to resume, a file is damaged, a setting does not fit the
            source, or a tracker is not to be had. Construction checks everything and writes nothing.
    """

    @check_arguments
    def __init__(
        self,
        config: RunConfig,
        out: str | Path,
        *,
        resume: bool = False,
        start_from: str | Path | None = None,
        track: Sequence[str] | None = None,
        progress: bool = True,
    ) -> None:
        self.config = config = config.located()
        self.folder = RunFolder(out)
        self.records: list[Record] = []
        self.row: int | None = None
        """The terminal's row for progress bars, where several runs share it."""
        self._shows_progress = progress
        self._phases = phases()
        self._phase = self._phases[0].name
        self._seconds_before, self._started = 0.0, time.monotonic()
        self._version = self.folder.version
        self._trackers = Trackers(self.folder.trackers, track)
        state = self._stored_state(resume, None if start_from is None else Path(start_from))
        self.game = Game(config)
        if state is not None:
            path = self.folder.checkpoint if start_from is None or resume else RunFolder(start_from).pretrained
            check_corpus(self.game.task, state)
            with refusal(path, "checkpoint of this run"):
                self._load_state_dict(state, shared=not resume)

    @classmethod
    def begin_or_resume(
        cls, config: RunConfig, out: str | Path, *, start_from: str | Path | None = None, progress: bool = True
    ) -> Experiment:
        """The run in a folder where there is one, else a new one.

        Args:
            config: the settings.
            out: the folder.
            start_from: as of the class, of a new one.
            progress: as of the class.

        Raises:
            ValueError: as construction raises.
        """
        resume = RunFolder(out).holds_run
        return cls(config, out, resume=resume, start_from=None if resume else start_from, progress=progress)

    def run(self, *, pretraining_only: bool = False) -> list[Record]:
        """Do what is left to do.

        Args:
            pretraining_only: of maximum likelihood alone, which other runs can then start from.

        Returns:
            Every evaluation of the run, as in ``metrics.jsonl``.

        Raises:
            ValueError: another process trains in the folder, or has since this run was read from it.
        """
        with self.folder.lock():
            if self.folder.version != self._version:
                raise ValueError(f"{self.folder.path} has changed since the run was read; resume it again")
            self._run(pretraining_only)
            self._version = self.folder.version
        return self.records

    def _run(self, pretraining_only: bool) -> None:
        state = self._state_dict() if self.records else None
        self._trackers.begin(self.folder.path.name, self.config.to_dict(), dict(enumerate(self.records, 1)))
        try:
            self.folder.begin(self.config, self.game.task.source.vocabulary, self.records, state)
            self._trackers.keep()
            self.game.agent.set_logger(Logger(folder=None, output_formats=[self._trackers]))
            self._started = time.monotonic()
            if not self.records:
                self.measure(RANDOM, 0)
                self.keep()
            for phase in self._phases[:1] if pretraining_only else self._phases:
                if self._phase == phase.name:
                    phase.run(self.game, self)
                    self._end(phase)
        finally:
            self._trackers.close(finished=self._phase == DONE)
        if self._phase == DONE:
            self.write_report()

    def _end(self, phase: Phase) -> None:
        names = [each.name for each in self._phases] + [DONE]
        self._phase = names[names.index(phase.name) + 1]
        if phase is self._phases[0]:
            # before the checkpoint that says this phase is over: a run killed in between does it again
            self.folder.save_state(self._state_dict(), pretrained=True)
        self.keep()

    def write_report(self) -> None:
        """Write ``samples.txt`` and ``report.html``."""
        texts = TextGenerator(self.game.agent.generator, self.game.task.source.vocabulary).texts(200)
        with atomic_write(self.folder.samples) as file:
            file.write(("\n".join(texts) + "\n").encode())
        rows = {"generated": self.game.agent.generator.draw(self.config.evaluation.n), "real": self.game.evaluator.test}
        lengths = {name: self.game.task.spec.lengths(rows_BT) for name, rows_BT in rows.items()}
        write_report(self.folder.report, self.config, self.records, texts[:30], lengths)

    # The journal of the phases

    def measure(self, phase: str, step: int, temperature: float = 1.0, **more: float | None) -> Record:
        """See ``Journal``."""
        record: Record = {"phase": phase, "step": step}
        if temperature != 1.0 or phase in (TEMPERATURE, FINAL_TEMPERATURE):
            record["temperature"] = temperature
        record |= {name: value for name, value in more.items() if value is not None}
        # the same random numbers each time, so that a difference between two records is the generator's
        record |= self.game.evaluator.measure("record", temperature)
        if self.config.is_adversarial and temperature == 1.0:
            record["discriminator_version"] = self.game.callback.version
        record["wall_time_s"] = round(self._seconds, 3)
        self.folder.append(record)
        self.records.append(record)
        logger = self.game.agent.logger
        for name, value in values_of(record).items():
            logger.record(name, value)
        logger.dump(len(self.records))
        return record

    def keep(self) -> None:
        """See ``Journal``."""
        # the checkpoint last: what it says is done is on the disk
        self.game.agent.save(self.folder.agent)
        self.folder.save_state(self._state_dict())

    def bar(self, what: str, total: int, done: int) -> tqdm[Any]:
        """See ``Journal``."""
        return tqdm(
            desc=what,
            total=total,
            initial=min(done, total),
            disable=not self._shows_progress,
            file=sys.stderr,
            position=self.row,
        )

    # Keeping

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _state_dict(self) -> dict[str, Any]:
        return {
            "config": json.dumps(self.config.to_dict()),
            "spec": dataclasses.asdict(self.game.task.spec),
            "sha256": getattr(self.game.task.source, "sha256", None),
            "phase": self._phase,
            "phases": {phase.name: phase.state_dict() for phase in self._phases},
            "records": self.records,
            "seconds": self._seconds,
            **self.game.state_dict(),
        }

    def _load_state_dict(self, state: dict[str, Any], *, shared: bool) -> None:
        """Restore ``_state_dict``, or only what maximum likelihood has made, to be shared by several runs.

        Raises:
            ValueError: it has not the form of this run's own.
        """
        like = self._state_dict()
        if state["phases"][LIKELIHOOD]["weights"]:
            like["phases"][LIKELIHOOD]["weights"] = self.game.agent.generator.state_dict()
        if state["phases"][DISCRIMINATOR]["best"]["state"]:
            like["phases"][DISCRIMINATOR]["best"]["state"] = self.game.adversary.trainer.snapshot()
        for name in ("adversary", "callback") if shared else ():  # another run's, which may be of another kind
            like[name] = {}
        check_choice("spec", state.get("spec"), [like["spec"]])  # as the text is read now
        check_form("the state", state, like)
        check_choice("phase", state["phase"], [*(phase.name for phase in self._phases), DONE])
        check_records(state["records"])
        summary({self.config.label: state["records"]})  # what the report would lack is missed now, not in the end
        self._phase = state["phase"]
        for phase in self._phases:
            phase.load_state_dict(state["phases"][phase.name])
        (self.game.load_pretraining if shared else self.game.load_state_dict)(state)
        self.records = list(state["records"])
        if not shared and parse_json(state["config"])["agent"]["n_updates"] != self.config.agent.n_updates:
            self.records = without_end(self.records, self.config.evaluation.every)
            if self._phase == DONE and self.game.agent.n_updates < self.config.agent.n_updates:
                self._phase = ADVERSARIAL
        self._seconds_before = float(state["seconds"])

    def _stored_state(self, resume: bool, start_from: Path | None) -> dict[str, Any] | None:
        if resume:
            return self._own_state(start_from)
        self.folder.check_new()
        if start_from is None:
            return None
        other, state = RunFolder(start_from).load_state(pretrained=True)
        theirs, ours = other.of_pretraining, self.config.of_pretraining
        if state.get("sha256") is not None:  # which is compared too
            places = {"source": ours[0].source, "held_out": ours[0].held_out}
            theirs = (dataclasses.replace(theirs[0], **places), *theirs[1:])
        if theirs != ours:
            pairs = zip(theirs, ours, strict=True)
            differing = ", ".join(f"{our} instead of {their}" for their, our in pairs if their != our)
            raise ValueError(f"the run in {start_from} was pretrained with other settings: {differing}")
        with refusal(RunFolder(start_from).pretrained, "checkpoint of a run"):  # only maximum likelihood is shared
            return {**state, "agent": {**state["agent"], "n_updates": 0, "num_timesteps": 0}}

    def _own_state(self, start_from: Path | None) -> dict[str, Any] | None:
        """The state of the run in the folder; None if it was killed before its first evaluation."""
        what = f"the run in {self.folder.path}"
        if not self.folder.holds_run:
            raise ValueError(f"there is no run to resume in {self.folder.path}")
        state: dict[str, Any] | None = None
        if self.folder.checkpoint.exists():
            stored, state = self.folder.load_state()  # config.json can be edited
            with refusal(self.folder.checkpoint, "checkpoint of this run"):
                n_updates = check_type("n_updates", state["agent"]["n_updates"], NonNegativeInt)
            check_settings(stored, self.config, what, n_updates=n_updates, knows_source=state.get("sha256") is not None)
        else:
            check_settings(self.folder.load_config(), self.config, what)
            self.folder.check_beginning()
        if start_from is not None:
            shared = RunFolder(start_from).load_state(pretrained=True)[1]["records"]
            if state is None or state["records"][: len(shared)] != shared:
                raise ValueError(f"{what} did not start from {start_from}")
        return state
