"""Corpora of real text in three files: to train on, held out, and to stand beside what a generator writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqgan_env.files import atomic_write
from seqgan_env.seeding import numpy_rng
from seqgan_env.sources import build_source
from seqgan_env.sources.finite import FiniteSource
from seqgan_env.task import Task
from seqgan_env.tokens import Tokens

HELD_OUT = 0.4
"""The share of the lines that are not trained on which is held out; the rest is real text to compare with."""


def corpus_files(name: str, folder: Path) -> tuple[Path, Path, Path]:
    """The files of the lines to train on, of those held out and of those that stand beside generated ones."""
    return folder / f"{name}.txt", folder / f"{name}-held-out.txt", folder / f"{name}-real.txt"


def write_parts(lines: Sequence[str], files: tuple[Path, Path, Path], n_real: int) -> None:
    """Split the different lines of a corpus, and write each part where it is not written yet.

    Args:
        lines: of the corpus.
        files: those of ``corpus_files``.
        n_real: lines to train on, at most.

    Raises:
        ValueError: a file is there and holds something else.
        OSError: it can't be written.
    """
    different = list(dict.fromkeys(lines))
    shuffled = [different[i] for i in numpy_rng(0, "corpus").permutation(len(different))]
    others = shuffled[n_real:]
    n_held_out = round(HELD_OUT * len(others))
    for file, own in zip(files, (shuffled[:n_real], others[:n_held_out], others[n_held_out:]), strict=True):
        content = "".join(f"{line}\n" for line in own).encode()
        if not file.exists():
            with atomic_write(file) as stream:
                stream.write(content)
        elif file.read_bytes() != content:
            raise ValueError(f"{file} holds another corpus: take another folder for out")


class RealText:
    """The sequences of a file as something that can be drawn from.

    Args:
        task: which it is to be like; of a longer line nothing is drawn.
        file: a sequence a line.
    """

    def __init__(self, task: Task, file: Path) -> None:
        vocabulary, longest = task.source.vocabulary, task.spec.max_length
        source = build_source(file, vocabulary=vocabulary, max_length=longest, long_lines="drop")
        assert isinstance(source, FiniteSource)
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def draw(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tokens:
        """Draw without replacement; the temperature is that of the text."""
        return self._source.rows(numpy_rng(seed, "real text").permutation(len(self))[:n])
