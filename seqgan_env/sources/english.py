"""The embedded grammar of English: its words, and what may follow what.

There is something to learn that reaches over several words: a verb agrees in number with its subject across a phrase or
a clause with a noun of its own ("the dogs near the narrow gate chase a cat"), it takes an object that suits it (cakes
are eaten, buses driven), and people do other things than animals.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from seqgan_env.sources.automaton import END, START, Automaton, compile_rules

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


@functools.cache
def english() -> Automaton:
    """The embedded grammar's tables, made once."""
    return compile_rules(english_rules(), english_lexicon())
