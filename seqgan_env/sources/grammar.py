"""A small grammar of English as a source: real-looking text whose exact likelihood is known.

The grammar is a deterministic weighted right-linear one: from each state, each word leads to at most one next state,
so that a sentence has one derivation and its log-probability is a sum of table look-ups. What there is to learn reaches
over several words: a verb agrees in number with its subject across a phrase or a clause with a noun of its own ("the
dogs near the narrow gate chase a cat"), it takes an object that suits it (cakes are eaten, buses driven), and what
people do differs from what animals do.

So that every sequence has a finite log-probability, and every Kullback-Leibler divergence is finite, a sentence is
drawn with a small probability from the *salad*, which takes any words in any order:
``p(Y) = (1 - noise) p_grammar(Y) + noise p_salad(Y)``.

Suffixes: B batch, T time, V vocabulary, S states, P the vocabulary and the padding id (V + 1).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_env.sources.base import check_whole_number, split_known
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import EOS, Vocabulary

Lexicon = Mapping[str, Mapping[str, float]]
"""Word classes, written ``<class>``: the relative frequency of each word."""
Rules = Mapping[str, Sequence[tuple[str, float, str]]]
"""What may come next in each state: a word, a ``<class>`` of words or ``""`` for nothing; how likely; the state after.

The first state is ``START``. A sentence ends in the state ``END``, which has no rules.
"""
Arcs = dict[str, tuple[float, str]]
"""The words that may come next in a state, each with its probability and the state after it."""
START, END = "start", "end"
_ENDED = "<ended>"
"""The state after end-of-sequence, where only padding follows."""

SALAD_END = 0.1
"""The salad's probability, at each step, of ending the sequence; the other tokens share the rest equally."""

# ---------------------------------------------------------------------------------------------------- the lexicon
_NOUNS = {
    "person": "farmer/farmers 6, teacher/teachers 5, child/children 5, girl/girls 4, sailor/sailors 3, baker/bakers 2",
    "animal": "dog/dogs 6, cat/cats 6, horse/horses 4, bird/birds 4, cow/cows 3, wolf/wolves 2",
    "food": "cake/cakes 5, pie/pies 4, carrot/carrots 3, pear/pears 3, cherry/cherries 2",
    "text": "book/books 6, letter/letters 5, story/stories 4, poem/poems 2, map/maps 2",
    "vehicle": "car/cars 5, truck/trucks 4, boat/boats 3, bus/buses 2",
    "place": "house/houses 5, garden/gardens 5, river/rivers 4, bridge/bridges 3, gate/gates 3, field/fields 3",
}
_ADJECTIVES = {
    "being": "young 5, tired 4, hungry 4, happy 3, clever 2",
    "food": "sweet 4, fresh 3, big 2",
    "text": "long 4, sad 3, new 2",
    "vehicle": "red 4, new 3, fast 2",
    "place": "narrow 4, quiet 3, dark 2, big 2",
}
_VERBS = {  # by what does it, and what it is done to
    "person": "sleeps/sleep 4, works/work 4, sings/sing 3, laughs/laugh 3, waits/wait 3, dances/dance 2",
    "person food": "eats/eat 5, cooks/cook 3",
    "person text": "reads/read 5, writes/write 4",
    "person vehicle": "drives/drive 5, repairs/repair 3, buys/buy 2",
    "person being": "sees/see 5, likes/like 4, helps/help 4, follows/follow 2",
    "person animal": "feeds/feed 4",
    "animal": "sleeps/sleep 4, runs/run 4, hides/hide 3, waits/wait 2, sings/sing 1",
    "animal food": "eats/eat 4, finds/find 3, steals/steal 2",
    "animal being": "chases/chase 5, sees/see 4, follows/follow 3, fears/fear 3",
}
_OTHER = {
    "<the>": "the 6, my 2",
    "<the.sg>": "a 6, this 2, every 2",
    "<the.pl>": "these 2, many 2, two 2",
    "<near>": "near 4, behind 3, in 3",
    "<often>": "often 4, never 3, always 2",
    "<slowly>": "slowly 3, quietly 3",
}

# ---------------------------------------------------------------------------------------------------- the grammar
_NUMBERS = ("sg", "pl")
_VERB_KINDS = {  # what each kind of subject does: the object's kind, or "" for none, and a probability
    "person": {"": 0.30, "food": 0.16, "text": 0.16, "vehicle": 0.12, "being": 0.18, "animal": 0.08},
    "animal": {"": 0.42, "food": 0.20, "being": 0.38},
}
_NOUN_KINDS = {  # which nouns an object of each kind may be
    "being": {"person": 0.5, "animal": 0.5},
    **{kind: {kind: 1.0} for kind in _NOUNS},
}


def _words(text: str) -> dict[str, float]:
    """Read ``"word weight, word weight"``."""
    return {word: float(weight) for word, weight in (item.split() for item in text.split(", "))}


def english_lexicon() -> dict[str, dict[str, float]]:
    """The word classes: nouns and verbs by number (``<noun person.sg>``, ``<verb person food.pl>``), and the rest."""
    lexicon = {name: _words(text) for name, text in _OTHER.items()}
    lexicon |= {f"<adjective {kind}>": _words(text) for kind, text in _ADJECTIVES.items()}
    for part, classes in (("noun", _NOUNS), ("verb", _VERBS)):
        for kind, text in classes.items():
            for i, number in enumerate(_NUMBERS):
                lexicon[f"<{part} {kind}.{number}>"] = {w.split("/")[i]: n for w, n in _words(text).items()}
    return lexicon


def _noun_phrase(
    state: str, kind: str, then: str, adjective: float = 0.0, numbers: Sequence[str] = _NUMBERS
) -> dict[str, list[tuple[str, float, str]]]:
    """A determiner, perhaps an adjective, and a noun.

    Args:
        state: the state in which it begins.
        kind: a key of ``_NOUN_KINDS``.
        then: the state after it; ``{noun}`` and ``{number}`` in it stand for those of the noun.
        adjective: the probability of an adjective.
        numbers: the numbers that the noun may have.
    """
    share = {"sg": 0.3, "pl": 0.2}
    rules = {state: [("<the>", 1 - sum(share[n] for n in numbers), f"{state} the")]}
    rules[state] += [(f"<the.{number}>", share[number], f"{state} the.{number}") for number in numbers]
    described = kind if kind in _ADJECTIVES else "being"
    for determined, possible in [("the", numbers), *((f"the.{number}", (number,)) for number in numbers)]:
        nouns = [
            (f"<noun {noun}.{number}>", p / len(possible), then.format(noun=noun, number=number))
            for noun, p in _NOUN_KINDS[kind].items()
            for number in possible
        ]
        rules[f"{state} {determined} noun"] = nouns
        rules[f"{state} {determined}"] = [("", 1 - adjective, f"{state} {determined} noun")]
        if adjective:
            rules[f"{state} {determined}"] += [(f"<adjective {described}>", adjective, f"{state} {determined} noun")]
    return rules


def _verb_phrase(
    state: str, subject: str, number: str, then: str, adjective: float = 0.0, adverb: float = 0.0
) -> dict[str, list[tuple[str, float, str]]]:
    """A verb and its object, or a verb without one and perhaps an adverb.

    Args:
        state: the state in which it begins.
        subject: ``"person"`` or ``"animal"``.
        number: the subject's number, which is the verb's.
        then: the state after it.
        adjective: the probability of an adjective in the object.
        adverb: the probability of an adverb after a verb without an object.
    """
    rules: dict[str, list[tuple[str, float, str]]] = {state: []}
    for kind, p in _VERB_KINDS[subject].items():
        verb = f"<verb {f'{subject} {kind}'.strip()}.{number}>"
        rules[state] += [(verb, p, f"{state} {kind or 'alone'}")]
        if kind:
            rules |= _noun_phrase(f"{state} {kind}", kind, then, adjective)
        else:
            rules[f"{state} alone"] = [("", 1 - adverb, then)] + [("<slowly>", adverb, then)] * (adverb > 0)
    return rules


def english_rules() -> dict[str, list[tuple[str, float, str]]]:
    """The rules of the embedded grammar.

    A state's name says what has been said so far that still matters: ``person.pl`` is "a plural person is the subject".
    """
    rules = {
        START: [("", 0.87, "statement"), ("does", 0.05, "ask.sg"), ("do", 0.03, "ask.pl"), ("who", 0.05, "who")],
        "stop": [(".", 1.0, END)],
        "query": [("?", 1.0, END)],
        "query or place": [("?", 0.8, END), ("<near>", 0.2, "query place")],
    }
    rules |= _noun_phrase("statement", "being", "{noun}.{number}", adjective=0.3)
    for number in _NUMBERS:  # "does the child read a book ?" and "who reads a book ?"
        rules |= _noun_phrase(f"ask.{number}", "being", "ask {noun}", adjective=0.2, numbers=(number,))
    rules |= _verb_phrase("who", "person", "sg", "query or place", adjective=0.2)
    rules |= _noun_phrase("query place", "place", "query", adjective=0.2)
    for subject in ("person", "animal"):
        rules |= _verb_phrase(f"ask {subject}", subject, "pl", "query or place", adjective=0.2)
        rules |= _noun_phrase(f"{subject} and", subject, f"{subject}.pl far", adjective=0.2)
        for number in _NUMBERS:
            rules |= _clause(f"{subject}.{number}", subject, number)
    return rules


def _clause(state: str, subject: str, number: str) -> dict[str, list[tuple[str, float, str]]]:
    """Everything after the subject of a statement: what it is near, what it is known by, and what it does."""
    rules: dict[str, list[tuple[str, float, str]]] = {
        state: [
            ("", 0.40, f"{state} verb"),
            ("<often>", 0.12, f"{state} verb"),
            ("<near>", 0.20, f"{state} near"),
            ("that", 0.20, f"{state} that"),
            ("and", 0.08, f"{subject} and"),
        ],
        f"{state} done": [(".", 0.6, END), ("<near>", 0.18, f"{state} place"), ("and", 0.22, f"{state} second")],
        f"{state} far done": [(".", 0.8, END), ("and", 0.2, f"{state} second")],
        f"{state} that": [("", 0.5, f"{state} that they"), ("", 0.5, f"{state} that does")],
    }
    # "the dogs chase a cat in the garden .", "the dogs chase a cat and sleep ."
    rules |= _verb_phrase(f"{state} verb", subject, number, f"{state} done", adjective=0.3, adverb=0.25)
    rules |= _noun_phrase(f"{state} place", "place", "stop", adjective=0.3)
    rules |= _verb_phrase(f"{state} second", subject, number, "stop")
    # "the dogs near the narrow gate chase a cat .": whatever stands between, the verb is the subject's
    rules |= _noun_phrase(f"{state} near", "place", f"{state} far", adjective=0.3)
    rules |= _verb_phrase(f"{state} far", subject, number, f"{state} far done", adjective=0.3)
    # "the dogs that the girl sees chase a cat .", "the dogs that see the girl chase a cat ."
    rules |= _noun_phrase(f"{state} that they", "being", f"{state} that {{noun}}.{{number}}")
    for other in ("person", "animal"):
        for n in _NUMBERS:
            rules[f"{state} that {other}.{n}"] = [(f"<verb {other} being.{n}>", 1.0, f"{state} far")]
    rules |= _verb_phrase(f"{state} that does", subject, number, f"{state} far")
    return rules


# ------------------------------------------------------------------------------------------- the compiled grammar
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


@functools.cache
def _english() -> Automaton:
    """The embedded grammar's tables, made once."""
    return compile_rules(english_rules(), english_lexicon())


class Grammar:
    """English sentences of a known law.

    Args:
        noise: the share of the salad, in [0, 1). With 0, what is ungrammatical has a log-probability of minus infinity.
        automaton: another grammar, from `compile_rules`, instead of the embedded one.

    Raises:
        ValueError: a ``noise`` outside [0, 1).
    """

    def __init__(self, noise: float = 0.002, automaton: Automaton | None = None) -> None:
        if not 0 <= noise < 1:
            raise ValueError(f"noise must be in [0, 1), not {noise!r}")
        self.noise = noise
        self.automaton = _english() if automaton is None else automaton
        self.vocabulary: Vocabulary = self.automaton.vocabulary
        self.spec = SequenceSpec(len(self.vocabulary), self.automaton.max_length, eos_id=self.vocabulary.eos_id)

    def sample(self, n: int, rng: np.random.Generator) -> Tokens:
        """Draw ``n`` independent sequences, shape ``(n, T)``.

        The first rows of a larger sample are those of a smaller one from the same generator state.

        Raises:
            ValueError: a negative ``n``.
        """
        uniform_BT = rng.random((check_whole_number("n", n, 0), self.spec.max_length + 1))
        is_salad_B1, uniform_BT = uniform_BT[:, :1] < self.noise, uniform_BT[:, 1:]
        return np.where(is_salad_B1, self._salad(uniform_BT), self._sentences(uniform_BT))

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each complete sequence (eq. 13.31), nats, shape ``(B,)``.

        Raises:
            ValueError: a batch that is not of complete sequences.
        """
        tokens_BT = self.spec.validate(tokens_BT, complete=True)
        sentence_B = self._sentence_log_prob(tokens_BT)
        if self.noise == 0:
            return sentence_B
        has_end_B = (tokens_BT == self.vocabulary.eos_id).any(axis=1)
        n_words_B = self.spec.lengths(tokens_BT) - has_end_B
        word = np.log((1 - SALAD_END) / (self.spec.vocab_size - 1))
        salad_B = n_words_B * word + has_end_B * np.log(SALAD_END)
        mixed_B = np.logaddexp(np.log1p(-self.noise) + sentence_B, np.log(self.noise) + salad_B)
        return np.asarray(mixed_B, dtype=np.float64)

    def is_grammatical(self, tokens_BT: Tokens) -> npt.NDArray[np.bool_]:
        """Whether each sequence is a whole sentence of the grammar, shape ``(B,)``.

        Raises:
            ValueError: a batch that is not of sequences.
        """
        return np.isfinite(self._sentence_log_prob(self.spec.validate(tokens_BT)))

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set, independently, shapes ``(n, T)``; see `split_known`.

        The same sentence may stand in both.
        """
        return split_known(self, n_train, n_test, seed)

    def _sentence_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The log-probability under the grammar alone."""
        n_columns = self.spec.vocab_size + 1
        next_state, log_prob = self.automaton.next_state_SP.ravel(), self.automaton.log_prob_SP.ravel()
        state_B = np.zeros(len(tokens_BT), dtype=np.int64)
        log_prob_B = np.zeros(len(tokens_BT))
        for token_B in tokens_BT.T:
            entry_B = state_B * n_columns + token_B
            log_prob_B += log_prob[entry_B]
            state_B = next_state[entry_B]
        return log_prob_B

    def _sentences(self, uniform_BT: npt.NDArray[np.float64]) -> Tokens:
        """Sentences by inverting each state's cumulated probabilities.

        All states are searched as one sorted list, in which state s's probabilities lie in [s, s + 1].
        """
        cumulative_SP = self.automaton.cumulative_SP
        n_states, n_columns = cumulative_SP.shape
        sorted_list = (cumulative_SP + np.arange(n_states)[:, None]).ravel()
        last_S = np.argmax(cumulative_SP >= cumulative_SP[:, -1:], axis=1)  # the last column of positive probability
        tokens_BT = np.empty(uniform_BT.shape, dtype=np.int64)
        state_B = np.zeros(len(uniform_BT), dtype=np.int64)
        for t, uniform_B in enumerate(uniform_BT.T):
            found_B = np.searchsorted(sorted_list, state_B + uniform_B, side="right") - state_B * n_columns
            tokens_BT[:, t] = np.minimum(found_B, last_S[state_B])
            state_B = self.automaton.next_state_SP[state_B, tokens_BT[:, t]]
        return tokens_BT

    def _salad(self, uniform_BT: npt.NDArray[np.float64]) -> Tokens:
        """Any words in any order."""
        n_words = self.spec.vocab_size - 1
        word_BT = ((uniform_BT - SALAD_END) / (1 - SALAD_END) * n_words).astype(np.int64)
        tokens_BT = np.where(uniform_BT < SALAD_END, self.vocabulary.eos_id, 1 + np.minimum(word_BT, n_words - 1))
        has_ended_BT = np.cumsum(tokens_BT == self.vocabulary.eos_id, axis=1) > 0
        tokens_BT[:, 1:][has_ended_BT[:, :-1]] = self.spec.pad_id
        return tokens_BT
