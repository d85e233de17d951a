"""Slow, obvious forms of what `seqgan_env.sources` computes fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_env.sources.automaton import END, START, Lexicon, Rules
from seqgan_env.tokens import SequenceSpec


def oracle_log_prob(parameters: Sequence[npt.NDArray[np.float32]], tokens: Sequence[int]) -> float:
    """The log-probability of one sequence under the oracle's LSTM, in double precision, token by token."""
    arrays = [array.astype(np.float64) for array in parameters]
    embedding, output_weights, output_bias = arrays[0], arrays[13], arrays[14]

    def gate(i: int, x: npt.NDArray[np.float64], h: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        weights, recurrent, bias = arrays[1 + 3 * i : 4 + 3 * i]
        return np.asarray(x @ weights + h @ recurrent + bias)

    hidden = cell = np.zeros(len(output_weights))
    total, previous = 0.0, 0
    for token in tokens:
        x = embedding[previous]
        admit, keep, show = (1 / (1 + np.exp(-gate(i, x, hidden))) for i in range(3))
        cell = keep * cell + admit * np.tanh(gate(3, x, hidden))
        hidden = show * np.tanh(cell)
        logits = hidden @ output_weights + output_bias
        total += logits[token] - math.log(np.exp(logits).sum())
        previous = token
    return total


def sentence_prob(rules: Rules, lexicon: Lexicon, words: Sequence[str], state: str = START) -> float:
    """The probability of a sentence under a grammar: the sum over all its derivations, read off the rules."""
    if state == END:
        return float(not words)
    total = 0.0
    for item, p, then in rules[state]:
        if item == "":
            total += p * sentence_prob(rules, lexicon, words, then)
        elif words:
            chances = lexicon.get(item, {item: 1.0})
            if words[0] in chances:
                share = chances[words[0]] / sum(chances.values())
                total += p * share * sentence_prob(rules, lexicon, words[1:], then)
    return total


def salad_prob(spec: SequenceSpec, tokens: Sequence[int], end: float) -> float:
    """The probability of a padded sequence of words in no order: ``end`` at each step, the rest shared by the words."""
    total = 1.0
    for token in tokens:
        if token == spec.eos_id:
            return total * end
        if token == spec.pad_id:
            raise ValueError("a sequence must end before its padding")
        total *= (1 - end) / (spec.vocab_size - 1)
    return total
