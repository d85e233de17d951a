"""The opinion of each token that a score of the prefix has: how far the token moved it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import check_fields
from seqgan_env.functions import load_function
from seqgan_env.shaping.base import Floats, Shaping, ShapingContext, register_shaping
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class IncrementsConfig:
    """The settings of ``increments``.

    Raises:
        ValueError: an unknown score, or a weight that is no number.
    """

    of: str = "logit"
    """The score of a prefix: the discriminator's ``logit``, the ``reward`` that it would get as it is, or what a
    function of ``(tokens_BT, length_B)`` says, ``"module:function"``."""
    weight: float = 1.0
    """Factor of every payment."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.of not in ("logit", "reward") and ":" not in self.of:
            raise ValueError(f"of must be 'logit', 'reward' or 'module:function', got {self.of!r}")

    @property
    def asks_discriminator(self) -> bool:
        """Whether the payments depend on the discriminator whatever the reward."""
        return self.of == "logit"


class Increments:
    """Step t pays ``weight * (s(Y_{1:t}) - s(Y_{1:t-1}))``, with no discount, and of the last step too.

    Where the logit is a sum over tokens, as of ``log_ratio``, this is the token's own term. A payment may have either
    sign. Those of an episode sum to ``weight * (s(Y) - s(empty))``, so that an agent that does not discount is paid for
    the score of the complete sequence, beside its terminal reward. The unit is that of the score: nats, of the logit.

    Args:
        score: maps prefixes, and complete sequences, ``(B, T)`` to s, ``(B,)``.
        weight: see ``IncrementsConfig``.
    """

    n_carried = 1  # s of the prefix, as it was when it was reached

    def __init__(self, score: Callable[[Tokens], Floats], weight: float) -> None:
        self._score = score
        self._weight = weight

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``."""
        return self._score(tokens_BT)[:, None]

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        score_B1 = self._score(tokens_BT)[:, None]
        return self._weight * (score_B1 - carry_BK)[:, 0], score_B1

    def total(self, beginning_BT: Tokens, start_B: Tokens, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """The difference of the ends; see ``TelescopingShaping``."""
        return self._weight * (self._score(tokens_BT) - self._score(beginning_BT))


def _build(context: ShapingContext) -> Shaping:
    config: IncrementsConfig = context.config
    known = {"logit": context.scoring.prefix_logit, "reward": context.scoring.prefix_reward}
    if config.of in known:
        return Increments(known[config.of], config.weight)
    function = load_function("of", config.of)

    def score(tokens_BT: Tokens) -> Floats:
        score_B = np.asarray(function(tokens_BT, context.spec.lengths(tokens_BT)), dtype=np.float64)
        if score_B.shape != (len(tokens_BT),):
            raise ValueError(f"{config.of} must give {len(tokens_BT)} numbers, got shape {score_B.shape}")
        return score_B

    return Increments(score, config.weight)


register_shaping(
    "increments",
    _build,
    summary="The change that the token makes to the score s of the prefix: logit, reward, or a function of yours.",
    formula="w (s(Y_{1:t}) − s(Y_{1:t-1}))",
    source="reward at every generation step, arXiv 1701.06547, section 3.2, in differences",
    keeps_optimal_policy=False,
    length_effect="neither",
    length_reason="the payments sum to the score of the sequence less that of the first prefix",
    unit="of the score; nats, of the logit",
    config=IncrementsConfig,
)
