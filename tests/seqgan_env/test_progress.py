"""Bars of single long calls: they count what is done, and show themselves only on a terminal and only after a while."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import torch

from agents import monte_carlo
from agents.monte_carlo import action_values, last_step
from seqgan_env import progress as module
from seqgan_env.discriminators import base, build_discriminator
from seqgan_env.progress import progress
from seqgan_env.tokens import SequenceSpec
from tests.support.builders import every_kind, make_policy


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Count:
    """Stands in for a bar."""

    made: list[Count]

    def __init__(self, total: int, *what: str) -> None:
        self.total, self.done, self.closed = total, 0, False
        self.made.append(self)

    def update(self, n: int) -> None:
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
    for user in (monte_carlo, base):
        monkeypatch.setattr(user, "progress", Count)
    return Count.made


@every_kind
@pytest.mark.parametrize("eos_id", [None, 1])
@pytest.mark.parametrize("exact_last_step", [False, True])
@pytest.mark.parametrize("max_length", [1, 2, 6])
def test_an_estimate_counts_up_to_its_total(
    kind: str, eos_id: int | None, exact_last_step: bool, max_length: int, counts: list[Count]
) -> None:
    spec = SequenceSpec(4, max_length, eos_id)
    policy = make_policy(kind, spec, 0)
    tokens_BT = policy.sample(9, torch.Generator().manual_seed(0))

    def score(tokens_MT: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(tokens_MT))

    last = last_step(policy, tokens_BT, score) if exact_last_step else None
    action_values(policy, tokens_BT, torch.zeros(9), score, n_completions=3, last=last)
    (bar,) = counts
    length_B = (tokens_BT != spec.pad_id).sum(dim=1)
    longest = max_length - exact_last_step
    expected = sum(3 * int((length_B > t).sum()) * (max_length - t) for t in range(1, longest))
    assert (bar.total, bar.done, bar.closed) == (expected, expected, True)


def test_scoring_counts_sequences(counts: list[Count]) -> None:
    spec = SequenceSpec(4, 6, 1)
    build_discriminator("cnn", spec, kwargs={"filters": [(1, 2)]}).logits(torch.full((23, 6), 2), batch_size=7)
    assert [(bar.total, bar.done, bar.closed) for bar in counts] == [(23, 23, True)]


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
