"""Pairs of texts, the answers of a person about them, and the preference that these show."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.runs.folder import RunFolder
from agents.runs.sample import load_generator
from seqgan_env.checks import PositiveInt, check_arguments, check_choice, check_names, check_type
from seqgan_env.files import atomic_write, parse_json, read_bytes, refusal
from seqgan_env.sources.text_file import read_lines

CHOICES = ("a", "b", "tie")
"""The answers."""
_Z = 1.959964  # of a normal distribution, 95 % of which lies within so many deviations
_SPARE = 4  # texts drawn for each that is shown, as equal ones make no pair


class Pair(NamedTuple):
    """Two texts that differ, one of each side."""

    a: str
    """Of the first side."""
    b: str
    """Of the second."""
    a_is_left: bool
    """The place where the first is shown."""


class Preference(NamedTuple):
    """The answers in numbers."""

    a: int
    """The pairs of which the first side's text was preferred."""
    b: int
    """The second's."""
    ties: int
    """Neither."""

    @property
    def share(self) -> float:
        """The share of the first side among the decided pairs; NaN without one."""
        return self.a / (self.a + self.b) if self.a + self.b else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of ``share`` by Wilson's score (J. Am. Stat. Assoc. 22, 1927); [0, 1] without an answer."""
        n = self.a + self.b
        if not n:
            return 0.0, 1.0
        center, squared = (self.a + _Z**2 / 2) / (n + _Z**2), self.a * self.b / n + _Z**2 / 4
        half = _Z * math.sqrt(squared) / (n + _Z**2)
        return max(0.0, center - half), min(1.0, center + half)


@check_arguments
def draw_pairs(a: str, b: str, n: PositiveInt, *, seed: int = 0) -> list[Pair]:
    """Draw the texts that are compared, and their places.

    Args:
        a: the first side: the folder of a run, whose generator is drawn from, or a file of texts, one a line, whose
            lines are drawn without replacement.
        b: the second.
        n: the number of pairs.
        seed: everything random follows it. The two sides are drawn independently, also where they are the same.

    Raises:
        ValueError: there is no such run or file, a file is damaged or too short, or the sides hardly ever differ.
    """
    seeds = np.random.SeedSequence(seed).spawn(3)
    sides = [_texts(side, n, own) for side, own in zip((a, b), seeds, strict=False)]
    n_spare = min(map(len, sides))
    differing = [(one, other) for one, other in zip(*sides, strict=False) if one != other][:n]
    if len(differing) < n:
        raise ValueError(
            f"{a} and {b} must give {n} pairs of texts that differ, got {len(differing)} of {n_spare}; ask for fewer"
        )
    a_is_left_n = np.random.default_rng(seeds[2]).random(n) < 0.5
    return [Pair(*texts, bool(left)) for texts, left in zip(differing, a_is_left_n, strict=True)]


def _texts(side: str, n: int, seed: np.random.SeedSequence) -> list[str]:
    folder = RunFolder(side)
    if folder.holds_run:
        own = int(seed.generate_state(1)[0])
        return [text for text in load_generator(side, "cpu").texts(_SPARE * n, seed=own) if text.strip()]
    if folder.path.is_dir():
        raise ValueError(f"no run in {side}")
    lines = read_lines(side)
    return [lines[at] for at in np.random.default_rng(seed).permutation(len(lines))]


class Ballot:
    """The answers of one person, in a file that is whole after each of them.

    Args:
        path: the file; where it exists, its answers are gone on with.
        sides: the names of the two sides.
        pairs: as ``draw_pairs`` gives them.

    Raises:
        ValueError: the file is damaged, or its answers are about other pairs. Construction writes nothing.
    """

    def __init__(self, path: str | Path, sides: tuple[str, str], pairs: Sequence[Pair]) -> None:
        self._path, self.sides, self.pairs = Path(path), sides, list(pairs)
        self.answers: list[str] = []
        """One of ``CHOICES`` for each pair so far, in order."""
        if self._path.exists():
            with refusal(path, "ballot"):
                stored = check_type("it", parse_json(read_bytes(self._path)), dict[str, Any])
                check_names("it", stored, ("sides", "pairs", "answers"))
                answers = check_type("answers", stored["answers"], list[str])
                for answer in answers:
                    check_choice("an answer", answer, CHOICES)
            if stored["pairs"] != [list(pair) for pair in self.pairs]:
                raise ValueError(f"{path} has answers about other pairs of texts; name another file with --out")
            self.answers = answers

    @property
    def next(self) -> int | None:
        """The index of the pair that has no answer yet; None after the last one."""
        return len(self.answers) if len(self.answers) < len(self.pairs) else None

    @property
    def preference(self) -> Preference:
        """The answers in numbers."""
        return Preference(*(self.answers.count(choice) for choice in CHOICES))

    def answer(self, index: int, choice: str) -> None:
        """Keep an answer.

        Args:
            index: of the pair.
            choice: one of ``CHOICES``.

        Raises:
            ValueError: the pair is not the next one, or there is no such choice.
        """
        check_choice("an answer", choice, CHOICES)
        if index != self.next:
            raise ValueError(f"the next answer must be about pair {self.next}, got one about {index}")
        self.answers.append(choice)
        self._keep()

    def take_back(self) -> None:
        """Forget the last answer, if there is one."""
        if self.answers:
            self.answers.pop()
            self._keep()

    def _keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stored = {"sides": self.sides, "pairs": self.pairs, "answers": self.answers}
        with atomic_write(self._path) as file:
            file.write(json.dumps(stored, indent=1, ensure_ascii=False).encode())

    @property
    def verdict(self) -> str:
        """The preference in a sentence."""
        found, (a, b) = self.preference, self.sides
        low, high = found.interval
        n = found.a + found.b
        told = f"{len(self.answers)} pairs: {a} was preferred in {found.a}, {b} in {found.b}, neither in {found.ties}."
        if not n:
            return f"{told} Nothing was decided."
        share = f"{a}'s share of the {n} decided ones is {found.share:.0%}, 95 % interval {low:.0%} to {high:.0%}"
        return f"{told} {share}: {_meaning(low, high, a, b)}."


def _meaning(low: float, high: float, a: str, b: str) -> str:
    if low > 0.5:
        return f"{a} is preferred"
    return f"{b} is preferred" if high < 0.5 else "no preference is shown"
