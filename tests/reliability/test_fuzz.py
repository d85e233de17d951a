"""The files that the fuzzer begins with: they are sound, so that it gets past the first check of each reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz() -> Any:
    spec = importlib.util.spec_from_file_location("fuzz", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_reader_reads_the_inputs_that_the_fuzzer_begins_with(fuzz: Any, tmp_path: Path) -> None:
    for read, make, seeds in fuzz.readers().values():
        for seed in seeds:
            (tmp_path / "file").write_bytes(make(seed))
            assert read(tmp_path / "file") is not None
