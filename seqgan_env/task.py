"""A task: which sequences are real, what scores them, and what the score pays.

The single and the vector environment share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from torch import Tensor

from seqgan_env import mdp
from seqgan_env.constraints import ActionMask, AllowedNext, Mask
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import Discriminator, build_discriminator, check_discriminator
from seqgan_env.rewards import get_reward
from seqgan_env.sources import build_source
from seqgan_env.sources.base import Source, check_whole_number
from seqgan_env.tokens import SequenceSpec, Tokens

Weights = Mapping[str, npt.NDArray[Any]]
"""A discriminator's ``state_dict`` as NumPy arrays."""
Potential = Callable[[Tokens, Tokens], npt.NDArray[Any]]
"""Maps prefixes ``(B, T)``, padded with V, and their lengths ``(B,)`` to potentials ``(B,)``."""

OBSERVATIONS = ("tokens", "dict")
"""The forms of an observation."""
MAX_EXACT_SCORES = 256
"""How many sequences ``Task.score`` scores as the environments do; more are scored faster and equal up to rounding."""


@dataclass(frozen=True)
class TaskConfig:
    """A task in plain values, so that it travels: through ``env.spec``, to a worker process, into ``config.json``.

    Args:
        source: ``"oracle"`` (the synthetic LSTM), ``"grammar"`` (embedded English sentences) or the path of a text file
            with one sequence a line.
        vocab_size: V of the oracle; None is its default, 5000.
        max_length: T; None is the source's default (20 for the oracle, the longest line for a text file).
        source_seed: the oracle's parameters, and which real sequences are drawn.
        level: ``"word"`` or ``"char"``, for a text file; None is ``"word"``.
        min_count: a text file's words rarer than this become the unknown token; None is 1.
        long_lines: ``"error"`` or ``"drop"``, for a text file's lines longer than T; None is ``"error"``.
        n_real: size of the training set of real sequences.
        n_held_out: size of the held-out set.
        discriminator: ``"cnn"``, ``"tabular"`` (for a task small enough to enumerate), or the path of a saved one.
        discriminator_kwargs: arguments of its class, such as ``{"filters": [[2, 64], [3, 64]]}``.
        discriminator_seed: its initial weights.
        reward: a key of ``seqgan_env.rewards.REWARDS``.
        reward_clip: ``[low, high]``, either of which may be None: what the reward is cut off at, such as
            ``[-10, None]`` for ``log D``.
        shaping: ``"none"``; ``"discriminator"``, the potential-based shaping of Ng, Harada and Russell (1999) whose
            potential is the reward that the unfinished prefix would get; or another potential, as a function
            ``(tokens_BT, length_B) -> potential_B`` or its name, ``"module:function"``.
        shaping_gamma: the discount of the agent that learns, which the shaping must share to leave the best policy as
            it is.
        min_length: the tokens that a sequence has before it may end, counting end-of-sequence itself.
        allowed_tokens: a lexicon of ids or, where tokens have text, words; None allows all.
        allowed_next: a function ``(tokens_BT, length_B) -> allowed_BV`` of the prefixes, or its name,
            ``"module:function"``; None allows all.
        observation: ``"tokens"``, the padded prefix, or ``"dict"``, which adds its length and the action mask.
        device: where the discriminator computes: ``"cpu"``, ``"cuda"``, ``"auto"``, …

    Raises:
        ValueError: an unknown reward, observation or device, or a number out of range.
    """

    source: str = "oracle"
    vocab_size: int | None = None
    max_length: int | None = None
    source_seed: int = 0
    level: str | None = None
    min_count: int | None = None
    long_lines: str | None = None
    n_real: int = 10_000
    n_held_out: int = 5_000
    discriminator: str = "cnn"
    discriminator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    discriminator_seed: int = 0
    reward: str = "log_d"
    reward_clip: Sequence[float | None] | None = None
    shaping: str | Potential = "none"
    shaping_gamma: float = 1.0
    min_length: int = 1
    allowed_tokens: Sequence[int | str] | None = None
    allowed_next: str | AllowedNext | None = None
    observation: str = "tokens"
    device: str = "cpu"

    def __post_init__(self) -> None:
        get_reward(self.reward)
        resolve_device(self.device)
        if self.reward_clip is not None:
            _limits(self.reward_clip)
        if not 0 <= self.shaping_gamma <= 1:
            raise ValueError(f"shaping_gamma must be in [0, 1], got {self.shaping_gamma!r}")
        if self.observation not in OBSERVATIONS:
            raise ValueError(f"observation must be one of {', '.join(OBSERVATIONS)}; got {self.observation!r}")
        for name in ("n_real", "n_held_out"):
            check_whole_number(name, getattr(self, name), 1)

    def build_source(self) -> Source:
        """The source of real sequences.

        Raises:
            ValueError: the source does not exist, or cannot be what is asked.
        """
        return build_source(
            self.source,
            vocab_size=self.vocab_size,
            max_length=self.max_length,
            seed=self.source_seed,
            level=self.level,
            min_count=self.min_count,
            long_lines=self.long_lines,
        )


def _rounded(reward_B: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return reward_B.astype(np.float32).astype(np.float64)


def _limits(clip: Any) -> tuple[float, float]:
    """What ``reward_clip`` means, as two numbers.

    Raises:
        ValueError: it is no pair of numbers or None, the lower first.
    """
    try:
        low, high = clip
        limits = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    except (TypeError, ValueError):
        limits = (np.nan, np.nan)
    if not limits[0] < limits[1]:
        raise ValueError(f"reward_clip must be [low, high], low below high, each a number or None; got {clip!r}")
    return limits


def _load_function(name: str, value: Any) -> Callable[..., Any]:
    """A function given as itself or as ``"module:function"``.

    Raises:
        ValueError: there is none.
    """
    if isinstance(value, str):
        try:
            value = load_env_creator(value)
        except (AttributeError, ImportError, ValueError) as error:
            raise ValueError(f"{name} must be a function or 'module:function', got {value!r}: {error}") from error
    if not callable(value):
        raise ValueError(f"{name} must be a function or 'module:function', got {value!r}")
    function: Callable[..., Any] = value
    return function


class Task:
    """What ``TaskConfig`` describes; what costs time is made when first needed.

    Args:
        config: the description.

    Raises:
        ValueError: the source or the discriminator cannot be what is described.
    """

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.source: Source = config.build_source()
        self.spec: SequenceSpec = self.source.spec
        self.discriminator_version = 0
        """How often the discriminator was replaced or given new weights."""
        check_discriminator(config.discriminator, self.spec, config.discriminator_kwargs)
        self.action_mask = ActionMask(
            self.spec,
            min_length=config.min_length,
            allowed=None if config.allowed_tokens is None else [self._token_id(t) for t in config.allowed_tokens],
            allowed_next=None if config.allowed_next is None else _load_function("allowed_next", config.allowed_next),
        )
        """Which tokens may come next."""
        self._potential: Potential | None = None
        if config.shaping == "discriminator":
            self._potential = self._prefix_rewards
        elif config.shaping != "none":
            self._potential = _load_function("shaping", config.shaping)
        self._reward = get_reward(config.reward)
        self._limits = None if config.reward_clip is None else _limits(config.reward_clip)
        self._device = resolve_device(config.device)
        self._discriminator: Discriminator | None = None

    @cached_property
    def _split(self) -> tuple[Tokens, Tokens]:
        return self.source.split(self.config.n_real, self.config.n_held_out, self.config.source_seed)

    @property
    def real_sequences(self) -> Tokens:
        """The training set of real sequences, shape ``(n_real, T)``."""
        return self._split[0]

    @property
    def held_out_sequences(self) -> Tokens:
        """Real sequences that nothing is trained on, shape ``(n_held_out, T)``."""
        return self._split[1]

    @property
    def discriminator(self) -> Discriminator:
        """The current discriminator."""
        if self._discriminator is None:
            c = self.config
            built = build_discriminator(
                c.discriminator, self.spec, seed=c.discriminator_seed, kwargs=c.discriminator_kwargs
            )
            self._discriminator = built.to(self._device)
        return self._discriminator

    @cached_property
    def observation_space(self) -> spaces.Space[Any]:
        """The observations of one episode."""
        tokens = spaces.Box(0, self.spec.vocab_size, (self.spec.max_length,), np.int64)
        if self.config.observation == "tokens":
            return tokens
        length, mask = spaces.Discrete(self.spec.max_length + 1), spaces.MultiBinary(self.spec.vocab_size)
        return spaces.Dict({"tokens": tokens, "length": length, "action_mask": mask})

    @cached_property
    def action_space(self) -> spaces.Discrete:
        """The tokens."""
        return spaces.Discrete(self.spec.vocab_size)

    def check_allowed(self, action_B: Tokens, mask_BV: Mask, state: mdp.State) -> None:
        """Refuse a token that the constraints forbid.

        Raises:
            ValueError: one of the actions is masked.
        """
        allowed_B = mask_BV[np.arange(len(action_B)), action_B] != 0
        if not allowed_B.all():
            b = int(allowed_B.argmin())
            token, prefix = int(action_B[b]), state.tokens_BT[b, : state.length_B[b]].tolist()
            word = "" if self.source.vocabulary is None else f" ({self.source.vocabulary.tokens[token]!r})"
            raise ValueError(f"an action must be allowed by the task's constraints, got {token}{word} after {prefix}")

    def check_state(self, state: mdp.EpisodeState, n: int) -> None:
        """Refuse a state that is not one of ``n`` episodes of this task.

        Raises:
            ValueError: it is none, or of other sequences, or of another number of episodes.
        """
        if not isinstance(state, mdp.EpisodeState):
            raise ValueError(f"the state must be what clone_state gives, got {type(state).__name__}")
        tokens_BT = self.spec.validate(state.tokens_BT, name="the state's tokens")
        if state.tokens_BT.shape != (n, self.spec.max_length):
            raise ValueError(f"the state must be of {n} episodes of {self.spec}, got tokens {state.tokens_BT.shape}")
        complete_B, length_B = self.spec.is_complete(tokens_BT), self.spec.lengths(tokens_BT)
        if not (np.array_equal(complete_B, state.ended_B) and np.array_equal(length_B, state.length_B)):
            raise ValueError("the state's lengths and ends must be those of its tokens")

    def _token_id(self, token: int | str) -> int:
        if not isinstance(token, str):
            return token
        vocabulary = self.source.vocabulary
        found = None if vocabulary is None else vocabulary.id_of(token)
        if found is None:
            has = "its tokens have no text" if vocabulary is None else "its vocabulary does not hold it"
            raise ValueError(f"allowed_tokens must hold tokens of source {self.config.source!r}, got {token!r}: {has}")
        return found

    def encode_prefix(self, options: Mapping[str, Any] | None) -> Any:
        """The prefix, or prefixes, that ``reset(options=...)`` asks for, as token ids.

        Raises:
            ValueError: an unknown option, or text where tokens have none or that the vocabulary does not hold.
        """
        unknown = sorted(map(repr, set(options or ()) - {"prefix"}))
        if unknown:
            raise ValueError(f"options may hold 'prefix', got {', '.join(unknown)}")
        prefix = (options or {}).get("prefix", ())
        if isinstance(prefix, (list, tuple)) and any(isinstance(row, (str, list, tuple, np.ndarray)) for row in prefix):
            # one for each episode; no prefix reaches the last column
            return np.concatenate([mdp.initial(self.spec, 1, self._encode(row)).tokens_BT for row in prefix])[:, :-1]
        return self._encode(prefix)

    def _encode(self, prefix: Any) -> Any:
        if not isinstance(prefix, str):
            return prefix
        if self.source.vocabulary is None:
            raise ValueError(f"prefix must be token ids: the tokens of source {self.config.source!r} have no text")
        return self.source.vocabulary.encode(prefix, allow_unknown=False)

    def words(self, tokens_T: Tokens) -> list[str]:
        """The tokens of one sequence as a person reads them."""
        ids = [int(token) for token in tokens_T if token != self.spec.pad_id]
        vocabulary = self.source.vocabulary
        return [str(token) if vocabulary is None else vocabulary.tokens[token] for token in ids]

    def score(self, sequences: Any) -> npt.NDArray[np.float64]:
        """The terminal reward of each complete sequence (eq. 13.38), shape ``(B,)``.

        Up to ``MAX_EXACT_SCORES`` sequences it is what the environments pay; more are scored faster, and equal that up
        to rounding, and of those that occur more than once only one is.

        Args:
            sequences: token ids, shape ``(B, t)`` with ``t <= T``.

        Raises:
            ValueError: see ``SequenceSpec.validate``.
        """
        tokens_BT = self.spec.validate(sequences, complete=True, name="sequences")
        if len(tokens_BT) <= MAX_EXACT_SCORES:
            return self.score_complete(tokens_BT)
        # completions of a long prefix are often the same; each is scored once
        rows_B = tokens_BT.view(np.dtype((np.void, tokens_BT.itemsize * tokens_BT.shape[1]))).ravel()
        _, first_K, which_B = np.unique(rows_B, return_index=True, return_inverse=True)
        reward_B: npt.NDArray[np.float64] = self._rewards(self.discriminator.logits(tokens_BT[first_K]))[which_B]
        return reward_B

    def score_tensor(self, tokens_BT: Tensor) -> Tensor:
        """``score`` of complete sequences on the discriminator's device, float64, without waiting for the device.

        Whoever gets the rewards has to see whether they are finite.
        """
        reward_B: Tensor = self._reward(self.discriminator.tensor_logits(tokens_BT.to(self._device)).double())
        return reward_B if self._limits is None else reward_B.clamp(*self._limits)

    def score_complete(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The reward that a step pays for sequences that are known to be complete.

        It is computed in double precision and rounded to single, so that it doesn't depend on how many episodes end
        together: the single and the vector environment pay the same number.

        Raises:
            ValueError: the discriminator answers with NaN or infinity, which no agent could learn from.
        """
        return _rounded(self._rewards(self.discriminator.exact_logits(tokens_BT)))

    @property
    def is_shaped(self) -> bool:
        """Whether a step before the last can be paid."""
        return self._potential is not None

    def potential(self, tokens_BT: Tokens, length_B: Tokens) -> npt.NDArray[np.float64]:
        """The potential of each unfinished prefix, shape ``(B,)``; 0 without shaping.

        Raises:
            ValueError: the function that ``shaping`` names answers with something else than finite numbers.
        """
        if self._potential is None or len(tokens_BT) == 0:
            return np.zeros(len(tokens_BT))
        potential_B = np.asarray(self._potential(tokens_BT, length_B), dtype=np.float64)
        if potential_B.shape != (len(tokens_BT),) or not np.isfinite(potential_B).all():
            raise ValueError(f"shaping must give {len(tokens_BT)} finite numbers, got {potential_B!r}")
        return potential_B

    def prefix_scores(self, tokens_T: Tokens) -> npt.NDArray[np.float64]:
        """What the discriminator would pay for each beginning of one sequence, shape ``(length,)``.

        Entry t is the reward of the first t + 1 tokens as if nothing came after them. It is what the picture shows;
        the discriminator was trained on complete sequences only.
        """
        n = int(self.spec.lengths(tokens_T))
        beginnings = np.where(np.arange(self.spec.max_length) <= np.arange(n)[:, None], tokens_T, self.spec.pad_id)
        return self._prefix_rewards(beginnings)

    def _prefix_rewards(self, tokens_BT: Tokens, length_B: Tokens | None = None) -> npt.NDArray[np.float64]:
        return _rounded(self._rewards(self.discriminator.prefix_logits(tokens_BT)))

    def _rewards(self, logit_real_B: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not np.isfinite(logit_real_B).all():
            wrong = logit_real_B[~np.isfinite(logit_real_B)][0]
            raise ValueError(f"the discriminator's logits must be finite, got {wrong}")
        reward_B = np.asarray(self._reward(torch.from_numpy(logit_real_B)).numpy(), dtype=np.float64)
        return reward_B if self._limits is None else np.clip(reward_B, *self._limits)

    def set_discriminator(self, discriminator: Discriminator, version: int | None = None) -> None:
        """Score with this very object from now on.

        Args:
            discriminator: of the same task.
            version: its version; None is one more than the current.

        Raises:
            ValueError: it is none, or is made for other sequences.
        """
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"the discriminator must be a Discriminator, got {type(discriminator).__name__}")
        if discriminator.spec != self.spec:
            raise ValueError(f"the discriminator is made for {discriminator.spec}, the task has {self.spec}")
        self._discriminator = discriminator.eval()
        self.discriminator_version = self.discriminator_version + 1 if version is None else version

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.discriminator.state_dict().items()}

    def load_discriminator(self, weights: Weights, version: int | None = None) -> None:
        """Copy new weights into the discriminator.

        Args:
            weights: what ``discriminator_weights`` gives, of a discriminator of the same kind.
            version: their version; None is one more than the current.

        Raises:
            ValueError: they do not fit; nothing has changed.
        """
        try:
            self.discriminator.load_weights({name: torch.tensor(array) for name, array in weights.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the weights do not fit the task's discriminator: {error}") from error
        self.discriminator_version = self.discriminator_version + 1 if version is None else version


class TaskAccess:
    """What an environment tells of its task, and what of it can be changed: the same for one episode and for many."""

    task: Task

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
