"""The discriminator of a run as a reward of texts, for libraries that train language models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs.sample import load_generator
from seqgan_env.checks import check_arguments, check_type, shown
from seqgan_env.discriminators import Discriminator
from seqgan_env.rewards import Payment, RewardContext, RewardFunction
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary

Text = str | Sequence[dict[str, Any]]
"""A text, or the messages of a conversation, of which the contents count."""


class TextReward:
    """A reward of texts, as ``GRPOTrainer`` and ``RLOOTrainer`` of TRL call theirs.

    Args:
        judge: the discriminator.
        vocabulary: of its tokens.
        reward: a key of ``REWARDS`` that needs neither real sequences nor a known likelihood, or a function of the
            logit and the tokens.
        floor: the least reward, and that of a text which the discriminator can't judge: one with a token that the
            vocabulary lacks, or with more tokens than the horizon.
        allow_unknown: let the discriminator judge tokens that the vocabulary lacks, as the unknown token; it knows that
            one only where ``min_count`` left rare tokens out of the vocabulary.
        with_prompts: judge prompt and completion as one text, rather than the completion alone.
    """

    def __init__(
        self,
        judge: Discriminator,
        vocabulary: Vocabulary,
        reward: str | RewardFunction = "log_d",
        *,
        floor: float = -10.0,
        allow_unknown: bool = False,
        with_prompts: bool = False,
    ) -> None:
        if not math.isfinite(check_type("floor", floor, float)):
            raise ValueError(f"floor must be finite, got {floor}")
        self.judge, self.vocabulary, self.floor = judge, vocabulary, floor
        self.allow_unknown, self.with_prompts = allow_unknown, with_prompts
        context = RewardContext(judge.spec, vocabulary, _no_real_sequences)
        self._payment = Payment(reward, context, (floor, None))
        self._payment.under(judge)  # refused now, if at all
        self.__name__ = "discriminator"  # by which TRL logs it

    def __call__(self, completions: Sequence[Text], prompts: Sequence[Text] = (), **columns: Any) -> list[float]:
        """Judge a batch.

        Args:
            completions: the texts.
            prompts: as many, which precede them; without effect unless ``with_prompts``.
            **columns: whatever else a trainer tells; without effect.

        Returns:
            The reward of each, in its unit, at least ``floor``.

        Raises:
            ValueError: ``with_prompts``, and there are not as many prompts as completions; or one of them is no text.
        """
        if isinstance(completions, str) or isinstance(prompts, str):
            raise ValueError("completions and prompts must be lists of texts, got one text")
        texts = [_content(completion) for completion in completions]
        if self.with_prompts:
            if len(prompts) != len(texts):
                raise ValueError(f"there must be a prompt for each completion, got {len(prompts)} for {len(texts)}")
            texts = [_content(prompt) + text for prompt, text in zip(prompts, texts, strict=True)]
        rows = [self._row(text) for text in texts]
        reward_B = np.full(len(texts), self.floor)
        known = [i for i, row in enumerate(rows) if row is not None]
        if known:
            tokens_BT = np.stack([row for row in rows if row is not None])
            reward_B[known] = self._payment.pay_checked(self.judge, self.judge.logits(tokens_BT), tokens_BT)
        return [float(reward) for reward in reward_B]

    def _row(self, text: str) -> Tokens | None:
        spec = self.judge.spec
        try:
            ids = self.vocabulary.encode(text, allow_unknown=self.allow_unknown)
        except ValueError:
            return None
        if spec.eos_id is not None and len(ids) < spec.max_length:
            ids = [*ids, spec.eos_id]
        return spec.validate([ids])[0] if len(ids) <= spec.max_length else None


@check_arguments
def as_trl_reward(
    run: str | Path,
    reward: str | RewardFunction = "log_d",
    device: str = "auto",
    *,
    floor: float = -10.0,
    allow_unknown: bool = False,
    with_prompts: bool = False,
) -> TextReward:
    """The discriminator of a run, as it was in the end, as a reward of texts.

    Args:
        run: the folder.
        reward: see ``TextReward``.
        device: where the discriminator computes.
        floor: see ``TextReward``, as for those that follow.
        allow_unknown: the same.
        with_prompts: the same.

    Raises:
        ValueError: there is no run, a file is damaged, its tokens have no text, it has no discriminator that was
            trained, or the reward needs more than that.
    """
    text = load_generator(run, device, judged=True)
    if text.vocabulary is None:
        raise ValueError(f"the tokens of the run in {run} have no text, so there are no texts to judge")
    assert text.judge is not None
    return TextReward(
        text.judge, text.vocabulary, reward, floor=floor, allow_unknown=allow_unknown, with_prompts=with_prompts
    )


def _content(text: Text) -> str:
    """The text, or those of all messages; one may have none, as a call of a tool, or parts, as beside pictures."""
    if isinstance(text, str):
        return text
    try:
        contents = [message.get("content") or "" for message in text]
        parts = [[{"text": each}] if isinstance(each, str) else each for each in contents]
        return "".join(check_type("text", part.get("text", ""), str) for own in parts for part in own)
    except (TypeError, AttributeError, ValueError):
        raise ValueError(
            f"a completion or prompt must be a text, or messages whose content is a text or parts; got {shown(text)}"
        ) from None


def _no_real_sequences() -> Tokens:
    raise ValueError("this reward needs the real sequences, which a reward of texts does not have")
