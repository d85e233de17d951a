"""Sequences from the generator of a run, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.runs.folder import RunFolder
from agents.seqgan import SeqGAN
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.device import resolve_device
from seqgan_env.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextGenerator:
    """A generator and the vocabulary of its tokens; it needs neither data nor a discriminator."""

    model: AutoregressiveModel
    """The generator."""
    vocabulary: Vocabulary | None
    """The map between text and ids, or None where tokens have no text."""

    def texts(self, n: int, *, prefix: str = "", **arguments: Any) -> list[str]:
        """Draw sequences as a person reads them.

        Args:
            n: how many.
            prefix: text or, where tokens have no text, token ids separated by spaces.
            **arguments: ``seed``, ``temperature``, ``top_k`` and ``top_p`` of ``AutoregressiveModel.draw``.

        Raises:
            ValueError: a value is out of range, or the prefix is too long or out of vocabulary.
        """
        rows = self.model.draw(n, prefix=self._ids(prefix), **arguments)
        if self.vocabulary is not None:
            return [self.vocabulary.decode(row) for row in rows]
        pad_id = self.model.spec.pad_id
        return [" ".join(str(token) for token in row if token != pad_id) for row in rows]

    def _ids(self, prefix: str) -> list[int]:
        if self.vocabulary is not None:
            return list(self.vocabulary.encode(prefix, allow_unknown=False))
        try:
            return [int(word) for word in prefix.split()]
        except ValueError as error:
            raise ValueError(f"prefix must be token ids, as this run's tokens have no text; got {prefix!r}") from error


def load_generator(run: str | Path, device: str = "auto") -> TextGenerator:
    """Read the generator of a run.

    Raises:
        ValueError: there is no run, a file is damaged, or the vocabulary is not the generator's.
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
    return TextGenerator(model, vocabulary)
