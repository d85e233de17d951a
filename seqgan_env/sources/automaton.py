"""Weighted right-linear grammars as tables.

A grammar is deterministic: from each state, each word leads to at most one next state, so that a sentence has one
derivation and its log-probability is a sum of table look-ups.

Suffixes: S states, P the vocabulary and the padding id (V + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.vocabulary import EOS, Vocabulary

Lexicon = Mapping[str, Mapping[str, float]]
"""Word classes, written ``<class>``: the relative frequency of each word."""
Rules = Mapping[str, Sequence[tuple[str, float, str]]]
"""The continuations of each state: a word, a ``<class>`` of words or ``""`` for nothing; how likely; the state after.

The first state is ``START``. A sentence ends in the state ``END``, which has no rules.
"""
Arcs = dict[str, tuple[float, str]]
"""The words that may come next in a state, each with its probability and the state after it."""
START, END = "start", "end"
_ENDED = "<ended>"
"""The state after end-of-sequence, where only padding follows."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A grammar as tables. State 0 is the first; the last two are *ended* and *impossible*.

    Attributes:
        vocabulary: the words, in alphabetical order after end-of-sequence.
        next_state_SP: the state after each token, the padding id included.
        log_prob_SP: each token's log-probability: minus infinity where it cannot come, 0 for padding after the end.
        cumulative_SP: the cumulated probabilities.
        max_length: the length of the longest sentence, end-of-sequence included.
    """

    vocabulary: Vocabulary
    next_state_SP: npt.NDArray[np.int64]
    log_prob_SP: npt.NDArray[np.float64]
    cumulative_SP: npt.NDArray[np.float64]
    max_length: int


def compile_rules(rules: Rules, lexicon: Lexicon) -> Automaton:
    """Turn rules into tables.

    Raises:
        ValueError: an unknown state or class, probabilities of a state that do not sum to 1, a word that leads to two
            states, or a loop, which would let sentences grow without end.
    """
    arcs: dict[str, Arcs] = {END: {EOS: (1.0, _ENDED)}}
    longest: dict[str, int] = {END: 1}
    open_states: list[str] = []

    def visit(state: str) -> None:
        if state in longest:
            return
        if state in open_states:
            raise ValueError(f"the states of a grammar must not loop, {' -> '.join([*open_states, state])} does")
        if state not in rules:
            raise ValueError(f"each state of a grammar must have rules, {state!r} has none")
        open_states.append(state)
        found: Arcs = {}
        length = 0
        for item, probability, target in rules[state]:
            visit(target)
            length = max(length, longest[target] + (item != ""))
            for word, p, then in _expand(item, target, lexicon, arcs):
                if word in found:
                    raise ValueError(f"each word must lead to one state, {word!r} leads from {state!r} to two")
                found[word] = (probability * p, then)
        total = sum(p for p, _ in found.values())
        if not abs(total - 1) <= 1e-9 or any(p <= 0 for p, _ in found.values()):
            raise ValueError(f"the probabilities of a state must be above 0 and sum to 1, those of {state!r} do not")
        arcs[state], longest[state] = found, length
        open_states.pop()

    visit(START)
    return _tabulate(arcs, longest[START])


def _expand(item: str, target: str, lexicon: Lexicon, arcs: Mapping[str, Arcs]) -> Iterable[tuple[str, float, str]]:
    """The words that one entry of a rule stands for, each with its share of the probability and the state after it."""
    if item == "":
        return [(word, p, then) for word, (p, then) in arcs[target].items()]
    if not item.startswith("<"):
        return [(item, 1.0, target)]
    if item not in lexicon:
        raise ValueError(f"each word class of a rule must be in the lexicon, {item!r} is not")
    total = sum(lexicon[item].values())
    return [(word, weight / total, target) for word, weight in lexicon[item].items()]


def _tabulate(arcs: Mapping[str, Arcs], max_length: int) -> Automaton:
    """Write the arcs of each state into tables."""
    vocabulary = Vocabulary.of(sorted({word for found in arcs.values() for word in found} - {EOS}))
    if len(vocabulary) < 2:
        raise ValueError("a grammar must have at least one word, it has none")
    column = {word: i for i, word in enumerate(vocabulary.tokens)}
    row = {state: i for i, state in enumerate([START, *(state for state in arcs if state != START), _ENDED])}
    pad_id, n_states = len(vocabulary), len(row) + 1
    probability_SP = np.zeros((n_states, len(vocabulary) + 1))
    next_state_SP = np.full(probability_SP.shape, n_states - 1)
    for state, found in arcs.items():
        for word, (p, then) in found.items():
            probability_SP[row[state], column[word]] = p
            next_state_SP[row[state], column[word]] = row[then]
    probability_SP[row[_ENDED], pad_id] = 1.0
    next_state_SP[row[_ENDED], pad_id] = row[_ENDED]
    probability_SP[:-1] /= probability_SP[:-1].sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_prob_SP = np.log(probability_SP)
    cumulative_SP = np.minimum(probability_SP.cumsum(axis=1), 1.0)
    for table in (next_state_SP, log_prob_SP, cumulative_SP):
        table.flags.writeable = False  # the embedded grammar's are shared
    return Automaton(vocabulary, next_state_SP, log_prob_SP, cumulative_SP, max_length)
