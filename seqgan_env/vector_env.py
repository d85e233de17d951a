"""The batch-native environment: ``SeqGANEnv`` for many episodes at once.

A step is one array operation on the same Markov decision process, and one call of the discriminator for all the
episodes that end in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from seqgan_env import mdp
from seqgan_env.discriminators import Discriminator
from seqgan_env.sources.base import check_whole_number
from seqgan_env.task import Task, TaskConfig, Weights
from seqgan_env.tokens import SequenceSpec, Tokens

BoolArray = npt.NDArray[np.bool_]


class SeqGANVectorEnv(VectorEnv[Tokens, Tokens, npt.NDArray[Any]]):
    """``num_envs`` episodes of ``SeqGANEnv`` side by side; the task is described there.

    Args:
        num_envs: B, the number of episodes.
        autoreset_mode: what happens after an episode ends, as Gymnasium defines it; a member of ``AutoresetMode`` or
            its value (``"NextStep"``, ``"SameStep"``, ``"Disabled"``).
        **task: the fields of ``TaskConfig``.

    Raises:
        ValueError: an argument is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **task: Any,
    ) -> None:
        check_whole_number("num_envs", num_envs, 1)
        if render_mode is not None:
            raise ValueError(f"the vector environment renders nothing; render_mode must be None, got {render_mode!r}")
        self.render_mode = None
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.task = Task(TaskConfig(**task))
        spec = self.task.spec
        self.single_observation_space = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
        self.single_action_space = spaces.Discrete(spec.vocab_size)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._initial = mdp.initial(spec, num_envs)
        self._state: mdp.State | None = None
        self._ended_B = np.zeros(num_envs, dtype=np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Tokens, dict[str, Any]]:
        """Start all episodes, or with ``options={"reset_mask": ...}`` those of the mask.

        Args:
            seed: accepted for the interface; nothing in the environment is random.
            options: may hold ``prefix`` (see ``SeqGANEnv.reset``) and ``reset_mask``, a boolean array of shape
                ``(B,)``.

        Raises:
            ValueError: a bad prefix or mask, or an unknown option.
            ResetNeeded: a mask before the first full reset.
        """
        options = dict(options or {})
        mask_B = self._reset_mask(options.pop("reset_mask", None))
        start = mdp.initial(self.task.spec, self.num_envs, self.task.encode_prefix(options))
        if self._state is None:
            self._state = start
        else:
            self._state = self._replace(mask_B, start)
        self._ended_B = self._ended_B & ~mask_B
        return self._state.tokens_BT.copy(), self._info(mask_B, self._state)

    def step(self, actions: Any) -> tuple[Tokens, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Choose the next token of every episode.

        Args:
            actions: token ids, shape ``(B,)``; with ``NEXT_STEP`` those of episodes that begin anew are ignored.

        Raises:
            ResetNeeded: before the first reset or, with ``DISABLED``, where an episode that ended was not reset.
            ValueError: an action is not a token id; no episode changes.
        """
        spec, ended_B = self.task.spec, self._ended_B
        if self._state is None:
            raise ResetNeeded("call reset() before step(): no episode began")
        if ended_B.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"reset the episodes that ended before step(): {np.flatnonzero(ended_B).tolist()}")
        action_B = np.array(actions)
        if action_B.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape ({self.num_envs},), got {action_B.shape}")
        # With NEXT_STEP this call resets the episodes that ended in the last one and ignores their action.
        action_B[ended_B] = 0
        action_B = mdp.check_actions(spec, action_B)
        state = self._replace(ended_B, self._initial)
        stepped, terminal_B = mdp.step(spec, state, action_B)
        if ended_B.any():
            stepped = mdp.State(
                np.where(ended_B[:, None], state.tokens_BT, stepped.tokens_BT),
                np.where(ended_B, state.length_B, stepped.length_B),
            )
            terminal_B = terminal_B & ~ended_B
        reward_B = np.zeros(self.num_envs)
        if terminal_B.any():
            reward_B[terminal_B] = self.task.score_complete(stepped.tokens_BT[terminal_B])
        infos: dict[str, Any] = {}
        self._state = stepped
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._ended_B = terminal_B.copy()
        elif terminal_B.any():
            final_obs = np.full(self.num_envs, None, dtype=object)
            for b in np.flatnonzero(terminal_B):
                final_obs[b] = stepped.tokens_BT[b].copy()
            infos = {"final_obs": final_obs, "_final_obs": terminal_B.copy()}
            infos |= {"final_info": self._info(terminal_B, stepped), "_final_info": terminal_B.copy()}
            self._state = self._replace(terminal_B, self._initial)
        infos |= self._info(np.ones(self.num_envs, dtype=np.bool_), self._state)
        return self._state.tokens_BT.copy(), reward_B, terminal_B, np.zeros_like(terminal_B), infos

    @property
    def task_config(self) -> TaskConfig:
        """The task in plain values."""
        return self.task.config

    @property
    def sequence_spec(self) -> SequenceSpec:
        """The vocabulary size, the horizon and the end-of-sequence token."""
        return self.task.spec

    @property
    def discriminator_version(self) -> int:
        """How often the discriminator was replaced or given new weights."""
        return self.task.discriminator_version

    def score(self, sequences: Any) -> npt.NDArray[np.float64]:
        """The terminal reward of complete sequences; see ``Task.score``."""
        return self.task.score(sequences)

    def set_discriminator(self, discriminator: Discriminator, version: int | None = None) -> None:
        """Score with this object from now on; see ``Task.set_discriminator``."""
        self.task.set_discriminator(discriminator, version)

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        return self.task.discriminator_weights()

    def load_discriminator(self, weights: Weights, version: int | None = None) -> None:
        """Copy new weights into the discriminator; see ``Task.load_discriminator``."""
        self.task.load_discriminator(weights, version)

    def _reset_mask(self, mask: Any) -> BoolArray:
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must be a boolean array of shape ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("reset_mask must choose at least one episode")
        if self._state is None and not mask.all():
            raise ResetNeeded("reset all episodes once before resetting some")
        return mask

    def _replace(self, mask_B: BoolArray, other: mdp.State) -> mdp.State:
        """The current state, with the episodes of the mask taken from ``other``."""
        assert self._state is not None
        if not mask_B.any():
            return self._state
        return mdp.State(
            np.where(mask_B[:, None], other.tokens_BT, self._state.tokens_BT),
            np.where(mask_B, other.length_B, self._state.length_B),
        )

    def _info(self, mask_B: BoolArray, state: mdp.State) -> dict[str, Any]:
        version = self.task.discriminator_version
        return {
            "length": np.where(mask_B, state.length_B, 0),
            "_length": mask_B.copy(),
            "discriminator_version": np.where(mask_B, version, 0),
            "_discriminator_version": mask_B.copy(),
        }
