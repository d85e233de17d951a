"""Rewards that depend on other episodes too, and so can't be a shaping, which is stateless: wrappers of environments.

Suffixes: B episodes, T time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.tokens import Tokens

NGrams = set[tuple[int, ...]]


class RecentNGrams:
    """The n-grams of the last episodes.

    Args:
        space: the observations of one episode, which are its tokens or a dictionary with them.
        n: length of the n-grams, tokens.
        window: the number of episodes.

    Raises:
        ValueError: observations of another kind, or sequences that are too short.
    """

    def __init__(self, space: spaces.Space[Any], n: int, window: int) -> None:
        self._is_dict = isinstance(space, spaces.Dict) and "tokens" in space.spaces
        tokens = space["tokens"] if self._is_dict else space  # type: ignore[index]
        if not isinstance(tokens, spaces.Box) or len(tokens.shape) != 1 or not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(f"env must be a task of seqgan_env, with tokens as observations; got {space}")
        if n > tokens.shape[0]:
            raise ValueError(f"n must be at most T = {tokens.shape[0]}, got {n}")
        self._pad_id = int(tokens.high.max())
        self._n = n
        self._episodes: deque[NGrams] = deque(maxlen=window)

    def tokens(self, observation: Any) -> Tokens:
        """The tokens in an observation of one episode or of several."""
        tokens: Tokens = observation["tokens"] if self._is_dict else observation
        return tokens

    def add(self, tokens_T: Tokens) -> float:
        """Take up an episode.

        Args:
            tokens_T: its complete sequence, padded with V.

        Returns:
            The share of its different n-grams that no episode of the window had before it; 0 if it has none.
        """
        tokens = tokens_T[tokens_T != self._pad_id].tolist()
        own = {tuple(tokens[t : t + self._n]) for t in range(len(tokens) - self._n + 1)}
        share = len(own.difference(*self._episodes)) / max(len(own), 1)
        self._episodes.append(own)
        return share

    def forget(self) -> None:
        """Begin anew, with an empty window."""
        self._episodes.clear()


class DiversityBonus(gym.Wrapper[Any, np.int64, Any, np.int64], RecordConstructorArgs):
    """Pays at the end of an episode for n-grams that the last episodes did not have.

    The bonus is ``weight`` times the share, in [0, 1], of the sequence's different n-grams that none of the ``window``
    episodes before it has, in the unit of the reward; the first episode has the whole bonus. The window outlives an
    episode, and its state is in no ``clone_state``. A reset with a seed empties it, so that a seed makes one run.

    Args:
        env: a task of seqgan_env.
        weight: the largest bonus; a negative one is a penalty.
        n: length of the n-grams, tokens.
        window: the number of episodes that are remembered.

    Raises:
        ValueError: an argument out of range, or an environment whose observations are no tokens.
    """

    @check_arguments
    def __init__(
        self, env: gym.Env[Any, Any], weight: float = 0.1, n: PositiveInt = 2, window: PositiveInt = 64
    ) -> None:
        RecordConstructorArgs.__init__(self, weight=weight, n=n, window=window)
        super().__init__(env)
        self._weight = weight
        self._recent = RecentNGrams(env.observation_space, n, window)

    def reset(
        self, *, seed: NonNegativeInt | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; see ``SeqGANEnv.reset``. A seed also empties the window."""
        answer = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._recent.forget()
        return answer

    def step(self, action: np.int64) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Choose the next token; see ``SeqGANEnv.step``."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated:
            reward = float(reward) + self._weight * self._recent.add(self._recent.tokens(observation))
        return observation, reward, terminated, truncated, info


class VectorDiversityBonus(VectorWrapper, RecordConstructorArgs):
    """``DiversityBonus`` for a vector environment, with one window for all its episodes.

    Episodes that end in one step are taken up in the order of their rows, each with those before it in the window.

    Args:
        env: a vector of tasks of seqgan_env, in any mode of autoreset.
        weight: see ``DiversityBonus``.
        n: see ``DiversityBonus``.
        window: see ``DiversityBonus``.

    Raises:
        ValueError: an argument out of range, or an environment whose observations are no tokens.
    """

    @check_arguments
    def __init__(
        self, env: VectorEnv[Any, Any, Any], weight: float = 0.1, n: PositiveInt = 2, window: PositiveInt = 64
    ) -> None:
        RecordConstructorArgs.__init__(self, weight=weight, n=n, window=window)
        super().__init__(env)
        self._weight = weight
        self._recent = RecentNGrams(env.single_observation_space, n, window)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start episodes; see ``SeqGANVectorEnv.reset``. A seed also empties the window."""
        answer = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._recent.forget()
        return answer

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Choose the next token of every episode; see ``SeqGANVectorEnv.step``."""
        observation, reward_B, terminated_B, truncated_B, info = self.env.step(actions)
        reward_B = np.array(reward_B, dtype=np.float64)
        for b in np.flatnonzero(terminated_B).tolist():
            if "final_obs" in info:  # with SAME_STEP the row itself shows the next episode
                tokens_T = self._recent.tokens(info["final_obs"][b])
            else:
                tokens_T = self._recent.tokens(observation)[b]
            reward_B[b] += self._weight * self._recent.add(tokens_T)
        return observation, reward_B, terminated_B, truncated_B, info
