"""Small sources, and the text of a small corpus."""

from __future__ import annotations

from seqgan_env.sources import Grammar, LSTMOracle
from seqgan_env.sources.automaton import compile_rules


def tiny_oracle(vocab_size: int = 3, max_length: int = 3, seed: int = 0) -> LSTMOracle:
    return LSTMOracle(vocab_size, max_length, embedding_dim=2, hidden_dim=4, seed=seed)


def tiny_grammar(noise: float = 0.2) -> Grammar:
    return Grammar(noise, compile_rules(TINY_RULES, TINY_LEXICON))


TINY_LEXICON = {"<verb>": {"run": 1.0, "eat": 3.0}, "<food>": {"fish": 1.0}}
TINY_RULES = {
    "start": [("we", 0.5, "verb"), ("", 0.5, "verb")],
    "verb": [("<verb>", 0.75, "done"), ("buy", 0.25, "object")],
    "object": [("<food>", 1.0, "done")],
    "done": [("", 0.9, "end"), ("fish", 0.1, "end")],
}
TEXT = "a dog chases a cat.\n\n  \nthe cat sleeps\na dog\nthe dog's cat chases the dog.\na cat\n"
