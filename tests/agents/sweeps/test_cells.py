"""The hash of a run: what decides its result changes it, and nothing else does."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from agents.sweeps import cells
from agents.sweeps.cells import Cell
from agents.sweeps.spec import cells_of
from tests.support.sweeps import spec_with


def cell(**changes: Any) -> Cell:
    (found,) = cells_of(spec_with(**changes))
    return found


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({}, {"seeds": [1]}),
        ({}, {"budget": {"steps": 65, "evaluations": 2}}),
        ({}, {"reward": ["log_ratio"]}),
        ({}, {"reward": ["constant"]}),
        ({}, {"shaping": ["length"]}),
        ({}, {"discriminator": ["gru"]}),
        ({}, {"algorithm": [{"name": "seqgan", "n_completions": 3}]}),
        ({}, {"run": {"adversary": {"every_n_episodes": 9}}}),
        ({}, {"run": {"pretraining": {"n_epochs": 2}}}),
        ({"algorithm": ["ppo"]}, {"algorithm": ["maskable_ppo"]}),
        ({"algorithm": ["ppo"]}, {"algorithm": [{"name": "ppo", "n_epochs": 3}]}),
    ],
)
def test_a_setting_that_matters_makes_another_run(change: dict[str, Any], other: dict[str, Any]) -> None:
    assert cell(**change).key != cell(**other).key


@pytest.mark.parametrize(
    ("change", "other"),
    [
        # a default that is written out
        ({"algorithm": ["ppo"]}, {"algorithm": [{"name": "ppo", "n_epochs": 10}], "reward": ["log_d"]}),
        ({}, {"discriminator": ["tabular"], "shaping": ["none"]}),
        # the machine
        ({}, {"run": {"runtime": {"device": "auto", "n_threads": 2}}}),
        # what an algorithm has no use for
        ({"algorithm": ["cooperative"]}, {"algorithm": ["cooperative"], "reward": ["bleu"], "shaping": ["length"]}),
        ({"algorithm": ["random"]}, {"algorithm": ["random"], "discriminator": ["gru"]}),
        ({"algorithm": ["relaxed"]}, {"algorithm": ["relaxed"], "reward": ["log_ratio"], "shaping": ["length"]}),
        ({"reward": ["constant"]}, {"reward": ["constant"], "discriminator": ["gru"]}),
        ({"reward": ["constant"]}, {"reward": ["constant"], "run": {"adversary": {"n_rounds": 9}}}),
        ({"algorithm": ["ppo"]}, {"algorithm": ["ppo"], "run": {"agent": {"n_episodes": 8, "n_completions": 7}}}),
    ],
)
def test_a_setting_that_cannot_matter_does_not(change: dict[str, Any], other: dict[str, Any]) -> None:
    assert cell(**change).key == cell(**other).key


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("a b\nb a\n")
    a, b = (cell(task=[{"name": "SeqGANText-v0", "source": str(path)}]).key for path in paths)
    assert a == b
    paths[1].write_text("a b\nb b\n")
    assert cell(task=[{"name": "SeqGANText-v0", "source": str(paths[1])}]).key != a


def test_a_file_is_read_again_only_if_it_may_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, n_read = tmp_path / "a.txt", iter(range(100))
    monkeypatch.setattr(cells, "read_bytes", lambda path: (next(n_read), Path(path).read_bytes())[1])

    def key() -> str:
        return cells.hashed(cells.identity(cell(task=[{"name": "SeqGANText-v0", "source": str(path)}]).config))

    path.write_text("a b\nb a\n")
    first = key()
    path.write_text("a b\nb b\n")  # at what may be the same time by the file's clock
    assert key() != first
    monkeypatch.setattr(cells, "_YOUNG_NS", -(10**15))
    old, before = key(), next(n_read)
    assert key() == old
    assert next(n_read) == before + 1
    path.write_text("a b\nb c\n")
    os.utime(path, (1, 1))
    assert key() not in (first, old)


def test_so_is_a_held_out_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("train.txt", "a.txt", "b.txt")]
    for path in paths:
        path.write_text("a b\nb a\n")
    train, *held_out = map(str, paths)
    a, b = (cell(task=[{"name": "SeqGANText-v0", "source": train, "held_out": path}]).key for path in held_out)
    assert a == b
    paths[2].write_text("a b\nb b\n")
    assert cell(task=[{"name": "SeqGANText-v0", "source": train, "held_out": held_out[1]}]).key != a


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00305, "0.00305"), (1e-5, "1e-05"), (50000.0, "50000"), (16, "16"), (1234567.0, "1234567.0"), (True, "True")],
)
def test_a_number_in_a_name_is_short(value: Any, text: str) -> None:
    assert cells.name_with("ppo", {"x": value}) == f"ppo (x={text})"


def test_different_numbers_have_different_names() -> None:
    rates = [0.12345671, 0.12345672]
    found = cells_of(spec_with(algorithm=[{"name": "ppo", "grid": {"learning_rate": rates}}]))
    assert [each.axes["settings"] for each in found] == [f"learning_rate={rate}" for rate in rates]


def test_the_header_of_a_result_says_everything() -> None:
    one = cell()
    assert one.header["axes"] == {
        "task": "SeqGANTiny-v0",
        "algorithm": "seqgan",
        "settings": "",
        "reward": "log_d",
        "shaping": "none",
        "discriminator": "tabular",
        "variant": "",
    }
    assert one.header["config"] == one.config.to_dict()
    assert one.header["key"] == dataclasses.replace(one, axes={**one.axes, "task": "another name"}).key
