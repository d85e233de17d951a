"""The description of a measurement's environment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.sweeps.environment import describe, peak_memory_mb, reset_peak_memory


def test_the_environment_is_plain_data_and_names_what_is_installed() -> None:
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak can't be reset elsewhere")
def test_the_peak_is_that_of_a_run_and_not_of_the_one_before() -> None:
    block = np.ones(64 << 17)  # 64 MB
    high = peak_memory_mb()
    del block
    reset_peak_memory()
    low = peak_memory_mb()
    assert high is not None
    assert low is not None
    assert high - low > 48
