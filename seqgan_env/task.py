"""A task, which both environments share: real sequences, spaces, prefixes, constraints, scoring and shaping."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from seqgan_env import mdp
from seqgan_env.checks import check_type
from seqgan_env.constraints import ActionMask, Mask
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import DISCRIMINATORS, Discriminator, build_discriminator, check_discriminator
from seqgan_env.functions import load_function
from seqgan_env.rewards import RewardContext, reward_entry
from seqgan_env.scoring import MAX_EXACT_SCORES, Scoring
from seqgan_env.shaping import Shaping, ShapingContext, build_shaping
from seqgan_env.sources import KnownSource, LSTMOracle, Source
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary


class Task:
    """The task that ``TaskConfig`` describes; what costs time, but for reading files, is made when first needed.

    Args:
        config: the description.
        vocabulary: see ``SourceConfig.build_source``.

    Raises:
        ValueError: the source, the discriminator, the reward or the shaping cannot be what is described.
    """

    def __init__(self, config: TaskConfig, vocabulary: Vocabulary | None = None) -> None:
        self.config = config
        self.source: Source = config.build_source(vocabulary)
        if isinstance(self.source, LSTMOracle):
            self.source.to(config.device)
        self.spec: SequenceSpec = self.source.spec
        self.discriminator_arguments = check_discriminator(config.discriminator, self.spec, config.discriminator_kwargs)
        """The registered name and the settings of the discriminator that the task begins with."""
        self.action_mask = ActionMask(
            self.spec,
            min_length=config.min_length,
            allowed=None if config.allowed_tokens is None else [self._token_id(t) for t in config.allowed_tokens],
            allowed_next=None if config.allowed_next is None else load_function("allowed_next", config.allowed_next),
        )
        """The tokens that may come next."""
        log_prob = self._log_prob if isinstance(self.source, KnownSource) else None
        if reward_entry(config.reward).needs_likelihood and log_prob is None:
            raise ValueError(f"reward {config.reward!r} needs a source of known likelihood; {config.source!r} has none")
        self.scoring = Scoring(
            config.reward,
            RewardContext(
                self.spec, self.source.vocabulary, self._training_set, config.build_reward_config(), log_prob
            ),
            config.reward_clip,
            self._build_discriminator,
            resolve_device(config.device),
        )
        """The rewards of complete sequences."""
        if config.discriminator not in DISCRIMINATORS:
            _ = self.scoring.discriminator  # read now: later there may be another file, or none
        self.shaping = self._build_shaping()
        """The payments of steps beside that, or None."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the shaping, which may hold a local function; a copy builds its own by name."""
        return {**self.__dict__, "shaping": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore ``__getstate__``."""
        self.__dict__.update(state)
        self.shaping = self._build_shaping()

    def _build_shaping(self) -> Shaping | None:
        context = ShapingContext(self.spec, self.source.vocabulary, self.scoring, self.config.shaping_gamma)
        return build_shaping(self.config.shaping, self.config.shaping_kwargs, context)

    def _build_discriminator(self) -> Discriminator:
        c = self.config
        return build_discriminator(c.discriminator, self.spec, seed=c.discriminator_seed, kwargs=c.discriminator_kwargs)

    @cached_property
    def _split(self) -> tuple[Tokens, Tokens]:
        return self.source.split(self.config.n_real, self.config.n_held_out, self.config.source_seed)

    @property
    def real_sequences(self) -> Tokens:
        """The training set of real sequences, shape ``(n_real, T)``."""
        return self._split[0]

    def _training_set(self) -> Tokens:
        return self._split[0]

    def _log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The likelihood under the source: of a few sequences one by one, since the last bits depend on the batch."""
        assert isinstance(self.source, KnownSource)
        if len(tokens_BT) > MAX_EXACT_SCORES or not len(tokens_BT):
            return self.source.log_prob(tokens_BT)
        return np.concatenate([self.source.log_prob(tokens_BT[b : b + 1]) for b in range(len(tokens_BT))])

    @property
    def held_out_sequences(self) -> Tokens:
        """Real sequences that nothing is trained on, shape ``(n_held_out, T)``."""
        return self._split[1]

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
        state.check_arrays()
        tokens_BT = self.spec.validate(state.tokens_BT, name="the state's tokens")
        if state.tokens_BT.shape != (n, self.spec.max_length):
            raise ValueError(f"the state must be of {n} episodes of {self.spec}, got tokens {state.tokens_BT.shape}")
        complete_B, length_B = self.spec.is_complete(tokens_BT), self.spec.lengths(tokens_BT)
        if not (np.array_equal(complete_B, state.ended_B) and np.array_equal(length_B, state.length_B)):
            raise ValueError("the state's lengths and ends must be those of its tokens")
        n_carried = 0 if self.shaping is None else self.shaping.n_carried
        if (carry := state.carry_BK).shape != (n, n_carried):
            raise ValueError(
                f"the state must be of a task with this shaping, which carries {n_carried} numbers, got {carry.shape}"
            )

    def _token_id(self, token: int | str) -> int:
        if not isinstance(token, str):
            return token
        vocabulary = self.source.vocabulary
        if vocabulary is not None and token in vocabulary and (found := vocabulary.id_of(token)) is not None:
            return found
        has = "its tokens have no text" if vocabulary is None else "its vocabulary does not hold it"
        raise ValueError(f"allowed_tokens must hold tokens of source {self.config.source!r}, got {token!r}: {has}")

    def encode_prefix(self, options: Mapping[str, Any] | None) -> Any:
        """The prefix, or prefixes, that ``reset(options=...)`` asks for, as token ids.

        Raises:
            ValueError: an unknown option, or text where tokens have none or that the vocabulary does not hold.
        """
        if options is None:
            return ()
        check_type("options", options, Mapping[str, Any] | None)
        if unknown := sorted(map(repr, set(options) - {"prefix"})):
            raise ValueError(f"options may hold 'prefix', got {', '.join(unknown)}")
        prefix = options.get("prefix", ())
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
