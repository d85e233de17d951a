"""The token-wise game: every token of each prefix gets a term of its own, in closed form."""

from __future__ import annotations

from typing import Any

TOKENWISE: dict[str, Any] = {
    "n_episodes": 256,
    "n_completions": 0,
    "dense": True,
    "inner_sums": True,
    "forward_kl": 30.0,
    "baseline": "step",
    "normalize_advantage": False,
    "learning_rate": 0.02,
    "final_learning_rate": 1e-4,
}
"""Its part ``agent``."""
LOG_RATIO: dict[str, Any] = {"reward": "log_ratio", "reward_kwargs": {}}
"""Its part ``task``."""
