"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.package import ROOT, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
BEFORE = """\
import sys, warnings, agents
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "rich is experimental/alpha")
warnings.filterwarnings("ignore", module="matplotlib")  # an older one calls what pyparsing has renamed
"""
AFTER = """\
assert terminated is False
assert min(agent.num_timesteps, model.num_timesteps) >= 5_000
assert all(module.__file__.startswith(sys.prefix) for module in (agents, seqgan_env))
"""


def test_the_python_of_the_readme_runs_where_only_the_wheel_is(programs: Path, tmp_path: Path) -> None:
    assert len(BLOCKS) == 3
    # one name space for all blocks, as a reader has who follows along
    script = BEFORE + "".join(BLOCKS) + AFTER
    run(tmp_path, programs / "python", "-c", script)
    assert (tmp_path / "agent.zip").exists()
