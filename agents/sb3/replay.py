"""Replay buffers whose terminal rewards are always the current discriminator's.

An off-policy algorithm learns from episodes that ended long ago, under a discriminator that has changed since. The
sequence that ended each of them is at hand, as the last observation, so it is scored again when it is sampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agents.observations import tokens_of, tokens_space
from agents.sb3.handle import TaskHandle
from seqgan_env.scoring import MAX_EXACT_SCORES
from seqgan_env.tokens import SequenceSpec, Tokens

_BLOCK = 8  # sequences that cost not much more to score than one does


class Relabelling(ReplayBuffer):
    """Mixin for a replay buffer that pays for complete sequences what ``env.score`` pays now.

    No reward that was stored is ever given out: a transition that ends an episode has the score of its sequence, any
    other one has 0, which is all that a task without shaping pays. Each distinct sequence is scored once under each
    version of the discriminator, and all that a batch needs in one call.

    The buffer has to know the environment. ``DiscriminatorCallback`` tells it when learning begins; without that
    callback, or after loading the buffer from a file, call ``model.replay_buffer.set_env(model.get_env())``.

    ``VecNormalize`` may normalise rewards (they are normalised as they are given out), but not the tokens.

    Raises:
        ValueError: ``optimize_memory_usage``, with which the complete sequences would be lost.
    """

    def __init__(self, *args: Any, optimize_memory_usage: bool = False, **kwargs: Any) -> None:
        if optimize_memory_usage:
            raise ValueError("optimize_memory_usage must be False: it does not keep the complete sequences")
        super().__init__(*args, **kwargs)
        self._handle: TaskHandle | None = None
        self._spec: SequenceSpec | None = None  # known once there was an environment; a file keeps it
        self._version: int | None = None  # that of the scores
        self._score_of: dict[bytes, float] = {}
        self._n_unchecked = 0  # of the next ends of episodes, whose reward is compared with the task's own
        self._unscored: list[int] = []  # places of the storage that had an end when the version came, the newest last

    def set_env(self, env: VecEnv) -> None:
        """Score with this environment from now on.

        Args:
            env: one whose ``discriminator_version`` differs whenever its scores do.

        Raises:
            ValueError: it is not a task of seqgan_env, is of other sequences, or is shaped: it then pays before the
                end of a sequence too, and what it pays there is not in ``score``.
        """
        handle = TaskHandle(env)
        spec = handle.spec
        for config in handle.configs:
            if config.is_shaped:
                raise ValueError(f"relabelling needs shaping 'none', the environment has {config.shaping!r}")
        space = tokens_space(self.observation_space)
        if space.shape != (spec.max_length,) or space.high.max() != spec.pad_id or self._spec not in (None, spec):
            raise ValueError(f"the buffer holds sequences of {self._spec or space}, the environment has {spec}")
        self._spec = spec
        # the version of another environment says nothing about this one's
        self._handle, self._version, self._score_of, self._n_unchecked = handle, None, {}, _BLOCK

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        """Store a transition of each environment.

        Raises:
            ValueError: one that ends no episode has a reward; or one of the first that ends one has another than the
                task's own, which would be put in its place.
        """
        ended_B = np.asarray(done, dtype=np.bool_)
        if np.any(np.asarray(reward)[~ended_B] != 0):
            raise ValueError("relabelling needs an environment that pays only at the end of a sequence")
        if self._n_unchecked and self._handle is not None and ended_B.any():
            whole_B = ended_B & self._handle.spec.is_complete(np.asarray(tokens_of(next_obs)))  # not cut short
            tokens_MT = np.asarray(tokens_of(next_obs))[whole_B]
            self._handle.check_returns(tokens_MT, np.zeros(len(tokens_MT), np.int64), np.asarray(reward)[whole_B])
            self._n_unchecked -= 1
        super().add(obs, next_obs, action, reward, done, infos)

    def _get_samples(self, batch_inds: Any, env: VecNormalize | None = None) -> Any:
        samples: Any = super()._get_samples(batch_inds, env)
        tokens_BT: torch.Tensor = tokens_of(samples.next_observations)
        if tokens_BT.is_floating_point():
            raise ValueError("relabelling needs the tokens as they are: VecNormalize must not normalise them")
        ended_B1 = samples.dones.bool().cpu().numpy()
        reward_B1 = np.zeros(ended_B1.shape, dtype=np.float32)
        if ended_B1.any():
            reward_B1[ended_B1] = self._current_scores(tokens_BT.cpu().numpy()[ended_B1[:, 0]])
        return samples._replace(rewards=self.to_torch(self._normalize_reward(reward_B1, env)))

    def _current_scores(self, tokens_MT: Tokens) -> list[float]:
        """The present rewards of complete sequences, shape ``(M,)``."""
        if self._handle is None:
            raise ValueError(
                "the buffer must know the environment: learn with DiscriminatorCallback, "
                "or call model.replay_buffer.set_env(model.get_env())"
            )
        version = self._handle.version
        if version != self._version:
            self._version, self._score_of = version, {}
            self._unscored = np.flatnonzero(self._ended()).tolist()
        keys = [row.tobytes() for row in tokens_MT]
        new = {key: row for key, row in zip(keys, tokens_MT, strict=True) if key not in self._score_of}
        if new:
            self._fill_block(new)
            rows = np.stack(list(new.values()))
            parts = [
                self._handle.score(rows[start : start + MAX_EXACT_SCORES])
                for start in range(0, len(rows), MAX_EXACT_SCORES)
            ]
            self._score_of.update(zip(new, np.concatenate(parts).tolist(), strict=True))
        return [self._score_of[key] for key in keys]

    def _fill_block(self, new: dict[bytes, Tokens]) -> None:
        """Add the sequences of other stored transitions, the newest first, as many as are scored at no further cost."""
        ended_M = self._ended()
        stored_MT = tokens_of(self.next_observations).reshape(len(ended_M), -1)
        while self._unscored and len(new) % _BLOCK:
            m = self._unscored.pop()
            # another transition may have taken its place since
            if ended_M[m] and (key := stored_MT[m].tobytes()) not in self._score_of:
                new[key] = stored_MT[m]

    def _ended(self) -> npt.NDArray[np.bool_]:
        """Whether each place of the storage has a transition that ended its episode, steps before environments."""
        return (self.dones > self.timeouts).ravel()

    def __getstate__(self) -> dict[str, Any]:
        """Without the environment, and without what it has scored."""
        return {**self.__dict__, "_handle": None, "_score_of": {}}


class RelabellingReplayBuffer(Relabelling):
    """The replay buffer for observations that are arrays: ``DQN(..., replay_buffer_class=RelabellingReplayBuffer)``."""


class RelabellingDictReplayBuffer(Relabelling, DictReplayBuffer):
    """The replay buffer for observations that are dictionaries."""
