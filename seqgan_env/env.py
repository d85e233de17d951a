"""The single environment: the Markov decision process of ``mdp`` with one episode."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from seqgan_env import mdp, rendering
from seqgan_env.discriminators import Discriminator
from seqgan_env.task import Task, TaskConfig, Weights
from seqgan_env.tokens import SequenceSpec, Tokens


class SeqGANEnv(gym.Env[Tokens, np.int64]):
    """Sequence generation as reinforcement learning (SeqGAN, arXiv 1609.05473).

    ## Description
    An episode writes one sequence, a token at a time. At the end a discriminator, trained to tell real sequences from
    generated ones, scores it. The discriminator can be retrained while the agent learns, so the reward moves.

    ## Action Space
    ``Discrete(V)``: the next token. Where the task has an end-of-sequence token it is an ordinary action that ends the
    episode.

    ## Observation Space
    ``Box(0, V, (T,), int64)``: the tokens so far, then the id ``V`` in every place not yet written.

    ## Starting State
    The empty prefix, or ``reset(options={"prefix": ...})``: token ids or, where tokens have text, a string.

    ## Rewards
    0 until the last step; then ``log D(Y)`` of the complete sequence (eq. 13.37), or another function of the
    discriminator's logit by the name ``reward``.

    ## Episode End
    Terminates with the end-of-sequence token or after T tokens; never truncates: the horizon belongs to the task.

    ## Information
    ``length``: tokens so far. ``discriminator_version``: how often the discriminator changed.

    ## Arguments
    The fields of ``TaskConfig``, as keyword arguments, all plain values; ``render_mode``: ``"ansi"``, ``"human"`` or
    ``"rgb_array"``.

    ## Version History
    * v0: first version.

    Raises:
        ValueError: an argument is out of range (see ``TaskConfig``).
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human", "rgb_array"], "render_fps": 4}

    def __init__(self, *, render_mode: str | None = None, **task: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        self.render_mode = render_mode
        self.task = Task(TaskConfig(**task))
        spec = self.task.spec
        self.observation_space = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
        self.action_space = spaces.Discrete(spec.vocab_size)
        self._state: mdp.State | None = None
        self._terminated = False
        self._reward = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Tokens, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: accepted for the interface; nothing in the environment is random.
            options: ``{"prefix": ids or text}`` starts from there.

        Raises:
            ValueError: a prefix that is too long, has ended or is out of vocabulary, or an unknown option.
        """
        state = mdp.initial(self.task.spec, 1, self.task.encode_prefix(options))
        super().reset(seed=seed)
        self._state, self._terminated, self._reward = state, False, 0.0
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[Tokens, float, bool, bool, dict[str, Any]]:
        """Choose the next token.

        Raises:
            ResetNeeded: before the first reset, or after the end of the episode.
            ValueError: the action is not a token id; the state is unchanged.
        """
        if self._state is None or self._terminated:
            why = "no episode began" if self._state is None else "the episode ended"
            raise ResetNeeded(f"call reset() before step(): {why}")
        action_B = mdp.check_actions(self.task.spec, np.asarray(action)[None])
        state, terminal_B = mdp.step(self.task.spec, self._state, action_B)
        terminated = bool(terminal_B[0])
        # scored before anything is kept: an error in the discriminator leaves the episode where it was
        reward = float(self.task.score_complete(state.tokens_BT)[0]) if terminated else 0.0
        self._state, self._terminated, self._reward = state, terminated, reward
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, terminated, False, self._info()

    def render(self) -> Any:
        """The text so far, with the reward at the end: as a string (``ansi``), printed (``human``), or as a picture."""
        if self.render_mode is None or self._state is None:
            return None
        view = rendering.View(
            words=self.task.words(self._state.tokens_BT[0]),
            max_length=self.task.spec.max_length,
            reward=self._reward if self._terminated else None,
            discriminator_version=self.task.discriminator_version,
        )
        if self.render_mode == "rgb_array":
            return rendering.picture(view)
        text = rendering.text(view)
        if self.render_mode == "ansi":
            return text
        print(text)  # noqa: T201 - what "human" is for
        return None

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

    def _observation(self) -> Tokens:
        assert self._state is not None
        observation_T: Tokens = self._state.tokens_BT[0].copy()
        return observation_T

    def _info(self) -> dict[str, Any]:
        assert self._state is not None
        return {"length": int(self._state.length_B[0]), "discriminator_version": self.task.discriminator_version}
