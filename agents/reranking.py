"""Sequences of a generator among which a discriminator has chosen, and how likely they are.

The generator draws K candidates, and one of them is taken:

- ``best``: the one that the discriminator finds most real, "best of K";
- ``importance``: each with a probability in proportion to ``D / (1 - D)``, the exponential of its logit. For the best
  possible discriminator that is ``p / G``, so that with more candidates the sequences come ever nearer to real ones:
  sampling-importance-resampling (Rubin 1987), in text generation the decoding of residual energy-based models
  (Deng et al. 2020, arXiv 2004.11714).

Suffixes beside those of ``tokens``: R reference sequences, G groups of K - 1 of them.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import PositiveInt, check_arguments
from seqgan_env.discriminators import Discriminator
from seqgan_env.seeding import derived_seed, numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens

Floats = npt.NDArray[np.float64]
Rule = Literal["best", "importance"]
N_GROUPS = 2000
"""The groups of rivals over which the chance of ``importance`` is a mean."""
_CHUNK = 1 << 22  # numbers at once


class Reranked:
    """A generator and a discriminator that chooses among its sequences, as a distribution of its own.

    Both must stay as they are.

    Args:
        model: the generator.
        judge: the discriminator.
        n_candidates: K, the sequences that one is chosen among; 1 is the generator alone.
        rule: ``best`` or ``importance``.
        n_reference: sequences whose logits say how a candidate fares against others, where likelihoods are asked for.
    """

    @check_arguments
    def __init__(
        self,
        model: AutoregressiveModel,
        judge: Discriminator,
        n_candidates: PositiveInt,
        rule: Rule = "best",
        *,
        n_reference: PositiveInt = 20_000,
    ) -> None:
        self.model, self.judge, self.n_candidates, self.rule = model, judge, n_candidates, rule
        self._n_reference = n_reference
        self._reference_logits = functools.cache(self._draw_reference)

    @property
    def spec(self) -> SequenceSpec:
        """The form of the sequences."""
        return self.model.spec

    def draw(self, n: int, *, seed: int = 0, **arguments: Any) -> Tokens:
        """Draw complete sequences by seed.

        Args:
            n: how many.
            seed: the same seed gives the same sequences.
            **arguments: the other ones of ``AutoregressiveModel.draw``.

        Returns:
            ``int64``, shape ``(n, T)``, padded with V.

        Raises:
            ValueError: see ``AutoregressiveModel.draw``.
        """
        K = self.n_candidates
        rows = self.model.draw(n * K, seed=seed, **arguments)
        if K == 1:
            return rows
        logit_BK = self.judge.logits(rows).reshape(n, K)
        if self.rule == "importance":  # the largest of logit plus Gumbel noise is drawn from their softmax
            logit_BK = logit_BK + numpy_rng(seed, "importance").gumbel(size=(n, K))
        chosen: Tokens = rows.reshape(n, K, -1)[np.arange(n), logit_BK.argmax(axis=1)]
        return chosen

    def sequence_log_prob(self, tokens_BT: Tokens, temperature: float = 1.0) -> Floats:
        """The log-probability of each sequence, nats, shape ``(B,)``, as estimated from the reference sequences.

        Let ``F`` be the share of the generator's sequences whose logit is at most that of Y, ``F'`` the share of those
        below it. Y is the best of K with probability ``G(Y) (F ** K - F' ** K) / (F - F')``, as the best logit is that
        of Y with probability ``F ** K - F' ** K``, and candidates of the same logit are alike. By importance it is
        chosen with probability ``K G(Y) E[w / (w + W)]`` with its own weight ``w`` and the sum ``W`` of K - 1 others.
        """
        log_prob_B = self.model.sequence_log_prob(tokens_BT, temperature)
        if self.n_candidates == 1:
            return log_prob_B
        logit_B, reference_R = self.judge.logits(tokens_BT), self._reference_logits(temperature)
        log_gain = log_gain_of_best if self.rule == "best" else log_gain_of_importance
        gained: Floats = log_prob_B + log_gain(logit_B, reference_R, self.n_candidates)
        return gained

    def _draw_reference(self, temperature: float) -> Floats:
        seed = derived_seed(0, "reference")
        return np.sort(self.judge.logits(self.model.draw(self._n_reference, seed=seed, temperature=temperature)))


@check_arguments
def reranked(
    model: AutoregressiveModel, judge: Discriminator | None, best_of: PositiveInt, resample: PositiveInt
) -> Reranked | AutoregressiveModel:
    """The generator, or the choice among its sequences that one of two numbers asks for.

    Args:
        model: the generator.
        judge: the discriminator; None where there is none.
        best_of: candidates of ``best``; 1 is no choice.
        resample: candidates of ``importance``; 1 is no choice.

    Raises:
        ValueError: both ask for one, or there is no judge to choose.
    """
    n_candidates = max(best_of, resample)
    if n_candidates == 1:
        return model
    if min(best_of, resample) > 1:
        raise ValueError(f"best_of and resample are two rules, of which one may be above 1; got {best_of}, {resample}")
    if judge is None:
        raise ValueError(f"a choice among {n_candidates} needs a discriminator that was trained, and there is none")
    return Reranked(model, judge, n_candidates, "best" if best_of > 1 else "importance")


def log_gain_of_best(logit_B: Floats, reference_R: Floats, n_candidates: int) -> Floats:
    """The log-probability that the best of K is a sequence, less that of one draw, nats, shape ``(B,)``.

    Args:
        logit_B: of the sequences.
        reference_R: of the generator's own, sorted; the sequence itself counts as one of them.
        n_candidates: K.
    """
    n, K = len(reference_R) + 1, n_candidates
    at_most_B = (np.searchsorted(reference_R, logit_B, side="right") + 1) / n
    below_B = np.searchsorted(reference_R, logit_B, side="left") / n
    ratio_B = (below_B / at_most_B) ** K
    gain_B: Floats = K * np.log(at_most_B) + np.log1p(-ratio_B) - np.log(at_most_B - below_B)
    return gain_B


def log_gain_of_importance(logit_B: Floats, reference_R: Floats, n_candidates: int) -> Floats:
    """As ``log_gain_of_best``, for a choice in proportion to the exponential of the logit."""
    rng = numpy_rng(0, "rivals", n_candidates)
    rivals_GK = reference_R[rng.integers(len(reference_R), size=(N_GROUPS, n_candidates - 1))]
    rivals_G = torch.from_numpy(rivals_GK).logsumexp(dim=1)
    chunks = torch.from_numpy(logit_B).split(max(1, _CHUNK // N_GROUPS))
    chance_B = torch.cat([F.logsigmoid(chunk_B[:, None] - rivals_G).logsumexp(dim=1) for chunk_B in chunks])
    gain_B: Floats = (chance_B + math.log(n_candidates / N_GROUPS)).numpy()
    return gain_B
