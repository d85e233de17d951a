"""Byte-pair encoding is what its definition says, in its literal form."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env.merges import Merge, learn_merges, merged

COUNTS = {" low": 5, " lower": 2, " newest": 6, " widest": 3, "aaaa": 4, " caf\u00e9": 1, "x\ufffdx": 3, "\ufffd": 9}


def join(pieces: Sequence[str], merge: Merge) -> list[str]:
    """Every pair that is the merge, from the left, becomes one piece."""
    if len(pieces) < 2:
        return list(pieces)
    if tuple(pieces[:2]) == merge:
        return [pieces[0] + pieces[1], *join(pieces[2:], merge)]
    return [pieces[0], *join(pieces[1:], merge)]


def by_definition(word: str, merges: Sequence[Merge]) -> list[str]:
    """Each merge after the other."""
    pieces = list(word)
    for merge in merges:
        pieces = join(pieces, merge)
    return pieces


@st.composite
def some_merges(draw: st.DrawFn) -> list[Merge]:
    """Merges of two letters and of what earlier ones joined, none of which joins the same again."""
    pieces, merges = ["a", "b"], []
    for _ in range(draw(st.integers(0, 8))):
        merge = draw(st.sampled_from(pieces)), draw(st.sampled_from(pieces))
        if "".join(merge) not in pieces:
            merges.append(merge)
            pieces.append("".join(merge))
    return merges


@pytest.mark.theory
@given(word=st.text("abc", max_size=24), merges=some_merges())
def test_the_pieces_of_a_word_are_those_of_each_merge_after_the_other(word: str, merges: list[Merge]) -> None:
    rank = {merge: i for i, merge in enumerate(merges)}
    assert merged(word, rank) == by_definition(word, merges)


class TestLearning:
    @pytest.fixture(autouse=True)
    def tokenizers(self) -> None:
        pytest.importorskip("tokenizers")

    @pytest.mark.theory
    @pytest.mark.parametrize(("min_count", "vocab_size"), [(1, 25), (1, 1000), (2, 22)])
    def test_each_merge_is_the_most_frequent_pair_that_is_left(self, min_count: int, vocab_size: int) -> None:
        characters, merges = learn_merges(COUNTS, min_count, vocab_size)
        n = Counter(c for word, count in COUNTS.items() for c in word * count)
        assert characters == sorted((c for c in n if n[c] >= min_count and c != "\ufffd"), key=lambda c: (-n[c], c))
        for i in range(len(merges) + 1):
            pairs: Counter[Merge] = Counter()
            for word, count in COUNTS.items():
                for pair in pairwise(by_definition(word, merges[:i])):
                    pairs[pair] += count if set("".join(pair)) <= set(characters) else 0
            if i < len(merges):
                assert pairs[merges[i]] == max(pairs.values()) >= 2
        n_tokens = 2 + len(characters) + len({"".join(merge) for merge in merges})
        assert n_tokens == vocab_size or (n_tokens < vocab_size and max(pairs.values()) < 2)

    def test_the_order_of_the_words_does_not_matter(self) -> None:
        other = dict(reversed([*COUNTS.items()]))
        assert learn_merges(other, 1, 30) == learn_merges(COUNTS, 1, 30)


def test_room_for_fewer_than_the_characters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^vocab_size must be at least 5, one for .*, got 4; min_count leaves out"):
        learn_merges({"abc": 1}, 1, 4)


def test_without_the_library_learning_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'seqgan-env\[bpe\]'$") as caught:
        learn_merges({"abc": 1}, 1, 9)
    assert "\n" not in str(caught.value)
