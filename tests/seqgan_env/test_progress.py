"""Bars of single long calls: they count what is done, and show themselves only on a terminal and only after a while."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from seqgan_env import parallel
from seqgan_env import progress as module
from seqgan_env.discriminators import build_discriminator
from seqgan_env.parallel import parallel_map
from seqgan_env.progress import progress
from seqgan_env.tokens import SequenceSpec

CPU = torch.device("cpu")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Count:
    """Stands in for a bar."""

    made: list[Count]

    def __init__(self, total: int, desc: str, unit: str) -> None:
        self.total, self.desc, self.unit, self.done, self.closed = total, desc, unit, 0, False
        self.made.append(self)

    def update(self, n: int = 1) -> None:
        self.done += n

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Count:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[Count]:
    Count.made = []
    monkeypatch.setattr(parallel, "progress", Count)
    return Count.made


@pytest.fixture(params=[1, 3])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """The parts are done one after the other, and side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_what_is_named_counts_its_parts_and_closes(counts: list[Count]) -> None:
    done_before = []

    def double(part: int) -> int:
        done_before.append(counts[0].done)
        return 2 * part

    assert parallel_map(double, range(7), CPU, "doubling") == [2 * part for part in range(7)]
    (bar,) = counts
    assert (bar.desc, bar.unit) == ("doubling", "part")
    assert (bar.total, bar.done, bar.closed) == (7, 7, True)
    assert max(done_before) > 0  # it counts as it goes


@pytest.mark.usefixtures("_threads")
def test_a_part_that_fails_is_not_counted_and_the_bar_closes(counts: list[Count]) -> None:
    def refuse(part: int) -> None:
        if part == 1:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        parallel_map(refuse, range(2), CPU, "refusing")
    assert [(bar.done, bar.closed) for bar in counts] == [(1, True)]


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize(("n_parts", "what"), [(7, ""), (1, "doubling"), (0, "doubling")])
def test_what_has_no_name_or_is_one_part_has_no_bar(n_parts: int, what: str, counts: list[Count]) -> None:
    assert parallel_map(lambda part: 2 * part, range(n_parts), CPU, what) == [2 * part for part in range(n_parts)]
    assert not counts


def test_scoring_counts_its_batches(counts: list[Count]) -> None:
    spec = SequenceSpec(4, 6, 1)
    build_discriminator("cnn", spec, kwargs={"filters": [(1, 2)]}).logits(torch.full((23, 6), 2), batch_size=7)
    assert [(bar.total, bar.done, bar.closed) for bar in counts] == [(4, 4, True)]


@pytest.mark.parametrize(("file", "seconds"), [(io.StringIO, 0.0), (Terminal, 60.0), (Terminal, 0.0)])
def test_is_seen_on_a_terminal_after_a_while(
    file: type[io.StringIO], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", seconds)
    monkeypatch.setattr("sys.stderr", file())
    with progress(2, "completing", "token") as bar:
        bar.mininterval = 0
        bar.update(1)
        written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert ("completing:  50%" in written) is (file is Terminal and seconds == 0)
