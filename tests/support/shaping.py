"""Returns of shaped episodes on a task that is small enough to enumerate and whose sequences may end early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.enumeration import Score
from seqgan_env.tokens import Tokens


def small_text(folder: Path) -> dict[str, Any]:
    """Keyword arguments of a task with two words, an unknown one and end-of-sequence, and up to five tokens."""
    (folder / "text.txt").write_text("a b\nb a b\na\nb b a a\n" * 5)
    sizes = {"max_length": 5, "n_real": 8, "n_held_out": 2}
    return {"source": str(folder / "text.txt"), "level": "word", "discriminator": "tabular", **sizes}


def returns(gamma: float, **task: Any) -> Score:
    """The discounted sum of what the steps of each complete sequence are paid, from the empty prefix."""

    def score(tokens_KT: Tokens) -> npt.NDArray[np.float64]:
        env = SeqGANVectorEnv(len(tokens_KT), **task)
        is_token_KT = env.sequence_spec.is_token(tokens_KT)
        env.reset()
        total_K = np.zeros(len(tokens_KT))
        for t, (token_K, is_token_K) in enumerate(zip(tokens_KT.T, is_token_KT.T, strict=True)):
            reward_K = env.step(np.where(is_token_K, token_K, 0))[1]  # episodes that are over begin anew, unseen
            total_K += gamma**t * np.where(is_token_K, reward_K, 0.0)
        return total_K

    return score


def payments(env: SeqGANEnv, tokens: list[int], prefix: list[int] | None = None) -> list[float]:
    """The reward of each step."""
    env.reset(options={"prefix": prefix or []})
    return [float(env.step(np.int64(token))[1]) for token in tokens]
