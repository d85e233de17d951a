"""The batch-native environment: ``SeqGANEnv`` for many episodes at once.

A step is one array operation on the same Markov decision process, and one call of the discriminator for all the
episodes that end in it.
"""

# Over 300 lines: Gymnasium wants reset, step, seeds and three modes of autoreset of one class.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from seqgan_env import mdp
from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments, check_type
from seqgan_env.constraints import Mask
from seqgan_env.device import check_memory
from seqgan_env.task import Task
from seqgan_env.task_access import TaskAccess
from seqgan_env.task_config import build_task_config

BoolArray = npt.NDArray[np.bool_]


class SeqGANVectorEnv(TaskAccess, VectorEnv[Any, Any, npt.NDArray[Any]]):
    """``num_envs`` episodes of ``SeqGANEnv`` side by side, the same bit for bit; the task is described there.

    Args:
        num_envs: B, the number of episodes.
        autoreset_mode: what happens after an episode ends, as Gymnasium defines it; a member of ``AutoresetMode`` or
            its value (``"NextStep"``, ``"SameStep"``, ``"Disabled"``).
        render_mode: ``"ansi"`` or ``"rgb_array"``.
        **task: the fields of ``TaskConfig``.

    Raises:
        ValueError: an argument is out of range.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    @check_arguments
    def __init__(
        self,
        num_envs: PositiveInt = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **task: Any,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                "the vector environment renders nothing on the screen; "
                f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.task = Task(build_task_config(task))
        n_tokens = self.task.spec.max_length
        check_memory(32 * num_envs * n_tokens, f"{num_envs} episodes of max_length {n_tokens}")  # in some copies
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._is_dict = self.task.config.observation == "dict"
        empty = mdp.initial(self.task.spec, num_envs)
        self._no_B = np.zeros(num_envs, dtype=np.bool_)
        n_carried = 0 if self.task.shaping is None else self.task.shaping.n_carried
        self._empty = mdp.EpisodeState(*empty, self._no_B, np.zeros(num_envs), np.zeros((num_envs, n_carried)))
        # none of these arrays is ever written to: a step makes new ones
        self._state: mdp.EpisodeState | None = None
        self._free_mask_BV: Mask = np.broadcast_to(np.int8(1), (num_envs, self.task.spec.vocab_size))
        self._mask_BV = self._free_mask_BV
        self._seed_B: list[int | None] = [None] * num_envs
        self._generators: tuple[np.random.Generator, ...] | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start all episodes, or with ``options={"reset_mask": ...}`` those of the mask.

        Args:
            seed: of each episode's generator, ``seed + b`` if it is one number; kept for the interface, as nothing in
                the environment is random.
            options: may hold ``prefix`` (see ``SeqGANEnv.reset``), one for all episodes or a sequence of one for each,
                and ``reset_mask``, a boolean array of shape ``(B,)``.

        Raises:
            ValueError: a bad seed, prefix or mask, or an unknown option.
            ResetNeeded: a mask before the first full reset.
        """
        options = check_type("options", options, dict[str, Any] | None) or {}
        seed_B = self._seeds(seed)
        chosen_B = self._reset_mask(options.pop("reset_mask", None))
        start = mdp.initial(self.task.spec, self.num_envs, self.task.encode_prefix(options))
        carry_BK = self._empty.carry_BK
        if self.task.shaping is not None:
            carry_BK = carry_BK.copy()
            carry_BK[chosen_B] = self.task.shaping.start(start.tokens_BT[chosen_B], start.length_B[chosen_B])
        state = replace(self._empty, tokens_BT=start.tokens_BT, length_B=start.length_B, carry_BK=carry_BK)
        self._set_state(state if self._state is None else state.where(chosen_B, self._state))
        if seed is not None:
            chosen = chosen_B.tolist()
            self._seed_B = [new if c else old for c, new, old in zip(chosen, seed_B, self._seed_B, strict=True)]
            self._generators = None
        assert self._state is not None
        return self._observation(self._state, self._mask_BV), self._info(chosen_B, self._state, self._mask_BV)

    def step(self, actions: Any) -> tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Choose the next token of every episode.

        Args:
            actions: token ids, shape ``(B,)``; with ``NEXT_STEP`` those of episodes that begin anew are ignored.

        Raises:
            ResetNeeded: before the first reset or, with ``DISABLED``, where an episode that ended was not reset.
            ValueError: an action is not a token id, or a constraint forbids it; no episode changes.
        """
        if self._state is None:
            raise ResetNeeded("call reset() before step(): no episode began")
        ended_B = self._state.ended_B
        n_ended = np.count_nonzero(ended_B)
        if n_ended and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"reset the episodes that ended before step(): {np.flatnonzero(ended_B).tolist()}")
        action_B = np.array(actions)
        if action_B.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape ({self.num_envs},), got {action_B.shape}")
        # With NEXT_STEP this call resets the episodes that ended in the last one and ignores their action.
        if n_ended:
            action_B[ended_B] = 0
        action_B = mdp.check_actions(self.task.spec, action_B)
        if not self.task.action_mask.is_free:
            self._check_allowed(action_B)
        stepped = self._stepped(action_B, ended_B if n_ended else None)
        terminal_B = stepped.ended_B
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and np.count_nonzero(terminal_B):
            mask_BV = self._mask(stepped)
            final_obs = np.full(self.num_envs, None, dtype=object)
            for b in np.flatnonzero(terminal_B).tolist():
                final_obs[b] = self._row(stepped, mask_BV, b)
            infos = {"final_obs": final_obs, "_final_obs": terminal_B.copy()}
            infos |= {"final_info": self._info(terminal_B, stepped, mask_BV), "_final_info": terminal_B.copy()}
            begun = self._begin(terminal_B).where(terminal_B, stepped)
        else:
            begun = stepped
        self._set_state(begun)
        infos |= self._info(np.ones(self.num_envs, dtype=np.bool_), begun, self._mask_BV)
        truncated_B = np.zeros(self.num_envs, dtype=np.bool_)
        observation = self._observation(begun, self._mask_BV)
        return observation, stepped.reward_B.copy(), terminal_B.copy(), truncated_B, infos

    def action_masks(self) -> BoolArray:
        """The tokens that may come next in each episode, shape ``(B, V)``; all where it has ended.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise ResetNeeded("call reset() before action_masks(): no episode began")
        return self._mask_BV.astype(np.bool_)

    def clone_state(self) -> mdp.EpisodeState:
        """The state of the episodes, for ``restore_state``.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise ResetNeeded("call reset() before clone_state(): no episode began")
        return self._state.take(np.arange(self.num_envs))

    def restore_state(self, state: mdp.EpisodeState) -> tuple[Any, dict[str, Any]]:
        """Go on from a state of ``clone_state``, here or elsewhere; ``state.take(rows)`` makes it fit.

        Returns:
            The observations and the information there.

        Raises:
            ValueError: the state is not that of ``num_envs`` episodes of this task; nothing has changed.
        """
        self.task.check_state(state, self.num_envs)
        self._set_state(state.take(np.arange(self.num_envs)))
        all_B = np.ones(self.num_envs, dtype=np.bool_)
        return self._observation(state, self._mask_BV), self._info(all_B, state, self._mask_BV)

    def render(self) -> tuple[Any, ...] | None:
        """The answer of ``SeqGANEnv.render`` for each episode; None before the first reset or without a render mode.

        An episode that ended is shown until it begins anew: with ``SAME_STEP`` that is at once.
        """
        if self.render_mode is None or self._state is None:
            return None
        from seqgan_env.rendering import Episode

        tokens_BT, ended_B, reward_B = self._state.tokens_BT, self._state.ended_B, self._state.reward_B
        rows = zip(tokens_BT, ended_B.tolist(), reward_B.tolist(), strict=True)
        episodes = [Episode(self.task, tokens_T, reward if ended else None) for tokens_T, ended, reward in rows]
        return tuple(each.text() if self.render_mode == "ansi" else each.picture() for each in episodes)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each episode's generator."""
        return tuple(-1 if seed is None else seed for seed in self._seed_B)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """A generator for each episode; nothing in the environment uses them."""
        if self._generators is None:
            self._generators = tuple(seeding.np_random(seed)[0] for seed in self._seed_B)
        return self._generators

    def _seeds(self, seed: Any) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
            seed = [int(seed) + b for b in range(self.num_envs)]
        if not isinstance(seed, (Sequence, np.ndarray)) or len(seed) != self.num_envs:
            raise ValueError(f"seed must be a number, or one for each of {self.num_envs} episodes; got {seed!r}")
        return [None if each is None else check_type("seed", each, NonNegativeInt) for each in seed]

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

    def _set_state(self, state: mdp.EpisodeState) -> None:
        self._mask_BV = self._mask(state)
        self._state = state

    def _mask(self, state: mdp.EpisodeState) -> Mask:
        if self.task.action_mask.is_free:
            return self._free_mask_BV
        return self.task.action_mask(state.tokens_BT, state.length_B, state.ended_B)

    def _check_allowed(self, action_B: npt.NDArray[np.int64]) -> None:
        assert self._state is not None
        open_B = ~self._state.ended_B
        state = mdp.State(self._state.tokens_BT[open_B], self._state.length_B[open_B])
        self.task.check_allowed(action_B[open_B], self._mask_BV[open_B], state)

    def _begin(self, chosen_B: BoolArray) -> mdp.EpisodeState:
        """Empty episodes, with what their shaping carries where they are chosen."""
        if self.task.shaping is None:
            return self._empty
        carry_1K = self.task.shaping.start(self._empty.tokens_BT[:1], self._empty.length_B[:1])
        return replace(self._empty, carry_BK=np.where(chosen_B[:, None], carry_1K, 0.0))

    def _stepped(self, action_B: npt.NDArray[np.int64], anew_B: BoolArray | None) -> mdp.EpisodeState:
        """The state after a step, with its rewards; episodes of ``anew_B`` begin instead."""
        assert self._state is not None
        state = self._state if anew_B is None else self._begin(anew_B).where(anew_B, self._state)
        stepped, terminal_B = mdp.step(self.task.spec, mdp.State(state.tokens_BT, state.length_B), action_B)
        moved_B = np.ones(self.num_envs, dtype=np.bool_) if anew_B is None else ~anew_B
        terminal_B &= moved_B
        reward_B, carry_BK = np.zeros(self.num_envs), state.carry_BK
        if np.count_nonzero(terminal_B):
            reward_B[terminal_B] = self.task.scoring.step_reward(stepped.tokens_BT[terminal_B])
        if self.task.shaping is not None and np.any(moved_B):
            carry_BK = carry_BK.copy()
            bonus_M, carry_BK[moved_B] = self.task.shaping.step(
                stepped.tokens_BT[moved_B], stepped.length_B[moved_B], terminal_B[moved_B], carry_BK[moved_B]
            )
            reward_B[moved_B] += bonus_M
        new = mdp.EpisodeState(stepped.tokens_BT, stepped.length_B, terminal_B, reward_B, carry_BK)
        return new if anew_B is None else state.where(anew_B, new)

    def _observation(self, state: mdp.EpisodeState, mask_BV: Mask) -> Any:
        if self._is_dict:
            length_B = state.length_B.copy()
            return {"tokens": state.tokens_BT.copy(), "length": length_B, "action_mask": np.array(mask_BV)}
        return state.tokens_BT.copy()

    def _row(self, state: mdp.EpisodeState, mask_BV: Mask, b: int) -> Any:
        """One episode's observation."""
        if self._is_dict:
            length = np.int64(state.length_B[b])
            return {"tokens": state.tokens_BT[b].copy(), "length": length, "action_mask": mask_BV[b].copy()}
        return state.tokens_BT[b].copy()

    def _info(self, chosen_B: BoolArray, state: mdp.EpisodeState, mask_BV: Mask) -> dict[str, Any]:
        version = self.task.scoring.version
        if not chosen_B.all():
            mask_BV = np.where(chosen_B[:, None], mask_BV, np.int8(0))
        elif mask_BV.flags.writeable:  # a free task's is one number, B x V times, and can't be written to
            mask_BV = mask_BV.copy()
        return {
            "length": np.where(chosen_B, state.length_B, 0),
            "_length": chosen_B.copy(),
            "discriminator_version": np.where(chosen_B, version, 0),
            "_discriminator_version": chosen_B.copy(),
            "action_mask": mask_BV,
            "_action_mask": chosen_B.copy(),
        }
