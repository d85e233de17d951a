"""Whole games on every device that is here: what mixes tensors of two, or asks a GPU for what it lacks, fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.runs.experiment import Experiment
from agents.runs.phases import ADVERSARIAL
from tests.support.runs import SHORT, changed

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")),
]
TOKENWISE = {"n_completions": 0, "dense": True, "inner_sums": True, "baseline": "step", "normalize_advantage": False}
MEMBERS = {"n_members": 2, "embedding_dim": 3, "hidden_dim": 4, "n_epochs": 1}
GAMES: dict[str, dict[str, Any]] = {
    "log_d": {},
    "rank": {"task": {"reward": "rank"}},
    "relativistic": {"task": {"reward": "relativistic"}},
    "composite": {"task": {"reward": "composite", "reward_kwargs": {"weights": [["log_d", 1.0], ["rank", 1.0]]}}},
    "shaped": {
        "task": {"reward": "centered", "shaping": ["prefix"]},
        "agent": {"n_completions": 0, "baseline": "step"},
    },
    "teacher forcing": {"agent": {"teacher_forcing": 0.5, "teacher_forcing_steps": 1, "n_epochs": 2}},
    "lag and entropy": {
        "agent": {"rollout_lag": 0.5, "entropy_bonus": 0.1, "kl_penalty": 0.1, "exact_last_step": True}
    },
    "generative": {
        "task": {"reward": "log_ratio", "discriminator": "generative", "discriminator_kwargs": MEMBERS},
        "agent": {**TOKENWISE, "forward_kl": 3.0, "teacher_forcing": 0.5},
    },
    "exact": {"task": {"reward": "exact_log_ratio"}, "agent": TOKENWISE, "adversary": {"exact": True}},
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("game", GAMES)
def test_a_game_is_played(game: str, device: str, tmp_path: Path) -> None:
    config = changed(changed(SHORT, **GAMES[game]), runtime={"device": device}, agent={"n_updates": 2})
    records = [r for r in Experiment(config, tmp_path / "run").run() if r["phase"] == ADVERSARIAL]
    assert records[-1]["step"] == 2
    assert np.isfinite(records[-1]["nll_test"])
