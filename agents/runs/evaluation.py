"""Measuring a generator, and the discriminators around it, on fresh samples and on held-out real sequences."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from agents.agent_file import generator_weights
from agents.reranking import choice, reranked
from agents.runs.folder import Record, RunFolder
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.sampling import Temperature
from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import Discriminator, OptimalDiscriminator
from seqgan_env.files import refusal
from seqgan_env.metrics import EvaluationBatch, check_groups, measure
from seqgan_env.metrics.base import LogProb
from seqgan_env.seeding import derived_seed
from seqgan_env.sources import NAMED_SOURCES, FactoredSource, KnownSource
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokenizing import BPE
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary
from seqgan_env.weights import check_buildable, load_weights


def split_held_out(task: Task) -> tuple[Tokens, Tokens]:
    """The held-out sequences as one half to choose by (validation) and another to report (test)."""
    half = len(task.held_out_sequences) // 2
    return task.held_out_sequences[: max(1, half)], task.held_out_sequences[half:]


@runtime_checkable
class Drawable(Protocol):
    """A distribution over sequences that can be drawn from; ``AutoregressiveModel`` is one."""

    def draw(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tokens:
        """Draw ``n`` complete sequences by seed, shape ``(n, T)``."""


@runtime_checkable
class Likely(Drawable, Protocol):
    """One whose likelihood is known too."""

    def sequence_log_prob(self, tokens_BT: Tokens, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """The log-probability of each sequence, nats, shape ``(B,)``."""


def optimal_discriminator(source: KnownSource, generator: Likely) -> OptimalDiscriminator:
    """The best possible discriminator for a generator as it is, at any time."""

    def token_log_ratio(tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        assert isinstance(source, FactoredSource)
        assert isinstance(generator, AutoregressiveModel)
        n = tokens_BT.shape[1]  # fewer than T where no sequence is as long
        return source.token_log_prob(tokens_BT)[:, :n] - generator.token_log_prob(tokens_BT)

    def all_token_log_ratio(tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        assert isinstance(source, FactoredSource)
        assert isinstance(generator, AutoregressiveModel)
        with torch.no_grad():
            log_g_BTV = generator.all_log_prob(torch.from_numpy(tokens_BT).to(generator.device)).double().cpu().numpy()
        return source.all_token_log_prob(tokens_BT)[:, : tokens_BT.shape[1]] - np.asarray(log_g_BTV, dtype=np.float64)

    is_factored = isinstance(source, FactoredSource) and isinstance(generator, AutoregressiveModel)
    terms = (token_log_ratio, all_token_log_ratio) if is_factored else ()
    return OptimalDiscriminator(source.spec, source.log_prob, generator.sequence_log_prob, *terms)


class Evaluator:
    """Measures one generator.

    Args:
        task: the real sequences.
        generator: the generator; of one that is not ``Likely`` only what can be said of samples is measured.
        n: sequences of each kind in an evaluation.
        seed: of the samples.
        trained: the trained discriminator, if there is one.
        groups: of metrics that are measured on request.
    """

    def __init__(
        self,
        task: Task,
        generator: Drawable,
        n: int,
        seed: int,
        trained: Discriminator | None = None,
        *,
        groups: Sequence[str] = (),
    ) -> None:
        self.generator = generator
        self.source = task.source
        self.n = n
        self.seed = seed
        self.train = task.real_sequences
        self.groups = groups
        self.validation, self.test = split_held_out(task)
        self.optimal = (
            optimal_discriminator(task.source, generator)
            if isinstance(task.source, KnownSource) and isinstance(generator, Likely)
            else None
        )
        """The best possible discriminator for the generator as it is, where the source's likelihood is known."""
        found = {"trained": trained, "optimal": self.optimal}
        self._discriminators: Mapping[str, Discriminator] = {k: d for k, d in found.items() if d is not None}

    def validation_nll(self) -> float:
        """The negative log-likelihood of the validation set, at most n of it, nats per token."""
        assert isinstance(self.generator, Likely)
        validation = self.validation[: self.n]
        return float(-self.generator.sequence_log_prob(validation).sum() / self.source.spec.lengths(validation).sum())

    def measure(self, key: str = "evaluate", temperature: float = 1.0, n: int | None = None) -> Record:
        """All metrics that apply, of those on request the groups that are asked for.

        Args:
            key: chooses the samples.
            temperature: of the generator; at another one than 1 no discriminator is measured.
            n: sequences of each kind; None is the evaluator's own.
        """
        seed = derived_seed(self.seed, "evaluation", key)
        test, generator = self.test[: n or self.n], self.generator

        def drawn(temperature: float) -> Tokens:
            return generator.draw(n or self.n, seed=seed, temperature=temperature)

        def log_prob_at(temperature: float) -> LogProb:
            assert isinstance(generator, Likely)
            return functools.partial(generator.sequence_log_prob, temperature=temperature)

        is_likely = isinstance(generator, Likely)
        return measure(
            EvaluationBatch(
                source=self.source,
                test_BT=test,
                generated_BT=drawn(temperature),
                log_prob=log_prob_at(temperature) if is_likely else None,
                discriminators=self._discriminators if temperature == 1.0 else {},
                source_test_B=None if self._source_test_B is None else self._source_test_B[: len(test)],
                train_BT=self.train,
                validation_BT=self.validation,
                seed=self.seed,
                tempered=(lambda t: (drawn(t), log_prob_at(t))) if is_likely and temperature == 1.0 else None,
            ),
            self.groups,
        )

    @cached_property
    def _source_test_B(self) -> npt.NDArray[np.float64] | None:
        """The source's log-probability of the test set, which stays the same."""
        return self.source.log_prob(self.test) if isinstance(self.source, KnownSource) else None


@check_arguments
def evaluate_run(
    run: str | Path,
    n: PositiveInt | None = None,
    temperature: Temperature = 1.0,
    *,
    best_of: PositiveInt = 1,
    resample: PositiveInt = 1,
    metrics: Sequence[str] | None = None,
    source: str | None = None,
    held_out: str | None = None,
    device: str = "auto",
) -> Record:
    """Measure the generator and the discriminator of a run on samples of their own; nothing in its folder changes.

    Args:
        run: the folder.
        n: sequences of each kind; None is as many as the run's own evaluations.
        temperature: of the generator.
        best_of: measure the best of so many of its sequences, as ``seqgan sample --best-of`` draws them.
        resample: measure one of so many, as ``seqgan sample --resample`` draws them.
        metrics: groups of metrics to measure beside the usual ones; None are those of the run's own evaluations.
        source: the new place of the run's source; None is where it was.
        held_out: the new place of its held-out file, likewise.
        device: where the networks compute.

    Raises:
        ValueError: there is no run, its source is not there or another, a file is damaged, or a value is out of range.
    """
    check_groups(metrics or ())
    chooser = choice(best_of, resample)
    folder = RunFolder(run)
    folder.check_run(folder.checkpoint)
    config, state = folder.load_state()
    # reward, shaping and constraints play no part, and might be functions that the settings of a stranger name
    unnamed: dict[str, Any] = {"reward": "log_d", "reward_kwargs": {}, "reward_clip": None, "allowed_next": None}
    arguments = config.env_kwargs | unnamed | {"device": device, "shaping": "none", "shaping_kwargs": {}}
    learnt = Vocabulary.load(folder.vocabulary) if config.task.level == BPE else None  # so that no library is needed
    task = Task(TaskConfig(**arguments | places(source, held_out)), learnt)
    check_corpus(task, state)
    with refusal(folder.checkpoint, "checkpoint of this run"):
        check_choice("spec", state.get("spec"), [dataclasses.asdict(task.spec)])  # as the text is read now
        build = functools.partial(AutoregressiveModel, task.spec, config.generator.core, **config.generator.kwargs)
        check_buildable(build, generator_weights(state["agent"]))
        generator = build()
        load_weights(generator, generator_weights(state["agent"]))
        version, trained = state["callback"]["version"], None
        if config.is_adversarial:
            trained = task.scoring.discriminator
            trained.load_weights(state["adversary"]["discriminator"])
    generator = generator.to(resolve_device(device)).eval()
    groups = config.evaluation.metrics if metrics is None else metrics
    chosen = reranked(generator, trained, *chooser)
    evaluator = Evaluator(task, chosen, config.evaluation.n, config.seed, trained, groups=groups)
    record = evaluator.measure(temperature=temperature, n=n)
    if trained is not None and temperature == 1.0:
        record["discriminator_version"] = version
    return record


def places(source: str | None, held_out: str | None) -> dict[str, str]:
    """The new places of a run's files as arguments of its task.

    Raises:
        ValueError: the first is the name of a source.
    """
    if source in NAMED_SOURCES:
        raise ValueError(f"source must be the new place of the run's file, got {source!r}")
    return {name: path for name, path in (("source", source), ("held_out", held_out)) if path is not None}


def check_corpus(task: Task, state: Record) -> None:
    """Refuse a file as a source whose content is not that of the run.

    Raises:
        ValueError: it has changed.
    """
    now = getattr(task.source, "sha256", None)
    if now is not None and state.get("sha256") != now:
        files = " with held_out ".join(filter(None, (task.config.source, task.config.held_out)))
        raise ValueError(f"{files} has changed since the run began, or is another source")
