"""Byte-pair encoding (Sennrich et al., arXiv 1508.07909): words in pieces, each of which occurs often.

A word begins as its characters. A merge joins two pieces wherever they stand side by side, the first one that was
learnt before the others. Learning takes the library ``tokenizers``; whoever has the merges needs none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from seqgan_env.tokenizing import UNK_CHAR

Merge = tuple[str, str]

_LEAST_COUNT = 2  # of a pair that is joined: one that stands there once teaches nothing of others


def learn_merges(counts: Mapping[str, int], min_count: int, vocab_size: int) -> tuple[list[str], list[Merge]]:
    """The characters of a text, by falling count, and the merges of its most frequent pairs, one after the other.

    Args:
        counts: how often each word of the text occurs.
        min_count: how often a character must; others are unknown, and no merge has one.
        vocab_size: the most tokens that there may be: these characters, the results of the merges, and two more, the
            end and the unknown one.

    Raises:
        ValueError: there are more characters, or the library is not installed.
    """
    count_of: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            count_of[character] += count
    known = {c for c, count in count_of.items() if count >= min_count and c != UNK_CHAR}
    if len(known) + 2 > vocab_size:
        raise ValueError(
            f"vocab_size must be at least {len(known) + 2}, one for each character and two more, got {vocab_size}; "
            "min_count leaves out rare characters"
        )
    try:
        from tokenizers import Tokenizer, models, trainers
    except ImportError as error:
        raise ValueError(
            "level='bpe' learns its merges with tokenizers, which is not installed: pip install 'seqgan-env[bpe]'"
        ) from error
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 2, min_frequency=_LEAST_COUNT, show_progress=False)
    parts = (
        [part] * count
        for word, count in counts.items()
        for part in "".join(c if c in known else UNK_CHAR for c in word).split(UNK_CHAR)
    )
    learner.train_from_iterator(parts, trainer)
    merges = [(first, second) for first, second in json.loads(learner.to_str())["model"]["merges"]]
    return sorted(known, key=lambda c: (-count_of[c], c)), merges


def merged(word: str, rank: Mapping[Merge, int]) -> list[str]:
    """The pieces that a word consists of.

    Args:
        word: any text.
        rank: the place of each merge among all.
    """
    pieces = list(word)
    while (pair := min(pairwise(pieces), key=lambda pair: rank.get(pair, len(rank)), default=None)) in rank:
        joined: list[str] = []
        for piece in pieces:
            if joined and (joined[-1], piece) == pair:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined
    return pieces
