"""The wheel, installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.package import borrowing_environment, build, copy_project


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel: that of ``make package``, or one that borrows the dependencies."""
    if ready := os.environ.get("SEQGAN_INSTALLED"):
        return Path(ready) / "bin"
    folder = tmp_path_factory.mktemp("installed")
    return borrowing_environment(folder / "venv", build("wheel", copy_project(folder / "tree"), folder / "dist"))
