"""Fixtures that the tests of runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.experiment import Experiment
from tests.support.runs import TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``TINY`` that nothing interrupted."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    Experiment(TINY, folder, progress=False).run()
    return folder
