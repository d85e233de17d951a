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
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import Interval, NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.device import check_memory
from seqgan_env.discriminators import Discriminator
from seqgan_env.progress import progress
from seqgan_env.seeding import derived_seed, numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens

Floats = npt.NDArray[np.float64]
Rule = Literal["best", "importance"]
N_GROUPS = 2000
"""The groups of rivals over which the chance of ``importance`` is a mean."""
MAX_CANDIDATES = 10_000
"""The most candidates. About 1 / K of the generator's sequences are above the best of K, a share that is estimated from
``n_reference`` of them, so that one below 1 / 20,000 would be guessed."""
NCandidates = Annotated[int, Interval(1, MAX_CANDIDATES)]
_CHUNK = 1 << 22  # numbers at once
_ALIKE = 1e-9  # of two logits' size: such a difference is of rounding, which is another one beside other sequences


class Reranked:
    """A generator and a discriminator that chooses among its sequences, as a distribution of its own.

    Both must stay as they are.

    Args:
        model: the generator.
        judge: the discriminator.
        n_candidates: K, the sequences that one is chosen among, at most ``MAX_CANDIDATES``; 1 is the generator alone.
        rule: ``best`` or ``importance``.
        n_reference: sequences whose logits say how a candidate fares against others, where likelihoods are asked for.
    """

    @check_arguments
    def __init__(
        self,
        model: AutoregressiveModel,
        judge: Discriminator,
        n_candidates: NCandidates,
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

    @check_arguments
    def draw(self, n: PositiveInt, *, seed: NonNegativeInt = 0, **arguments: Any) -> Tokens:
        """Draw complete sequences by seed, in bounded memory.

        Args:
            n: how many.
            seed: the same seed gives the same sequences.
            **arguments: the other ones of ``AutoregressiveModel.draw``.

        Returns:
            ``int64``, shape ``(n, T)``, padded with V.

        Raises:
            ValueError: see ``AutoregressiveModel.draw``.
        """
        K, T = self.n_candidates, self.spec.max_length
        if K == 1:
            return self.model.draw(n, seed=seed, **arguments)
        check_memory(8 * n * T, f"{n} sequences of max_length {T}")
        noise = numpy_rng(seed, "importance") if self.rule == "importance" else None
        size = max(1, _CHUNK // (K * T))  # sequences at once
        parts: list[Tokens] = []
        with progress(n, "choosing", "sequence") as bar:
            for start in range(0, n, size):
                part_seed = derived_seed(seed, "part", start) if start else seed
                n_part = min(size, n - start)
                rows = self.model.draw(n_part * K, seed=part_seed, **arguments)
                parts.append(self._chosen(rows.reshape(n_part, K, T), noise))
                bar.update(n_part)
        return np.concatenate(parts)

    def _chosen(self, rows_BKT: Tokens, noise: np.random.Generator | None) -> Tokens:
        """One of each K candidates."""
        B, K, T = rows_BKT.shape
        logit_BK = self.judge.logits(rows_BKT.reshape(-1, T)).reshape(B, K)
        if noise is not None:  # the largest of logit plus Gumbel noise is drawn from their softmax
            logit_BK = logit_BK + noise.gumbel(size=(B, K))
        chosen: Tokens = rows_BKT[np.arange(B), logit_BK.argmax(axis=1)]
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
        logit_B, reference_R = self.judge.exact_logits(tokens_BT), self._reference_logits(temperature)
        log_gain = log_gain_of_best if self.rule == "best" else log_gain_of_importance
        gained: Floats = log_prob_B + log_gain(logit_B, reference_R, self.n_candidates)
        return gained

    def _draw_reference(self, temperature: float) -> Floats:
        seed = derived_seed(0, "reference")
        return np.sort(self.judge.exact_logits(self.model.draw(self._n_reference, seed=seed, temperature=temperature)))


@check_arguments
def choice(best_of: NCandidates, resample: NCandidates) -> tuple[int, Rule]:
    """The candidates and the rule that one of two numbers asks for.

    Args:
        best_of: candidates of ``best``; 1 is no choice.
        resample: candidates of ``importance``; 1 is no choice.

    Raises:
        ValueError: both ask for a choice, or for too many candidates.
    """
    if min(best_of, resample) > 1:
        raise ValueError(f"best_of and resample are two rules, of which one may be above 1; got {best_of}, {resample}")
    return (best_of, "best") if best_of > 1 else (resample, "importance")


def reranked(
    model: AutoregressiveModel, judge: Discriminator | None, n_candidates: int, rule: Rule
) -> Reranked | AutoregressiveModel:
    """The choice among a generator's sequences, or the generator itself where there is one candidate.

    Args:
        model: the generator.
        judge: the discriminator; None where there is none.
        n_candidates: see ``choice``.
        rule: see ``choice``.

    Raises:
        ValueError: there is no judge to choose.
    """
    if n_candidates == 1:
        return model
    if judge is None:
        raise ValueError(f"a choice among {n_candidates} needs a discriminator that was trained, and there is none")
    return Reranked(model, judge, n_candidates, rule)


def log_gain_of_best(logit_B: Floats, reference_R: Floats, n_candidates: int) -> Floats:
    """The log-probability that the best of K is a sequence, less that of one draw, nats, shape ``(B,)``.

    Args:
        logit_B: of the sequences.
        reference_R: of the generator's own, sorted; the sequence itself counts as one of them.
        n_candidates: K.
    """
    n, K = len(reference_R) + 1, n_candidates
    margin_B = _ALIKE * (1 + np.abs(logit_B))
    at_most_B = (np.searchsorted(reference_R, logit_B + margin_B, side="right") + 1) / n
    below_B = np.searchsorted(reference_R, logit_B - margin_B, side="left") / n
    ratio_B = (below_B / at_most_B) ** K
    gain_B: Floats = K * np.log(at_most_B) + np.log1p(-ratio_B) - np.log(at_most_B - below_B)
    return gain_B


def log_gain_of_importance(logit_B: Floats, reference_R: Floats, n_candidates: int) -> Floats:
    """As ``log_gain_of_best``, for a choice in proportion to the exponential of the logit."""
    rng, n_rivals = numpy_rng(0, "rivals", n_candidates), n_candidates - 1
    rivals_G = torch.empty(N_GROUPS, dtype=torch.float64)
    for part_G in rivals_G.split(max(1, _CHUNK // n_rivals)):
        rivals_GK = reference_R[rng.integers(len(reference_R), size=(len(part_G), n_rivals))]
        part_G.copy_(torch.from_numpy(rivals_GK).logsumexp(dim=1))
    chunks = torch.from_numpy(logit_B).split(max(1, _CHUNK // N_GROUPS))
    chance_B = torch.cat([F.logsigmoid(chunk_B[:, None] - rivals_G).logsumexp(dim=1) for chunk_B in chunks])
    gain_B: Floats = (chance_B + math.log(n_candidates / N_GROUPS)).numpy()
    return gain_B
