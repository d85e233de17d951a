"""Fixtures that the tests of reliability share."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.experiment import Experiment
from tests.support.runs import SHORT


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``SHORT`` that nothing interrupted."""
    folder = tmp_path_factory.mktemp("reliability") / "whole"
    Experiment(SHORT, folder, progress=False).run()
    return folder
