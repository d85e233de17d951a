"""A small grammar of English as a source: real-looking text whose exact likelihood is known.

So that every sequence has a finite log-probability, and every Kullback-Leibler divergence is finite, a sentence is
drawn with a small probability from the *salad*, which takes any words in any order:
``p(Y) = (1 - noise) p_grammar(Y) + noise p_salad(Y)``.

Suffixes: B batch, T time, V vocabulary, S states, P the vocabulary and the padding id (V + 1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, ShareBelowOne, check_arguments
from seqgan_env.sources.automaton import Automaton
from seqgan_env.sources.base import split_known
from seqgan_env.sources.english import english
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary

SALAD_END = 0.1
"""The salad's probability, at each step, of ending the sequence; the other tokens share the rest equally."""


class Grammar:
    """English sentences of a known distribution.

    Args:
        noise: the share of the salad, in [0, 1). With 0, what is ungrammatical has a log-probability of minus infinity.
        automaton: another grammar, from `automaton.compile_rules`, instead of the embedded one.

    Raises:
        ValueError: a ``noise`` outside [0, 1).
    """

    @check_arguments
    def __init__(self, noise: ShareBelowOne = 0.002, automaton: Automaton | None = None) -> None:
        self.noise = noise
        self.automaton = english() if automaton is None else automaton
        self.vocabulary: Vocabulary = self.automaton.vocabulary
        self.spec = self.vocabulary.spec(self.automaton.max_length)

    @check_arguments
    def sample(self, n: NonNegativeInt, rng: np.random.Generator) -> Tokens:
        """Draw ``n`` independent sequences, shape ``(n, T)``.

        The first rows of a larger sample are those of a smaller one from the same generator state.

        Raises:
            ValueError: a negative ``n``.
        """
        uniform_BT = rng.random((n, self.spec.max_length + 1))
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

    def token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The exact log-probability of each token given those before it, nats, shape ``(B, T)``; 0 at padding.

        It is the ratio of the probabilities of two beginnings, each that of a sentence's or of a salad's. Without
        noise a token that makes a sentence impossible has minus infinity, and so has every token after it.

        Raises:
            ValueError: a batch that is not of sequences.
        """
        tokens_BT = self.spec.validate(tokens_BT)
        return self._log_prob_of(tokens_BT, tokens_BT[:, :, None])[:, :, 0]

    def all_token_log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The same of every token that might stand in each place, shape ``(B, T, V)``; 0 at padding.

        Raises:
            ValueError: a batch that is not of sequences.
        """
        return self._log_prob_of(self.spec.validate(tokens_BT), np.arange(self.spec.vocab_size)[None, None])

    def _log_prob_of(self, tokens_BT: Tokens, token_BTN: Tokens) -> npt.NDArray[np.float64]:
        """The log-probability of N tokens in each place of sequences, shape ``(B, T, N)``; 0 at padding."""
        salad_P = np.full(self.spec.vocab_size + 1, np.log((1 - SALAD_END) / (self.spec.vocab_size - 1)))
        salad_P[self.vocabulary.eos_id], salad_P[self.spec.pad_id] = np.log(SALAD_END), 0.0
        with np.errstate(divide="ignore"):
            noise = np.log(self.noise)
        is_token_BT, log_prob_SP = self.spec.is_token(tokens_BT), self.automaton.log_prob_SP
        sentence_BT1, salad_BT1 = (
            np.pad(np.where(is_token_BT, term_BT, 0.0).cumsum(axis=1), ((0, 0), (1, 0)))[:, :-1, None]
            for term_BT in (self._sentence_terms(tokens_BT), salad_P[tokens_BT])
        )
        sentence_BT1, salad_BT1 = np.log1p(-self.noise) + sentence_BT1, noise + salad_BT1
        before_BT1 = np.logaddexp(sentence_BT1, salad_BT1)
        state_BT1 = self._states(tokens_BT)[:, :, None]
        begun_BTN = np.logaddexp(sentence_BT1 + log_prob_SP[state_BT1, token_BTN], salad_BT1 + salad_P[token_BTN])
        possible_BT1 = np.isfinite(before_BT1)
        term_BTN = np.where(possible_BT1, begun_BTN - np.where(possible_BT1, before_BT1, 0.0), -np.inf)
        return np.where(is_token_BT[:, :, None], term_BTN, 0.0)

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
        log_prob_B: npt.NDArray[np.float64] = self._sentence_terms(tokens_BT).sum(axis=1)
        return log_prob_B

    def _sentence_terms(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The log-probability of each token under the grammar alone; minus infinity for padding before the end."""
        terms_BT: npt.NDArray[np.float64] = self.automaton.log_prob_SP[self._states(tokens_BT), tokens_BT]
        return terms_BT

    def _states(self, tokens_BT: Tokens) -> npt.NDArray[np.int64]:
        """The state of the grammar before each token."""
        state_BT = np.zeros(tokens_BT.shape, dtype=np.int64)
        for t in range(tokens_BT.shape[1] - 1):
            state_BT[:, t + 1] = self.automaton.next_state_SP[state_BT[:, t], tokens_BT[:, t]]
        return state_BT

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
