"""Pairs of texts, the answers of a person about them, and the preference that these show."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from agents.runs.folder import RunFolder
from agents.runs.sample import load_generator
from seqgan_env.checks import Interval, NonNegativeInt, check_arguments, check_choice, check_names, check_type
from seqgan_env.files import atomic_write, parse_json, printable, read_bytes, refusal
from seqgan_env.sources.text_file import has_json_lines, read_lines

CHOICES = ("a", "b", "tie")
"""The answers."""
_Z = 1.959964  # of a normal distribution, 95 % of which lies within so many deviations
_SPARE = 4  # texts drawn for each that is shown, as equal ones make no pair


class Pair(NamedTuple):
    """Two texts that can be told apart, one of each side."""

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
def draw_pairs(
    a: str,
    b: str,
    n: Annotated[int, Interval(1, 10_000)],
    *,
    seed: NonNegativeInt = 0,
    text_field: str | None = None,
) -> list[Pair]:
    """Draw the texts that are compared, and their places.

    Args:
        a: the first side: the folder of a run, whose generator is drawn from, or a file of texts, one a line, whose
            lines are drawn without replacement.
        b: the second.
        n: the number of pairs; more than 10,000 nobody answers.
        seed: everything random follows it. The two sides are drawn independently, also where they are the same.
        text_field: the field that holds the text, in a file of lines of JSON.

    Raises:
        ValueError: there is no such run or file, a file is damaged or too short, or the sides hardly ever differ.
    """
    if text_field is not None and not any(map(has_json_lines, (a, b))):
        raise ValueError(f"text_field is of lines of JSON, which neither {a} nor {b} has by its name, as in x.jsonl.gz")
    seeds = np.random.SeedSequence(seed).spawn(3)
    sides = [_texts(side, n, own, text_field) for side, own in zip((a, b), seeds, strict=False)]
    n_spare = min(map(len, sides))
    differing = [(one, other) for one, other in zip(*sides, strict=False) if _look(one) != _look(other)][:n]
    if len(differing) < n:
        raise ValueError(
            f"{a} and {b} must give {n} pairs of texts that differ, got {len(differing)} of {n_spare}; ask for fewer"
        )
    a_is_left_n = np.random.default_rng(seeds[2]).random(n) < 0.5
    return [Pair(*texts, bool(left)) for texts, left in zip(differing, a_is_left_n, strict=True)]


def _texts(side: str, n: int, seed: np.random.SeedSequence, text_field: str | None) -> list[str]:
    """Texts that can be seen, without the white space around them, which would tell a run from a file."""
    folder = RunFolder(side)
    if folder.holds_run:
        own = int(seed.generate_state(1)[0])
        texts = load_generator(side, "cpu").texts(_SPARE * n, seed=own)
        return [text.strip() for text in texts if _look(text)]
    if folder.path.is_dir():
        raise ValueError(f"no run in {side}")
    lines = read_lines(side, text_field if has_json_lines(side) else None)
    return [lines[at] for at in np.random.default_rng(seed).permutation(len(lines)) if _look(lines[at])]


def _look(text: str) -> str:
    """A text as a reader sees it: without the amount of white space, the form of an accent, and what is invisible."""
    visible = "".join(c for c in printable(text) if unicodedata.category(c) != "Cf")  # the page shows it printable
    return unicodedata.normalize("NFC", " ".join(visible.split()))


class Ballot:
    """The answers of one person, in a file that is whole after each of them.

    Args:
        path: the file; where it exists, its answers are gone on with.
        sides: the names of the two sides.
        pairs: as ``draw_pairs`` gives them.

    Raises:
        ValueError: the file is damaged, or has answers about other pairs. Construction writes nothing.
    """

    def __init__(self, path: str | Path, sides: tuple[str, str], pairs: Sequence[Pair]) -> None:
        self._path, self.sides, self.pairs = Path(path), sides, list(pairs)
        self.answers: list[str] = []
        """One of ``CHOICES`` for each pair so far, in order."""
        self._written: bytes | None = None
        if self._path.exists():
            with refusal(path, "ballot"):
                self._written = read_bytes(self._path)
                stored = check_type("it", parse_json(self._written), dict[str, Any])
                check_names("it", stored, ("sides", "pairs", "answers"))
                answers = check_type("answers", stored["answers"], list[str])
                for answer in answers:
                    check_choice("an answer", answer, CHOICES)
                about = check_type("pairs", stored["pairs"], list[Any])
                if len(answers) > len(about):
                    raise ValueError(f"it must have at most {len(about)} answers, one a pair, got {len(answers)}")
            if answers and about != [list(pair) for pair in self.pairs]:
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
            ValueError: the pair is not the next one, there is no such choice, or the answer can't be kept.
        """
        check_choice("an answer", choice, CHOICES)
        if index != self.next:
            raise ValueError(f"the next answer must be about pair {self.next}, got one about {index}")
        self._keep([*self.answers, choice])

    def take_back(self) -> None:
        """Forget the last answer, if there is one.

        Raises:
            ValueError: the file can't be written.
        """
        if self.answers:
            self._keep(self.answers[:-1])

    def check_place(self) -> None:
        """Write the file as it is, so that a place where nothing can be kept is found before a question is asked.

        Raises:
            ValueError: it can't be written.
        """
        self._keep(self.answers)

    def _keep(self, answers: list[str]) -> None:
        """Write the answers, and have them as the own ones only then."""
        stored = {"sides": self.sides, "pairs": self.pairs, "answers": answers}
        # the name of a side may hold what is no character, which becomes an escape of JSON
        content = json.dumps(stored, indent=1, ensure_ascii=False).encode(errors="backslashreplace")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and read_bytes(self._path) != self._written:
                raise ValueError(f"{self._path} has been changed by another program; name another file with --out")
            with atomic_write(self._path) as file:
                file.write(content)
        except OSError as error:
            raise ValueError(f"{self._path} can't be written: {error.strerror or error}") from error
        self.answers, self._written = answers, content

    @property
    def verdict(self) -> str:
        """The preference in a sentence."""
        found, (a, b) = self.preference, self.sides
        if a == b:
            a, b = f"{a} (first)", f"{b} (second)"
        low, high = found.interval
        n = found.a + found.b
        answered = "1 pair" if len(self.answers) == 1 else f"{len(self.answers)} pairs"
        told = f"{answered}: {a} was preferred in {found.a}, {b} in {found.b}, neither in {found.ties}."
        if not n:
            return f"{told} Nothing was decided."
        decided = "one decided pair" if n == 1 else f"{n} decided pairs"
        numbers = f"{found.share * 100:.1f} %, 95 % interval {low * 100:.1f} to {high * 100:.1f} %"
        share = f"{a}'s share of the {decided} is {numbers}"
        return f"{told} {share}: {_meaning(low, high, a, b)}."


def _meaning(low: float, high: float, a: str, b: str) -> str:
    if low > 0.5:
        return f"{a} is preferred"
    return f"{b} is preferred" if high < 0.5 else "no preference is shown"
