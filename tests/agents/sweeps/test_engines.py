"""Engines: real work in other processes, the same as in this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.sweeps import run_sweep
from agents.sweeps.engines import LocalEngine, build_engine
from agents.sweeps.spec import Resources
from tests.support.sweeps import spec_with


def test_processes_do_the_same_as_this_one(tmp_path: Path) -> None:
    """The user's own algorithm travels by its name, and one that raises leaves the others alone."""
    mine = ["tests.agents.sweeps.test_algorithms:a2c_of_mine", "tests.agents.sweeps.test_algorithms:out_of_luck"]
    spec = spec_with(algorithm=["a2c", *mine], reward=["constant"])
    results = run_sweep(spec, tmp_path, engine=LocalEngine(2), progress=False)
    by_name = {result["axes"]["algorithm"].rpartition(":")[2]: result for result in results}
    assert {name: result["status"] for name, result in by_name.items()} == {
        "a2c": "done",
        "a2c_of_mine": "done",
        "out_of_luck": "failed",
    }
    assert by_name["out_of_luck"]["error"] == "no luck"
    assert 'raise ZeroDivisionError("no luck")' in by_name["out_of_luck"]["traceback"]
    records = [
        [{k: v for k, v in record.items() if k != "wall_time_s"} for record in by_name[name]["records"]]
        for name in ("a2c", "a2c_of_mine")
    ]
    assert records[0] == records[1]
    assert by_name["a2c"]["environment"]["threads"] == 1
    assert json.loads((tmp_path / "sweep.json").read_text())["spec"] == spec


@pytest.mark.parametrize(
    ("name", "address", "says"),
    [
        ("slurm", None, "engine must be one of local, ray; got 'slurm'"),
        ("local", "auto", "an address is for the engine ray, got 'auto' with local"),
    ],
)
def test_an_engine_that_cannot_be_is_named(name: str, address: str | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build_engine(name, 1, address, Resources())
