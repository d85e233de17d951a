"""The README's Python runs as it stands, but for the length of one long run and of its collections."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.package import ROOT, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
LONG, SHORT = 'PPO("MlpPolicy", env).learn(50_000', 'PPO("MlpPolicy", env, n_steps=64, batch_size=256).learn(600'
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
BEFORE = """\
import sys, warnings, agents
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "rich is experimental/alpha")
warnings.filterwarnings("ignore", module="matplotlib")  # an older one calls what pyparsing has renamed
"""
AFTER = """\
assert terminated is False
assert agent.num_timesteps >= 5_000
assert all(module.__file__.startswith(sys.prefix) for module in (agents, seqgan_env))
"""


def test_the_python_of_the_readme_runs_where_only_the_wheel_is(programs: Path, tmp_path: Path) -> None:
    assert len(BLOCKS) == 3
    assert LONG in BLOCKS[-1]
    # one name space for all blocks, as a reader has who follows along
    script = BEFORE + "".join(BLOCKS).replace(LONG, SHORT) + AFTER
    run(tmp_path, programs / "python", "-c", script)
    assert (tmp_path / "agent.zip").exists()
