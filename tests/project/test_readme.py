"""The README's Python runs as it stands, but for the length of one long run and of its collections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
LONG, SHORT = 'PPO("MlpPolicy", env).learn(50_000', 'PPO("MlpPolicy", env, n_steps=64, batch_size=256).learn(600'
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BLOCKS) == 3
    assert LONG in BLOCKS[-1]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        # one name space for all blocks, as a reader has who follows along
        exec(compile(block.replace(LONG, SHORT), "README.md", "exec"), names)
    assert names["terminated"] is False
    assert names["agent"].num_timesteps >= 5_000
    assert (tmp_path / "agent.zip").exists()
