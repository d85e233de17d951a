"""Measures of text in slow, literal forms, over sentences as tuples of tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from seqgan_env.metrics import EvaluationBatch
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support.reference import Prefix, padded


def random_rows(spec: SequenceSpec, n: int, seed: int, shortest: int = 1) -> Tokens:
    """Sequences of random tokens, of lengths from ``shortest`` to T; those that end early end with end-of-sequence."""
    rng = np.random.default_rng(seed)
    first = 0 if spec.eos_id is None else 1
    rows = rng.integers(first, spec.vocab_size, size=(n, spec.max_length))
    for row, length in zip(rows, rng.integers(shortest, spec.max_length + 1, size=n), strict=True):
        if length < spec.max_length:
            row[length:] = spec.pad_id
            if spec.eos_id is not None and length:
                row[length - 1] = spec.eos_id
    return rows


def grams(sentence: Sequence[int], n: int) -> Counter[Prefix]:
    """The n-grams of a sentence, each with its number."""
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))


def bleu(sentence: Prefix, references: Sequence[Prefix], max_n: int, smoothing: float) -> float:
    """Papineni et al. (2002), section 2.3, with a count in place of 0; 0 where no token is matched."""
    log_precision = 0.0
    for n in range(1, max_n + 1):
        own = grams(sentence, n)
        most: Counter[Prefix] = Counter()
        for reference in references:
            most |= grams(reference, n)
        matched = sum(min(count, most[gram]) for gram, count in own.items())
        if n == 1 and not matched:
            return 0.0
        log_precision += math.log((matched or smoothing) / max(1, sum(own.values()))) / max_n
    c = len(sentence)
    r = min((len(reference) for reference in references), key=lambda length: (abs(length - c), length))
    return math.exp(log_precision + min(0.0, 1 - r / c))


def self_bleu(sentences: Sequence[Prefix], max_n: int, smoothing: float) -> list[float]:
    """The BLEU of each sentence against all others."""
    others = ([*sentences[:i], *sentences[i + 1 :]] for i in range(len(sentences)))
    return [bleu(sentence, rest, max_n, smoothing) for sentence, rest in zip(sentences, others, strict=True)]


def longest_shared_span(sentence: Prefix, others: Sequence[Prefix]) -> int:
    """The largest n for which an n-gram of the sentence stands in one of the others, 0 for none."""
    known = {gram for other in others for n in range(1, len(other) + 1) for gram in grams(other, n)}
    return max((n for n in range(1, len(sentence) + 1) if known & grams(sentence, n).keys()), default=0)


def text_batch(
    generated: Sequence[Sequence[int]],
    test: Sequence[Sequence[int]],
    train: Sequence[Sequence[int]] | None = None,
    validation: Sequence[Sequence[int]] | None = None,
) -> EvaluationBatch:
    """An evaluation of sentences over the tokens 1 to 8, at most 6 of them; the end, 0, is added."""
    spec = SequenceSpec(9, 7, eos_id=0)

    def rows(sentences: Sequence[Sequence[int]]) -> Tokens:
        return padded(spec, [[*sentence, 0] for sentence in sentences])

    return EvaluationBatch(
        source=SimpleNamespace(spec=spec),  # type: ignore[arg-type]
        test_BT=rows(test),
        generated_BT=rows(generated),
        log_prob=lambda tokens_BT: np.zeros(len(tokens_BT)),
        train_BT=None if train is None else rows(train),
        validation_BT=None if validation is None else rows(validation),
    )
