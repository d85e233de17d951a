"""The file of a sweep: TOML or Python, and one line for what is neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.runs.presets import PRESETS
from agents.sweeps.spec import cells_of
from agents.sweeps.spec_file import EXAMPLE, plain, read_spec, write_example
from tests.support.sweeps import SPEC


def test_the_example_is_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(EXAMPLE)
    cells = cells_of(read_spec(path))
    # seqgan and two of ppo with two rewards, and two to which rewards do not matter; three seeds
    assert len(cells) == 3 * (3 * 2 + 2)
    assert {cell.config.pretraining.n_epochs for cell in cells} == {20}
    assert all(cell.config.generator == PRESETS["small"].generator for cell in cells)
    assert {cell.settings["learning_rate"] for cell in cells if cell.algorithm == "ppo"} == {3e-4, 1e-3}
    assert [cell.config.seed for cell in cells] == sorted(cell.config.seed for cell in cells)


def test_a_python_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sweep.py"
    path.write_text(f"SPEC = {SPEC!r}")
    assert read_spec(path) == SPEC


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", None),
        ("a.toml", "seeds = ["),
        ("a.py", "SPEC = 3"),
        ("a.py", "1 / 0"),
        ("a.py", "SPEC ="),
        ("a.py", "assert False"),
        ("a.py", "raise SystemExit(3)"),
        ("a.py", "class Odd(Exception): pass\nraise Odd('no luck')"),
        ("a.py", "SPEC = {'seeds': [print]}"),
    ],
)
def test_a_file_that_is_no_sweep_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name} is not a readable sweep: ") as caught:
        read_spec(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_mark_of_the_byte_order_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(EXAMPLE, encoding="utf-8-sig")
    assert read_spec(path)["seeds"] == [0, 1, 2]


def test_what_a_python_file_computes_becomes_plain(tmp_path: Path) -> None:
    seeds: list[Any] = [range(2), np.arange(2), (0, np.int64(1))]
    assert [plain({"seeds": each, "source": tmp_path}) for each in seeds] == [
        {"seeds": [0, 1], "source": str(tmp_path)}
    ] * 3


def test_an_example_is_written_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    write_example(path)
    assert path.read_text() == EXAMPLE
    with pytest.raises(ValueError, match=r"sweep\.toml is there already"):
        write_example(path)
    with pytest.raises(ValueError, match=r"a TOML file, got the name sweep\.py"):
        write_example(Path("sweep.py"))
