"""Fixtures that the tests of reliability share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.runs.experiment import Experiment
from tests.support.runs import SHORT, without_pictures


@contextmanager
def _quickly() -> Iterator[None]:
    """Runs without pictures and with two temperatures in place of nine, which are most of the evaluations."""
    with without_pictures(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.runs.phases.TEMPERATURES", (1.0, 0.5))
        yield


@pytest.fixture
def quick_runs() -> Iterator[None]:
    """The runs of this test are as ``whole``."""
    with _quickly():
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``SHORT`` that nothing interrupted."""
    folder = tmp_path_factory.mktemp("reliability") / "whole"
    with _quickly():
        Experiment(SHORT, folder, progress=False).run()
    return folder
