"""The single environment: the Markov decision process of ``mdp`` with one episode."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from seqgan_env import mdp
from seqgan_env.checks import check_arguments
from seqgan_env.task import Task
from seqgan_env.task_access import TaskAccess
from seqgan_env.task_config import build_task_config
from seqgan_env.tokens import Tokens

if TYPE_CHECKING:
    from seqgan_env.rendering import Window


class SeqGANEnv(TaskAccess, gym.Env[Any, np.int64]):
    """Sequence generation as reinforcement learning (SeqGAN, arXiv 1609.05473).

    ## Description
    An episode writes one sequence, a token at a time. At the end a discriminator, trained to tell real sequences from
    generated ones, scores it. The discriminator can be retrained while the agent learns, so the reward moves.

    ## Action Space
    ``Discrete(V)``: the next token. Where the task has an end-of-sequence token it is an ordinary action that ends the
    episode. The constraints ``min_length``, ``allowed_tokens`` and ``allowed_next`` forbid tokens; ``action_masks()``
    tells which, and choosing one is an error.

    ## Observation Space
    ``Box(0, V, (T,), int64)``: the tokens so far, then the id ``V`` in every place not yet written. With
    ``observation="dict"`` a dictionary of these ``tokens``, their ``length`` (``Discrete(T + 1)``) and the
    ``action_mask`` (``MultiBinary(V)``).

    ## Starting State
    The empty prefix, or ``reset(options={"prefix": ...})``: token ids or, where tokens have text, a string. The
    constraints hold for what follows it.

    ## Rewards
    0 until the last step; then ``log D(Y)`` of the complete sequence (eq. 13.37), or another function of the
    discriminator's logit and the sequence by the name ``reward``, clipped to ``reward_clip``. With ``shaping`` every
    step pays something more, by name (``docs/shaping.md``).

    ## Episode End
    Terminates with the end-of-sequence token or after T tokens; never truncates: the horizon belongs to the task.

    ## Information
    ``length``: tokens so far. ``discriminator_version``: how often the discriminator changed. ``action_mask``: the
    tokens that may come next, ``int8`` of shape ``(V,)`` for ``action_space.sample(mask=...)``; all ones at the end.

    ## Arguments
    The fields of ``TaskConfig``, as keyword arguments, plain values that survive a trip through JSON (``shaping`` and
    ``allowed_next`` also take a function, which does not); ``render_mode``: ``"ansi"``, ``"human"`` or
    ``"rgb_array"``.

    ## Version History
    * v0: first version.

    Raises:
        ValueError: an argument is out of range (see ``TaskConfig``).
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human", "rgb_array"], "render_fps": 4}

    @check_arguments
    def __init__(self, *, render_mode: str | None = None, **task: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        self.render_mode = render_mode
        self._window: Window | None = None
        self.task = Task(build_task_config(task))
        self.observation_space = self.task.observation_space
        self.action_space = self.task.action_space
        # a step is a few microseconds: what it needs of the specification is at hand
        spec = self.task.spec
        self._vocab_size, self._horizon, self._eos_id = spec.vocab_size, spec.max_length, spec.eos_id
        self._is_dict, self._is_free = self.task.config.observation == "dict", self.task.action_mask.is_free
        self._free_mask_V = np.ones(spec.vocab_size, dtype=np.int8)
        self._tokens_T: Tokens | None = None
        self._length = 0
        self._mask_V = self._free_mask_V
        self._terminated = False
        self._reward = 0.0
        self._carry_1K = np.zeros((1, 0))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: accepted for the interface; nothing in the environment is random.
            options: ``{"prefix": ids or text}`` starts from there.

        Raises:
            ValueError: a prefix that is too long, has ended or is out of vocabulary, or an unknown option.
        """
        prefix = self.task.encode_prefix(options)
        if np.ndim(prefix) != 1:
            raise ValueError(f"prefix must be a row of token ids, got an array of shape {np.shape(prefix)}")
        start = mdp.initial(self.task.spec, 1, prefix)
        carry_1K = np.zeros((1, 0)) if self.task.shaping is None else self.task.shaping.start(*start)
        not_ended_B = np.zeros(1, dtype=np.bool_)
        mask_V = self._free_mask_V if self._is_free else self.task.action_mask(*start, not_ended_B)[0]
        super().reset(seed=seed)
        self._tokens_T, self._length, self._mask_V = start.tokens_BT[0], int(start.length_B[0]), mask_V
        self._terminated, self._reward, self._carry_1K = False, 0.0, carry_1K
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Choose the next token.

        Raises:
            ResetNeeded: before the first reset, or after the end of the episode.
            ValueError: the action is not a token id, or a constraint forbids it; the state is unchanged.
        """
        if self._tokens_T is None or self._terminated:
            why = "no episode began" if self._tokens_T is None else "the episode ended"
            raise ResetNeeded(f"call reset() before step(): {why}")
        token = self._check(action)
        tokens_T = self._tokens_T.copy()
        tokens_T[self._length] = token
        length = self._length + 1
        terminated = length == self._horizon or token == self._eos_id
        # all is computed before anything is kept: an error in the discriminator leaves the episode where it was
        reward, carry_1K = 0.0, self._carry_1K
        if self._is_free:
            mask_V = self._free_mask_V
        else:
            mask_V = self.task.action_mask(tokens_T[None], np.array([length]), np.array([terminated]))[0]
        if terminated:
            reward = float(self.task.scoring.step_reward(tokens_T[None])[0])
        if self.task.shaping is not None:
            ended_1 = np.array([terminated])
            bonus_1, carry_1K = self.task.shaping.step(tokens_T[None], np.array([length]), ended_1, self._carry_1K)
            reward += float(bonus_1[0])
        self._tokens_T, self._length, self._mask_V = tokens_T, length, mask_V
        self._terminated, self._reward, self._carry_1K = terminated, reward, carry_1K
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, terminated, False, self._info()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """The tokens that may come next, shape ``(V,)``: what the algorithms with action masks ask for.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._tokens_T is None:
            raise ResetNeeded("call reset() before action_masks(): no episode began")
        return self._mask_V.astype(np.bool_)

    def clone_state(self) -> mdp.EpisodeState:
        """The state of the episode, for ``restore_state`` here or, any number of times, in a vector environment.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._tokens_T is None:
            raise ResetNeeded("call reset() before clone_state(): no episode began")
        return mdp.EpisodeState(
            self._tokens_T[None].copy(),
            np.array([self._length]),
            np.array([self._terminated]),
            np.array([self._reward]),
            self._carry_1K.copy(),
        )

    def restore_state(self, state: mdp.EpisodeState) -> tuple[Any, dict[str, Any]]:
        """Go on from where ``clone_state`` was called; also before the first reset, which ``gymnasium.make`` asks for.

        Returns:
            The observation and the information there.

        Raises:
            ValueError: the state is not that of one episode of this task; nothing has changed.
        """
        self.task.check_state(state, 1)
        mask_V = self.task.action_mask(state.tokens_BT, state.length_B, state.ended_B)[0]
        self._tokens_T, self._length, self._mask_V = state.tokens_BT[0].copy(), int(state.length_B[0]), mask_V
        self._terminated = bool(state.ended_B[0])
        self._reward, self._carry_1K = float(state.reward_B[0]), state.carry_BK.copy()
        return self._observation(), self._info()

    def render(self) -> Any:
        """The text so far, with the reward at the end.

        Returns:
            With ``ansi`` a string; with ``rgb_array`` a picture, ``uint8`` of shape ``(400, 800, 3)``, which shows the
            discriminator's answer to each beginning of the text. With ``human`` nothing: the picture appears in a
            window where there is a screen, the string is printed where there is none.
        """
        if self.render_mode is None or self._tokens_T is None:
            return None
        from seqgan_env import rendering  # its libraries take time to import, and most environments are never looked at

        episode = rendering.Episode(self.task, self._tokens_T, self._reward if self._terminated else None)
        if self.render_mode == "ansi":
            return episode.text()
        if self.render_mode == "rgb_array":
            return episode.picture()
        self._window = self._window or rendering.Window()
        if not self._window.show(episode, self.metadata["render_fps"]):
            print(episode.text())  # noqa: T201 - what "human" is for
        return None

    def close(self) -> None:
        """Close the window, if ``human`` opened one."""
        if self._window is not None:
            self._window.close()

    def _check(self, action: Any) -> int:
        """The action as a token id that may be chosen.

        Raises:
            ValueError: it is none.
        """
        try:
            token = -1 if isinstance(action, bool) else index(action)
        except TypeError:
            token = -1
        if not 0 <= token < self._vocab_size:
            token = int(mdp.check_actions(self.task.spec, np.asarray(action)[None])[0])
        if not self._mask_V[token]:
            assert self._tokens_T is not None
            state = mdp.State(self._tokens_T[None], np.array([self._length]))
            self.task.check_allowed(np.array([token]), self._mask_V[None], state)
        return token

    def _observation(self) -> Any:
        assert self._tokens_T is not None
        if self._is_dict:
            length, mask_V = np.int64(self._length), self._mask_V.copy()
            return {"tokens": self._tokens_T.copy(), "length": length, "action_mask": mask_V}
        return self._tokens_T.copy()

    def _info(self) -> dict[str, Any]:
        return {
            "length": self._length,
            "discriminator_version": self.task.scoring.version,
            "action_mask": self._mask_V.copy(),
        }
