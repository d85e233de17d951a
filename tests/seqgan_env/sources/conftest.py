"""What the tests of the sources share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.sources import TEXT


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads on cores that others use as well wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small corpus of five sequences, the longest of six tokens."""
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path
