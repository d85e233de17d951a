"""The progress of a sweep on the terminal: a table that says what is done and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agents.sweeps.cells import Cell
from agents.sweeps.graph import Node
from seqgan_env.files import one_line, printable


class Progress:
    """The table, a row for each task and algorithm; where there is no terminal, a line for each run that has ended.

    Args:
        nodes: all work of the sweep.
        missing: what is left of it.
        n_slots: pieces that are done at once.
        shown: whether anything is shown.
    """

    def __init__(self, nodes: Sequence[Node], missing: Sequence[Node], n_slots: int, *, shown: bool) -> None:
        self._rows: dict[str, dict[str, int]] = {}
        self.add(nodes)
        left = {node.id for node in missing}
        for row in (self._rows[_row(node)] for node in nodes if node.id not in left):
            row["left"] -= 1
            row["done"] += 1
        self._n_slots = n_slots
        self._begun: dict[object, float] = {}
        self._timed: dict[str, tuple[int, float]] = {}  # the pieces that are done and their seconds, by row
        self._console = Console(stderr=True, quiet=not shown)
        is_live = shown and self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=False) if is_live else None

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self.refresh()
            self._live.stop()

    def add(self, missing: Sequence[Node]) -> None:
        """Note that more is left.

        Args:
            missing: the work.
        """
        for node in missing:
            self._rows.setdefault(_row(node), {"done": 0, "failed": 0, "running": 0, "left": 0})["left"] += 1

    def begun(self, node: Node) -> None:
        """Note that a piece of work has begun, for the first time or again."""
        row = self._rows[_row(node)]
        if node.id not in self._begun:
            row["left"] -= 1
            row["running"] += 1
        self._begun[node.id] = time.monotonic()

    def ended(self, node: Node, error: str | None) -> None:
        """Note that a piece of work has ended.

        Args:
            node: the piece.
            error: the reason, of one that failed.
        """
        row, began = self._rows[_row(node)], self._begun.pop(node.id, None)
        row["left" if began is None else "running"] -= 1
        row["done" if error is None else "failed"] += 1
        if began is not None and error is None:
            n, seconds = self._timed.get(_row(node), (0, 0.0))
            self._timed[_row(node)] = n + 1, seconds + time.monotonic() - began
        if self._live is None and isinstance(node.work, Cell):
            names = ", ".join(filter(None, [*node.work.axes.values(), f"seed {node.work.config.seed}"]))
            said = f"{names}: {'done' if error is None else f'failed: {error}'}; {self.summary}"
            self._console.print(Text(one_line(said)), soft_wrap=True)

    @property
    def summary(self) -> str:
        """The runs that are done, and the time that is left."""
        n_done, n_failed = (sum(row[name] for row in self._rows.values()) for name in ("done", "failed"))
        n_all = sum(sum(row.values()) for row in self._rows.values())
        failed = f", {n_failed} failed" if n_failed else ""
        return f"{n_done} of {n_all} done{failed}{self._time_left}"

    @property
    def _time_left(self) -> str:
        """The time that is left, if each piece takes as long as the others of its row, or as all if there are none."""
        if not self._timed:
            return ""
        every = tuple(map(sum, zip(*self._timed.values(), strict=True)))
        total = 0.0
        for name, row in self._rows.items():
            n, own = self._timed.get(name, every)
            total += (row["left"] + row["running"]) * own / n
        minutes, seconds = divmod(round(total / self._n_slots), 60)
        return (
            f", about {f'{minutes // 60} h {minutes % 60} min' if minutes > 59 else f'{minutes} min {seconds} s'} left"
        )

    def refresh(self) -> None:
        """Show the table as it is now."""
        if self._live is None:
            return
        table = Table(box=SIMPLE_HEAD, caption=self.summary, caption_justify="left")
        table.add_column("work")
        for name in ("done", "failed", "running", "left"):
            table.add_column(name, justify="right")
        for name, row in self._rows.items():
            table.add_row(Text(printable(name)), *(str(n or "") for n in row.values()))
        self._live.update(table, refresh=True)


def _row(node: Node) -> str:
    """The row of a piece of work."""
    if isinstance(node.work, Cell):
        return f"{node.work.axes['task']}: {node.work.axes['algorithm']}"
    return {"pretraining": "maximum likelihood", "discriminator": "discriminator"}[node.kind]
