"""The folder of a sweep: nothing of somebody else's is written over, and what is damaged is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.sweeps.cells import Cell
from agents.sweeps.folder import SweepFolder, read_results
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.spec import cells_of
from tests.support.sweeps import pretend, result_of, spec_with

NODES = graph_of(cells_of(spec_with(seeds=[0, 1])))
RUNS = [node for node in NODES if isinstance(node.work, Cell)]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    folder = SweepFolder(tmp_path / "sweep")
    with folder.lock():
        folder.begin({"seeds": [0]}, NODES)
        for node in NODES:
            folder.write(node, pretend(node))
        folder.gather()
    return folder


def test_what_is_done_is_known(folder: SweepFolder) -> None:
    folder.check(NODES)
    assert all(map(folder.is_done, NODES))
    assert folder.read(NODES[0].id) == pretend(NODES[0])
    failed: Node = RUNS[0]
    assert isinstance(failed.work, Cell)
    folder.write(failed, json.dumps({**failed.work.header, "status": "failed", "error": "x"}).encode())
    assert not folder.is_done(failed)
    assert [result["status"] for result in folder.gather()] == ["failed", "done"]


def test_a_checkpoint_that_is_cut_off_is_made_again(folder: SweepFolder) -> None:
    path = folder.path / "pretraining" / f"{NODES[0].key}.zip"
    path.write_bytes(pretend(NODES[0])[:-30])
    assert [node for node in NODES if not folder.is_done(node)] == [NODES[0]]
    folder.write(NODES[0], pretend(NODES[0]))
    assert folder.is_done(NODES[0])


def test_what_a_killed_driver_left_half_written_is_removed(folder: SweepFolder) -> None:
    partial = folder.path / "run" / ".x.json.1.abcd.partial"
    partial.write_text("half")
    folder.begin({}, NODES)
    assert not partial.exists()
    assert len(folder.gather()) == 2


@pytest.mark.parametrize("kind", ["file", "run", "other"])
def test_the_folder_of_something_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("x")
    else:
        path.mkdir()
        (path / ("config.json" if kind == "run" else "sweep.txt")).write_text("{}")
    with pytest.raises(ValueError, match="precious is neither a sweep nor an empty folder"):
        SweepFolder(path).check(NODES)


RUNLESS = '{"name": "seqgan-env sweep", "version": 1, "runs": [3]}'


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"name": "other", "version": 1}', '{"name": "seqgan-env sweep"}', RUNLESS]
)
def test_a_damaged_mark_is_named(folder: SweepFolder, content: str) -> None:
    folder.mark.write_text(content)
    with pytest.raises(ValueError, match=r"sweep\.json is not a readable sweep: "):
        folder.check(NODES)


def test_a_disk_without_room_is_named_before_work_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20 << 20))
    with pytest.raises(ValueError, match=r"new needs 48 MB on the disk for what is left, and has 20"):
        SweepFolder(tmp_path / "new").check(NODES)


def test_with_nothing_left_to_do_no_room_is_needed(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    folder.check(NODES)


def given(**changes: Any) -> str:
    """A line of results with something else in it."""
    assert isinstance(RUNS[0].work, Cell)
    return json.dumps({**result_of(RUNS[0].work), **changes})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("", "it holds no run"),
        ("{", "is not a readable file of results"),
        ("[]", "a run must have its axes and its seed, got "),
        (given(axes={}), r"axes\['task'\] must be a string, got None"),
        (given(axes={"task": 3}), r"axes\['task'\] must be a string, got 3"),
        (given(key=[]), r"key must be a string, got \[\]"),
        (given(seed="x"), "seed must be a whole number, got 'x'"),
        (given(status="lost"), "the status of a run must be one of done, failed; got 'lost'"),
        (given(status="failed"), "error must be a string, got None"),
        (given(start=None), "start must be a mapping from names, got None"),
        (given(start={"kl_sum": "a"}), r"start\['kl_sum'\] must be Real, got 'a'"),
        (given(records=[]), "a run that is done must have records"),
        (given(records=[3]), r"records\[0\] must be a mapping from names, got 3"),
        (given(records=[{}]), "steps must be Real, got None"),
        (given(scored=None), "scored must be Real, got None"),
        (given(peak_memory_mb="x"), "peak_memory_mb must be Real or None, got 'x'"),
        (given(environment=3), "environment must be a mapping from names, got 3"),
        (given(environment={"commit": 3}), "commit must be a string or None, got 3"),
    ],
)
def test_what_is_no_result_is_named(folder: SweepFolder, content: str | None, says: str) -> None:
    assert read_results(folder.path) == read_results(folder.results)
    if content is None:
        folder.results.unlink()
    else:
        folder.results.write_text(content)
    with pytest.raises(ValueError, match=says):
        read_results(folder.results)


def test_the_results_are_those_of_the_last_command_by_its_names(folder: SweepFolder) -> None:
    work = RUNS[1].work
    assert isinstance(work, Cell)
    renamed = dataclasses.replace(work, axes={**work.axes, "settings": "n=1"})
    folder.begin({}, [dataclasses.replace(RUNS[1], work=renamed)])
    (result,) = folder.gather()
    assert (result["seed"], result["axes"]) == (1, renamed.axes)
    assert read_results(folder.path) == read_results(folder.results) == [result]
    assert all(map(folder.is_done, NODES))


def test_a_folder_that_does_not_name_its_runs_has_all_of_them(folder: SweepFolder) -> None:
    folder.mark.write_text('{"name": "seqgan-env sweep", "version": 1}')
    assert len(read_results(folder.path)) == 2
    folder.mark.unlink()
    assert len(read_results(folder.path)) == 2


def test_a_run_that_stands_in_a_file_twice_counts_once(folder: SweepFolder) -> None:
    folder.results.write_text(folder.results.read_text() * 2 + given(scored=17))
    found = read_results(folder.results)
    assert [(result["seed"], result["scored"]) for result in found] == [(0, 17), (1, 16)]


def test_results_are_ordered_by_their_names(folder: SweepFolder) -> None:
    assert [result["seed"] for result in folder.gather()] == [0, 1]
    assert isinstance(RUNS[1].work, Cell)
    assert folder.gather()[1] == json.loads(json.dumps(result_of(RUNS[1].work)))
