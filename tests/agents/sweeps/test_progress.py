"""The table of a sweep's progress counts right, and guesses the time that is left."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from agents.sweeps import progress
from agents.sweeps.graph import graph_of
from agents.sweeps.progress import Progress
from agents.sweeps.spec import cells_of
from tests.support.sweeps import spec_with

NODES = graph_of(cells_of(spec_with(algorithm=["seqgan", "random"], seeds=[0, 1])))
"""Two pretrainings, two discriminators, two runs of SeqGAN and two of random tokens."""


def test_the_time_left_is_that_of_the_like(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    seqgan = [node for node in NODES if node.kind == "run" and node.work.axes["algorithm"] == "seqgan"]  # type: ignore[union-attr]
    rest = [node for node in NODES if node not in seqgan]
    with Progress(NODES, [*seqgan, rest[0], rest[-1]], 2, shown=False) as table:
        assert table.summary == "4 of 8 done"
        table.begun(seqgan[0])
        now = 100.0
        table.ended(seqgan[0], None)
        table.begun(rest[0])
        now = 110.0
        table.ended(rest[0], None)
        # 100 s for the run that is left, and for that of another kind the mean of both; two at once
        assert table.summary == "6 of 8 done, about 1 min 18 s left"
        table.begun(seqgan[1])
        table.begun(seqgan[1])  # its process died
        table.ended(seqgan[1], "no luck")
        table.ended(rest[-1], "its discriminator failed")
        assert table.summary == "6 of 8 done, 2 failed, about 0 min 0 s left"


def test_on_a_terminal_the_table_counts_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=100))

    def rows() -> dict[str, list[str]]:
        """The numbers of each row that was shown last, without the zeros, which are not shown."""
        screen.seek(0)
        screen.truncate()
        table.refresh()
        shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", screen.getvalue())
        return {line[:24].strip(): line[24:].split() for line in shown.splitlines() if line.strip()}

    by_row = {"maximum likelihood": ["2"], "discriminator": ["2"]}
    by_row |= {f"SeqGANTiny-v0: {name}": ["2"] for name in ("seqgan", "random")}
    with Progress(NODES, NODES, 1, shown=True) as table:
        assert rows().items() >= by_row.items()
        pretraining = NODES[0]
        table.begun(pretraining)
        assert rows()["maximum likelihood"] == ["1", "1"]  # running, left
        table.ended(pretraining, None)
        table.begun(NODES[-1])
        table.ended(NODES[-1], "no\nluck")
        found = rows()
        assert found["maximum likelihood"] == found["SeqGANTiny-v0: random"] == ["1", "1"]  # done or failed, left
        assert "1 of 8 done, 1 failed, about 0 min 0 s left" in screen.getvalue()


def test_without_a_terminal_each_run_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(NODES, NODES, 1, shown=True) as table:
        for node in NODES:
            table.begun(node)
            table.ended(node, "no\nluck" if node is NODES[-1] else None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("SeqGANTiny-v0, seqgan, log_d, none, tabular, seed 0: done; 3 of 8 done")
    assert lines[-1].startswith("SeqGANTiny-v0, random, –, –, –, seed 1: failed: no luck; 7 of 8 done, 1 failed")
