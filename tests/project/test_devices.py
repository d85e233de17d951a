"""Whole games on every device that is here: what mixes tensors of two, or asks a GPU for what it lacks, fails."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.runs.experiment import Experiment
from agents.runs.phases import ADVERSARIAL
from seqgan_env.sources import LSTMOracle
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
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
        "agent": {**TOKENWISE, "forward_kl": 3.0, "real_prefixes": 1.0, "teacher_forcing": 0.5},
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


@pytest.mark.parametrize("device", DEVICES)
def test_an_oracle_draws_the_same_everywhere_and_measures_nearly_the_same(device: str) -> None:
    oracle = LSTMOracle(50, 7)
    tokens_BT = oracle.sample(20, np.random.default_rng(0))
    moved = LSTMOracle(50, 7).to(device)
    assert (moved.sample(20, np.random.default_rng(0)) == tokens_BT).all()
    np.testing.assert_allclose(moved.log_prob(tokens_BT), oracle.log_prob(tokens_BT), atol=1e-4)
    np.testing.assert_allclose(moved.token_log_prob(tokens_BT), oracle.token_log_prob(tokens_BT), atol=1e-4)
    np.testing.assert_allclose(moved.all_token_log_prob(tokens_BT), oracle.all_token_log_prob(tokens_BT), atol=1e-4)
    again = pickle.loads(pickle.dumps(moved))
    assert "_scorer" not in vars(again)  # no tensor of a device travels
    np.testing.assert_array_equal(again.log_prob(tokens_BT), moved.log_prob(tokens_BT))


@pytest.mark.parametrize("device", DEVICES)
def test_a_task_computes_on_its_device(device: str) -> None:
    source = Task(TaskConfig(vocab_size=50, max_length=7, n_real=10, n_held_out=10, device=device)).source
    assert isinstance(source, LSTMOracle)
    assert source.device.type == device


def test_an_oracle_leaves_the_precision_of_torch_alone() -> None:
    """Also where a user has chosen one in the newer way, which the older one may not even be asked beside."""
    code = """
import numpy as np, torch
from seqgan_env.sources import LSTMOracle
torch.backends.fp32_precision = "tf32"
oracle = LSTMOracle(50, 7)
oracle.log_prob(oracle.sample(3, np.random.default_rng(0)))
assert torch.backends.fp32_precision == "tf32"
"""
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("torch has no such setting yet")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
