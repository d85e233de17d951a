"""The grammar: its likelihood against its rules, its samples against its likelihood, and what it calls English."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from seqgan_env.sources import Grammar
from seqgan_env.sources.automaton import compile_rules
from seqgan_env.sources.english import english_lexicon, english_rules
from seqgan_env.sources.grammar import SALAD_END
from tests.support.reference import all_sequences
from tests.support.reference_sources import salad_prob, sentence_prob
from tests.support.significance import FALSE_ALARM, assert_frequencies, counts_of
from tests.support.sources import TINY_LEXICON, TINY_RULES, tiny_grammar


class TestGrammar:
    def test_is_of_a_known_size(self) -> None:
        source = Grammar()
        assert (source.spec.vocab_size, source.spec.max_length, source.spec.eos_id) == (152, 17, 0)
        assert source.vocabulary.unk_id is None
        assert len(source.vocabulary) == 152

    @pytest.mark.theory
    @pytest.mark.parametrize("source", [tiny_grammar(0.0), Grammar(0.0)], ids=["tiny", "english"])
    def test_probabilities_of_all_sentences_sum_to_one(self, source: Grammar) -> None:
        """Dynamic programming over lengths: the mass of each state, moved on one token at a time."""
        table = source.automaton
        mass_S: npt.NDArray[np.float64] = np.zeros(len(table.next_state_SP))
        mass_S[0] = 1.0
        for _ in range(source.spec.max_length - 1):
            moved_SP = mass_S[:, None] * np.exp(table.log_prob_SP)
            mass_S = np.bincount(table.next_state_SP.ravel(), moved_SP.ravel(), len(mass_S)).astype(np.float64)
        assert mass_S[-2] < 1  # the longest sentence does fill the horizon
        moved_SP = mass_S[:, None] * np.exp(table.log_prob_SP)
        mass_S = np.bincount(table.next_state_SP.ravel(), moved_SP.ravel(), len(mass_S)).astype(np.float64)
        assert mass_S[-2] == pytest.approx(1, abs=1e-12)
        assert mass_S[-1] == 0

    @pytest.mark.theory
    @pytest.mark.parametrize("noise", [1e-3, 0.5])
    def test_probabilities_of_all_sequences_sum_to_one(self, noise: float) -> None:
        source = tiny_grammar(noise)
        assert (source.spec.vocab_size, source.spec.max_length) == (6, 5)
        outcomes_BT = all_sequences(source.spec)
        log_prob_B = source.log_prob(outcomes_BT)
        assert np.isfinite(log_prob_B).all()
        assert np.exp(log_prob_B).sum() == pytest.approx(1, abs=1e-12)

    def test_without_noise_all_tokens_after_an_impossible_one_are_impossible(self) -> None:
        source = tiny_grammar(0.0)
        outcomes_BT = all_sequences(source.spec)
        term_BT, log_prob_B = source.token_log_prob(outcomes_BT), source.log_prob(outcomes_BT)
        assert not np.isnan(term_BT).any()
        possible_B = np.isfinite(log_prob_B)
        np.testing.assert_allclose(term_BT[possible_B].sum(axis=1), log_prob_B[possible_B], atol=1e-12)
        assert (term_BT[~possible_B].sum(axis=1) == -np.inf).all()

    @pytest.mark.theory
    def test_log_prob_is_that_of_the_rules(self) -> None:
        source = tiny_grammar(0.2)
        outcomes_BT = all_sequences(source.spec)
        words = source.vocabulary.tokens
        sentences = [[words[i] for i in row if 0 < i < len(words)] for row in outcomes_BT.tolist()]
        ended_B = source.spec.lengths(outcomes_BT) > [len(sentence) for sentence in sentences]
        sentence_B = np.array([sentence_prob(TINY_RULES, TINY_LEXICON, s) for s in sentences]) * ended_B
        salad_B = [salad_prob(source.spec, row, SALAD_END) for row in outcomes_BT.tolist()]
        expected_B = 0.8 * sentence_B + 0.2 * np.array(salad_B)
        np.testing.assert_allclose(np.exp(source.log_prob(outcomes_BT)), expected_B, rtol=1e-12)
        np.testing.assert_array_equal(source.is_grammatical(outcomes_BT), sentence_B > 0)

    def test_log_prob_of_english_is_that_of_its_rules(self) -> None:
        source = Grammar(0.0)
        rules, lexicon = english_rules(), english_lexicon()
        rows_BT = source.sample(200, np.random.default_rng(0))
        texts = [[source.vocabulary.tokens[i] for i in row if 0 < i < 152] for row in rows_BT.tolist()]
        expected_B = [sentence_prob(rules, lexicon, text) for text in texts]
        np.testing.assert_allclose(source.log_prob(rows_BT), np.log(expected_B), rtol=1e-10)

    def test_sequences_occur_as_often_as_they_are_likely(self) -> None:
        source = tiny_grammar(0.2)
        outcomes_BT = all_sequences(source.spec)
        rows_BT = source.sample(50_000, np.random.default_rng(0))
        assert_frequencies(counts_of(rows_BT, outcomes_BT), np.exp(source.log_prob(outcomes_BT)))

    def test_first_words_of_english_occur_as_often_as_they_are_likely(self) -> None:
        source = Grammar(0.0)
        first_B = source.sample(50_000, np.random.default_rng(0))[:, 0]
        probabilities_V = np.exp(source.automaton.log_prob_SP[0, :152])
        counts_V = np.bincount(first_B, minlength=152)
        assert (counts_V[probabilities_V == 0] == 0).all()
        assert_frequencies(counts_V[probabilities_V > 0], probabilities_V[probabilities_V > 0])

    @pytest.mark.parametrize("noise", [0.0, 0.002, 0.3])
    def test_the_share_of_the_salad_is_the_noise(self, noise: float) -> None:
        source = Grammar(noise)
        rows_BT = source.sample(20_000, np.random.default_rng(0))
        n_ungrammatical = int(
            (~source.is_grammatical(rows_BT)).sum()
        )  # no salad of this sample is a sentence by chance
        assert stats.binomtest(n_ungrammatical, len(rows_BT), noise).pvalue > FALSE_ALARM

    @pytest.mark.parametrize(
        "text",
        [
            "the dogs near a narrow gate chase a cat.",
            "the dog near these narrow gates chases a cat.",
            "a bird that the farmers see sings.",
            "the farmer that sees a bird reads every book and sleeps.",
            "the dog and the cat sleep.",
            "does a child read the sad story?",
            "do these children read the sad story?",
            "who drives my red car near the river?",
            "two girls never sleep quietly.",
        ],
    )
    def test_sentences_of_english(self, text: str) -> None:
        assert self.is_grammatical(text)

    @pytest.mark.parametrize(
        "text",
        [
            "the dogs near a narrow gate chases a cat.",  # the verb is the subject's, not the nearest noun's
            "the dog near these narrow gates chase a cat.",
            "a bird that the farmers sees sings.",
            "a bird that the farmers see sing.",
            "the farmer that sees a bird reads every book and sleep.",
            "the dog and the cat sleeps.",
            "does a child reads the sad story?",
            "do this child read the sad story?",
            "does a child read the sad story.",
            "a dogs sleep.",
            "the child reads the cake.",  # an object that does not suit the verb
            "the dog reads the book.",  # nor a subject
            "the sad dog sleeps.",
            "the dog sleeps",  # no end
            "dog the sleeps.",
            "",
        ],
    )
    def test_what_is_no_english(self, text: str) -> None:
        assert not self.is_grammatical(text)

    @staticmethod
    def is_grammatical(text: str) -> bool:
        source = Grammar()
        ids = [*source.vocabulary.encode(text), source.spec.eos_id]
        has_positive_prob = bool(np.isfinite(Grammar(0.0).log_prob([ids])[0]))  # type: ignore[arg-type]
        found = bool(source.is_grammatical(np.array([ids]))[0])
        assert found == has_positive_prob
        return found

    def test_a_part_of_a_sentence_is_not_grammatical(self) -> None:
        source = Grammar()
        ids = source.vocabulary.encode("the dog sleeps.")
        assert not source.is_grammatical(np.array([ids]))[0]
        assert source.is_grammatical(np.array([[*ids, 0]]))[0]

    def test_without_noise_no_other_sequence_is_possible(self) -> None:
        assert Grammar(0.0).log_prob(np.zeros((1, 1), np.int64))[0] == -math.inf
        assert Grammar(0.1).log_prob(np.zeros((1, 1), np.int64))[0] == pytest.approx(math.log(0.1 * SALAD_END))

    @pytest.mark.parametrize("noise", [-0.1, 1.0, math.nan])
    def test_refuses_a_noise_that_is_no_share(self, noise: float) -> None:
        with pytest.raises(ValueError, match=r"noise must be a finite number in \[0, 1\), got "):
            Grammar(noise)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"object": [("<drink>", 1.0, "done")]}, "must be in the lexicon, '<drink>' is not"),
            ({"object": [("<food>", 1.0, "gone")]}, "must have rules, 'gone' has none"),
            ({"object": [("<food>", 0.9, "done")]}, "sum to 1, those of 'object' do not"),
            ({"object": [("<food>", math.nan, "done")]}, "sum to 1, those of 'object' do not"),
            ({"object": []}, "sum to 1, those of 'object' do not"),
            ({"object": [("fish", 0.0, "done"), ("", 1.0, "done")]}, "'fish' leads from 'object' to two"),
            ({"object": [("run", 0.0, "done"), ("eat", 1.0, "done")]}, "must be above 0"),
            ({"object": [("<food>", 0.5, "done"), ("fish", 0.5, "end")]}, "'fish' leads from 'object' to two"),
            ({"object": [("<food>", 1.0, "verb")]}, "must not loop, start -> verb -> object -> verb does"),
            ({"start": [("", 1.0, "end")]}, "must have at least one word, it has none"),
            ({"object": [("", 1.0, "object")]}, "must not loop, start -> verb -> object -> object does"),
        ],
    )
    def test_refuses_rules_that_are_no_grammar(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            compile_rules(TINY_RULES | changes, TINY_LEXICON)
