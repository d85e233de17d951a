"""The cost of a sweep beside its learning."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import sweeps


def test_every_part_is_measured_and_has_a_row(tmp_path: Path) -> None:
    sweeps.run(runs=3, repeats=1, results=tmp_path / "sweeps.json")
    document = json.loads((tmp_path / "sweeps.json").read_text())
    assert document["environment"]["versions"]["torch"]
    assert [part.split(":")[0] for part in document["parts"]] == [
        "the driver",
        "the driver",
        "a run",
        "the same with SeqGANGrammar-v0",
        "the same as the first run of a process of the engine local",
        "the engine local",
    ]
    assert all(times[name] > 0 for times in document["parts"].values() for name in ("processor", "clock"))
    table = sweeps.tables(document)
    assert table.count("\n|") == 1 + len(document["parts"])
    assert "| the driver: the check of a combination before work starts | " in table
