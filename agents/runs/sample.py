"""Sequences from the generator of a run, as a person reads them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.reranking import choice, reranked
from agents.runs.folder import RunFolder
from agents.seqgan import SeqGAN
from seqgan_env.autoregressive import AutoregressiveModel, ConstrainedModel
from seqgan_env.checks import PositiveInt, check_arguments, check_choice
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import Discriminator, build_discriminator
from seqgan_env.files import refusal
from seqgan_env.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextGenerator:
    """A generator and the vocabulary of its tokens; it needs neither data nor a discriminator."""

    model: AutoregressiveModel
    """The generator."""
    vocabulary: Vocabulary | None
    """The map between text and ids, or None where tokens have no text."""
    judge: Discriminator | None = None
    """The discriminator that ``best_of`` and ``resample`` choose by."""

    @check_arguments
    def texts(
        self,
        n: PositiveInt,
        *,
        prefix: str = "",
        best_of: PositiveInt = 1,
        resample: PositiveInt = 1,
        known_only: bool = False,
        **arguments: Any,
    ) -> list[str]:
        """Draw sequences as a person reads them.

        Args:
            n: how many.
            prefix: text or, where tokens have no text, token ids separated by spaces.
            best_of: draw so many for each, and keep the one that the judge finds most real.
            resample: draw so many for each, and keep one with a probability in proportion to ``D / (1 - D)``.
            known_only: draw no unknown token, ``<unk>``; the probabilities of others are scaled up to 1.
            **arguments: ``seed``, ``temperature``, ``top_k`` and ``top_p`` of ``AutoregressiveModel.draw``.

        Raises:
            ValueError: a value is out of range, as more candidates than ``MAX_CANDIDATES``, the prefix is too long or
                out of vocabulary, or there is no judge to choose by, or more than one rule.
        """
        model = self._without_unknown() if known_only else self.model
        sampler = reranked(model, self.judge, *choice(best_of, resample))
        rows = sampler.draw(n, prefix=self._ids(prefix), **arguments)
        if self.vocabulary is not None:
            return [self.vocabulary.decode(row) for row in rows]
        spec = self.model.spec
        return [" ".join(str(token) for token in row if token not in (spec.eos_id, spec.pad_id)) for row in rows]

    def _without_unknown(self) -> AutoregressiveModel:
        """The generator, its softmax cut off at the unknown token where there is one."""
        unk_id = None if self.vocabulary is None else self.vocabulary.unk_id
        if unk_id is None:
            return self.model
        is_known_V = np.arange(self.model.spec.vocab_size) != unk_id
        return ConstrainedModel(self.model, lambda tokens_BT: np.tile(is_known_V, (len(tokens_BT), 1)))

    def _ids(self, prefix: str) -> list[int]:
        if self.vocabulary is not None:
            return list(self.vocabulary.encode(prefix, allow_unknown=False))
        try:
            return [int(word) for word in prefix.split()]
        except ValueError as error:
            raise ValueError(f"prefix must be token ids, as this run's tokens have no text; got {prefix!r}") from error


def load_generator(run: str | Path, device: str = "auto", *, judged: bool = False) -> TextGenerator:
    """Read the generator of a run.

    Args:
        run: the folder.
        device: where the networks compute.
        judged: read the run's discriminator too.

    Raises:
        ValueError: there is no run, a file is damaged, the vocabulary is not the generator's, or there is no
            discriminator that was trained.
    """
    folder = RunFolder(run)
    folder.check_run(folder.agent)
    resolve_device(device)
    vocabulary = Vocabulary.load(folder.vocabulary) if folder.vocabulary.exists() else None
    model = SeqGAN.load(folder.agent, device=device).generator
    found = None if vocabulary is None else vocabulary.spec(model.spec.max_length).vocabulary
    if found != model.spec.vocabulary:
        raise ValueError(
            f"{folder.vocabulary} must hold the vocabulary {model.spec.vocabulary} of {folder.agent}, got {found}"
        )
    return TextGenerator(model, vocabulary, _judge(folder, model) if judged else None)


def _judge(folder: RunFolder, model: AutoregressiveModel) -> Discriminator:
    """The discriminator of a run, as it was in the end."""
    config, state = folder.load_state()
    if not config.is_adversarial:
        raise ValueError(f"{folder.path} has no trained discriminator to choose by: its game is {config.label!r}")
    task = config.task
    judge = build_discriminator(task.discriminator, model.spec, kwargs=task.discriminator_kwargs)
    with refusal(folder.checkpoint, "checkpoint of this run"):
        check_choice("spec", state.get("spec"), [dataclasses.asdict(model.spec)])
        judge.load_weights(state["adversary"]["discriminator"])
    return judge.to(model.device)
