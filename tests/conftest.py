"""What every test shares: one torch thread for each worker, hypothesis profiles, and the folder of real text files."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from multiprocessing import set_forkserver_preload
from pathlib import Path

import hypothesis
import pytest
import torch

from agents.runs.workers import PRELOAD
from tests.support import runs as support

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"

# A first call pays for imports and caches, so a deadline would measure the machine. In CI the examples are fixed, so
# that a change is never blamed for an example that chance found that day.
hypothesis.settings.register_profile("seqgan", deadline=None)
hypothesis.settings.register_profile("seqgan-ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("seqgan-ci" if os.environ.get("CI") else "seqgan")


def pytest_configure(config: pytest.Config) -> None:
    """Give each pytest-xdist worker a single torch thread: the workers share the cores already.

    A shell starts what it puts into the background deaf to Ctrl-C, and its children inherit that, but tests send it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    set_forkserver_preload(PRELOAD)  # also for the processes of Stable-Baselines3
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that no worker starts one when the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def without_pictures() -> Iterator[None]:
    """Reports have no pictures in this test."""
    with support.without_pictures():
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real text files that lies beside the checkout; without it the test is skipped."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"real text files are expected in {DATA_DIR}, which doesn't exist")
    return DATA_DIR
