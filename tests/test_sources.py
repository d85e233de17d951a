"""The sources: exact likelihoods against slow forms, samples against likelihoods, splits, and every refusal."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgan_env.sources import Corpus, Grammar, KnownSource, LSTMOracle, Source, build_source, oracle
from seqgan_env.sources.grammar import SALAD_END, compile_rules, english_lexicon, english_rules
from seqgan_env.sources.oracle import parameter_shapes, read_array_pickle
from seqgan_env.tokens import Tokens
from seqgan_env.vocabulary import Vocabulary
from tests.reference import all_sequences
from tests.reference_sources import oracle_log_prob, salad_prob, sentence_prob
from tests.significance import FALSE_ALARM, assert_frequencies, counts_of


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads on cores that others use as well wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.mark.parametrize("make", [tiny_oracle, tiny_grammar, Grammar], ids=["oracle", "tiny-grammar", "grammar"])
class TestKnownSource:
    def test_is_one(self, make: Callable[[], KnownSource]) -> None:
        assert isinstance(make(), KnownSource)

    def test_sample_is_valid_and_decided_by_the_generator(self, make: Callable[[], KnownSource]) -> None:
        source = make()
        rows_BT = source.sample(50, np.random.default_rng(3))
        assert rows_BT.dtype == np.int64
        np.testing.assert_array_equal(source.spec.validate(rows_BT, complete=True), rows_BT)
        np.testing.assert_array_equal(make().sample(50, np.random.default_rng(3)), rows_BT)
        np.testing.assert_array_equal(source.sample(20, np.random.default_rng(3)), rows_BT[:20])
        assert (source.sample(50, np.random.default_rng(4)) != rows_BT).any()
        assert source.sample(0, np.random.default_rng(3)).shape == (0, source.spec.max_length)

    def test_log_prob_of_each_row_is_its_own(self, make: Callable[[], KnownSource]) -> None:
        source = make()
        rows_BT = source.sample(20, np.random.default_rng(0))
        log_prob_B = source.log_prob(rows_BT)
        assert log_prob_B.shape == (20,)
        assert log_prob_B.dtype == np.float64
        np.testing.assert_allclose([source.log_prob(row_T[None])[0] for row_T in rows_BT], log_prob_B, rtol=1e-5)
        assert source.log_prob(rows_BT[:0]).shape == (0,)

    def test_log_prob_needs_complete_sequences(self, make: Callable[[], KnownSource]) -> None:
        source = make()
        with pytest.raises(ValueError, match="tokens must be complete"):
            source.log_prob(np.full((1, source.spec.max_length), source.spec.pad_id))
        with pytest.raises(ValueError, match="tokens must hold ids in"):
            source.log_prob(np.full((1, source.spec.max_length), source.spec.pad_id + 1))

    def test_split_draws_two_independent_sets(self, make: Callable[[], KnownSource]) -> None:
        source = make()
        train_BT, test_BT = source.split(40, 30, seed=7)
        assert train_BT.shape == (40, source.spec.max_length)
        assert test_BT.shape == (30, source.spec.max_length)
        assert (train_BT[:30] != test_BT).any()
        for a, b in zip(make().split(40, 30, seed=7), (train_BT, test_BT), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(source.split(1, 30, seed=7)[1], test_BT)  # neither depends on the other's size
        np.testing.assert_array_equal(source.split(40, 1, seed=7)[0], train_BT)
        assert (source.split(40, 30, seed=8)[0] != train_BT).any()
        assert (source.sample(40, np.random.default_rng(7)) != train_BT).any()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 1, 0), "n_train must be a whole number of at least 1, not 0"),
            ((1, 0.5, 0), "n_test must be a whole number of at least 1, not 0.5"),
            ((1, 1, -1), "seed must be a whole number of at least 0, not -1"),
        ],
    )
    def test_split_refuses(self, make: Callable[[], KnownSource], arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make().split(*arguments)

    def test_sample_refuses_a_negative_number(self, make: Callable[[], KnownSource]) -> None:
        with pytest.raises(ValueError, match="n must be a whole number of at least 0, not -1"):
            make().sample(-1, np.random.default_rng(0))


class TestOracle:
    @pytest.mark.theory
    @pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 4), (7, 2)])
    def test_probabilities_sum_to_one(self, shape: tuple[int, int]) -> None:
        source = tiny_oracle(*shape)
        outcomes_BT = all_sequences(source.spec)
        assert len(outcomes_BT) == shape[0] ** shape[1]
        assert np.exp(source.log_prob(outcomes_BT)).sum() == pytest.approx(1, abs=1e-6)

    @pytest.mark.theory
    @pytest.mark.parametrize("source", [tiny_oracle(5, 6), LSTMOracle(300, 20)], ids=["tiny", "V=300"])
    def test_log_prob_is_that_of_the_recurrence(self, source: LSTMOracle) -> None:
        rows_BT = source.sample(20, np.random.default_rng(0))
        rows_BT[10:] = np.random.default_rng(1).integers(source.spec.vocab_size, size=rows_BT[10:].shape)
        expected_B = [oracle_log_prob(source.parameters, row_T) for row_T in rows_BT.tolist()]
        np.testing.assert_allclose(source.log_prob(rows_BT), expected_B, atol=2e-6 * source.spec.max_length)

    @pytest.mark.parametrize("seed", [0, 1])
    def test_sequences_occur_as_often_as_they_are_likely(self, seed: int) -> None:
        source = tiny_oracle(seed=seed)
        outcomes_BT = all_sequences(source.spec)
        rows_BT = source.sample(20_000, np.random.default_rng(seed))
        assert_frequencies(counts_of(rows_BT, outcomes_BT), np.exp(source.log_prob(outcomes_BT)))

    @pytest.mark.parametrize("vocab_size", [2, 37, 1000])
    def test_tokens_of_every_block_occur_as_often_as_they_are_likely(self, vocab_size: int) -> None:
        source = LSTMOracle(vocab_size, max_length=1)
        outcomes_BT = np.arange(vocab_size)[:, None]
        counts = np.bincount(source.sample(20_000, np.random.default_rng(5))[:, 0], minlength=vocab_size)
        assert_frequencies(counts, np.exp(source.log_prob(outcomes_BT)))

    @pytest.mark.parametrize("vocab_size", [1, 5, 12])
    def test_no_uniform_number_chooses_an_impossible_token(self, vocab_size: int) -> None:
        blocks, block_size = oracle._blocks(vocab_size)
        logits_V = torch.full((blocks * block_size,), -torch.inf)
        possible = sorted({0, vocab_size // 2, max(0, vocab_size - 2)})
        logits_V[possible] = torch.tensor([-80.0, 0.1, 3.0])[: len(possible)]
        uniform_B = torch.tensor([0.0, 5e-324, 1e-9, 0.3, 1 - 2**-24, 1 - 2**-53], dtype=torch.float64)
        chosen_B = oracle._choose(logits_V.repeat(len(uniform_B), 1), uniform_B, vocab_size)
        assert set(chosen_B.tolist()) <= set(possible)
        assert chosen_B[0] == 0
        assert chosen_B[-1] == possible[-1]

    def test_nothing_depends_on_the_size_of_a_chunk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = LSTMOracle(200, 8)
        rows_BT = source.sample(60, np.random.default_rng(0))
        log_prob_B = source.log_prob(rows_BT)
        for size in (1, 7, 60):
            monkeypatch.setattr(oracle, "_CHUNK_ROWS", size)
            np.testing.assert_array_equal(source.sample(60, np.random.default_rng(0)), rows_BT)
            np.testing.assert_allclose(source.log_prob(rows_BT), log_prob_B, atol=2e-5)

    def test_parameters_are_standard_normal_and_made_when_needed(self) -> None:
        source = LSTMOracle(seed=3)
        assert (source.spec.vocab_size, source.spec.max_length, source.spec.eos_id) == (5000, 20, None)
        assert source.vocabulary is None
        assert "parameters" not in vars(source)
        assert [array.shape for array in source.parameters] == parameter_shapes(5000, 32, 32)
        assert {array.dtype for array in source.parameters} == {np.dtype(np.float32)}
        values = np.concatenate([array.ravel() for array in source.parameters])
        assert stats.kstest(values, "norm").pvalue > FALSE_ALARM
        assert not np.array_equal(LSTMOracle(seed=4).parameters[0], source.parameters[0])
        np.testing.assert_array_equal(LSTMOracle(seed=3).parameters[14], source.parameters[14])

    def test_survives_pickling_and_other_defaults_of_torch(self) -> None:
        source = tiny_oracle()
        rows_BT = source.sample(9, np.random.default_rng(0))
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")  # one that would compute nothing
        try:
            np.testing.assert_array_equal(tiny_oracle().sample(9, np.random.default_rng(0)), rows_BT)
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        copy = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(copy.sample(9, np.random.default_rng(0)), rows_BT)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1"),
            ({"max_length": 0}, "max_length must be a whole number of at least 1"),
            ({"embedding_dim": 0}, "embedding_dim must be a whole number of at least 1"),
            ({"hidden_dim": 2.0}, "hidden_dim must be a whole number of at least 1"),
            ({"seed": -1}, "seed must be a whole number of at least 0"),
        ],
    )
    def test_refuses(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            LSTMOracle(**options)


class RunsCode:
    """Unpickles into a folder being made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class TestOracleFile:
    @pytest.mark.parametrize("protocol", [3, 4, 5])
    def test_gives_back_the_oracle_that_was_written(self, protocol: int, tmp_path: Path) -> None:
        source = tiny_oracle(5, 4)
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps(source.parameters, protocol))
        read = LSTMOracle.from_file(path, max_length=4)
        assert (read.spec, read.embedding_dim, read.hidden_dim, read.seed) == (source.spec, 2, 4, None)
        np.testing.assert_array_equal(
            read.sample(10, np.random.default_rng(0)), source.sample(10, np.random.default_rng(0))
        )
        assert LSTMOracle.from_file(path).spec.max_length == 20

    @pytest.mark.parametrize("protocol", [3, 4, 5])
    def test_arrays_of_any_layout(self, protocol: int) -> None:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        layouts = [
            array,
            np.asfortranarray(array),
            array.astype(">f4"),
            array.T,
            array[:, ::2],
            array[:0],
            array[0, 0:1],
        ]
        for read, layout in zip(read_array_pickle(pickle.dumps(layouts, protocol)), layouts, strict=True):
            np.testing.assert_array_equal(read, layout)
            assert read.dtype == np.float32

    def test_the_literature_s_oracle(self, data_dir: Path) -> None:
        source = LSTMOracle.from_file(data_dir / "oracle" / "target_params_py3.pkl")
        assert (source.spec.vocab_size, source.embedding_dim, source.hidden_dim) == (5000, 32, 32)
        nll_nats_per_token = -source.log_prob(source.sample(4000, np.random.default_rng(0))).mean() / 20
        assert (
            5.75 < nll_nats_per_token < 5.77
        )  # a standard error is 0.008; exchanging two gates moves it by 0.04 or more
        uniform_BT = np.random.default_rng(0).integers(5000, size=(1000, 20))  # as an untrained generator nearly is
        assert -source.log_prob(uniform_BT).mean() / 20 == pytest.approx(11.4, abs=0.06)

    def test_runs_nothing(self, tmp_path: Path) -> None:
        made = tmp_path / "made"
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps([*tiny_oracle().parameters[:14], RunsCode(made)]))
        with pytest.raises(ValueError, match=f"^{path}: not an oracle's parameter file: .*asks for '.*' 'mkdir'"):
            LSTMOracle.from_file(path)
        assert not made.exists()

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"text",
            b"\x80\x04N.",
            pickle.dumps({"a": np.zeros(2, np.float32)}),
            pickle.dumps([1.0, 2.0]),
            pickle.dumps([np.zeros(2)]),
            pickle.dumps([np.zeros(2, ">f8")]),
            pickle.dumps([np.array([None, {}], dtype=object)]),
            pickle.dumps([np.zeros(2, [("a", "f4")])]),
            pickle.dumps([np.dtype("f4")]),
            pickle.dumps([np.ndarray]),
            pickle.dumps([np.float32(1)]),
            pickle.dumps([np.zeros(2, np.float32)])[:-9],
            pickle.dumps([np.zeros(3, np.float32)], protocol=2),
            b"\x80\x04]r\xff\xff\xff\x7f.",  # a memo of two thousand million entries
            b"\x80\x04\x82\x01.",  # the extension registry
            b"cnumpy\ndtype\n}b.",  # a changed function
            b"cnumpy\nndarray\n)\x81.",  # an object of a class that is a function here
            b"]cnumpy\nndarray\n)Ra.",  # an array without parts
        ],
    )
    def test_anything_but_arrays_is_refused(self, data: bytes, tmp_path: Path) -> None:
        path = tmp_path / "oracle.pkl"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^{path}: not an oracle's parameter file: ") as caught:
            LSTMOracle.from_file(path)
        assert "\n" not in str(caught.value)

    @settings(max_examples=200)
    @given(data=st.data())
    def test_damage_is_refused_or_harmless(self, data: st.DataObject) -> None:
        damaged = bytearray(pickle.dumps(tiny_oracle().parameters[:3]))
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        try:
            arrays = read_array_pickle(bytes(damaged))
        except ValueError:
            return
        assert all(array.dtype == np.float32 for array in arrays)

    @pytest.mark.parametrize(
        ("i", "array", "message"),
        [
            (0, np.zeros(3, np.float32), "arrays 0 and 1 must be matrices"),
            (1, np.zeros((2, 0), np.float32), "arrays 0 and 1 must be matrices"),
            (2, np.zeros((2, 4), np.float32), r"array 2 must have shape \(4, 4\), got \(2, 4\)"),
            (14, np.zeros(4, np.float32), r"array 14 must have shape \(3,\), got \(4,\)"),
            (14, np.array([0, 1, np.nan], np.float32), "array 14 must be finite"),
            (14, np.array([0, 1, -np.inf], np.float32), "array 14 must be finite"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, i: int, array: Any, message: str, tmp_path: Path) -> None:
        arrays = list(tiny_oracle().parameters)
        arrays[i] = array
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps(arrays))
        with pytest.raises(ValueError, match=message):
            LSTMOracle.from_file(path)

    def test_fourteen_arrays_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps(tiny_oracle().parameters[:14]))
        with pytest.raises(ValueError, match="must hold 15 arrays, got 14"):
            LSTMOracle.from_file(path)

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.pkl", tmp_path):
            with pytest.raises(ValueError, match=f"^{path}: the oracle's parameters cannot be read: "):
                LSTMOracle.from_file(path)


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
        with pytest.raises(ValueError, match=r"noise must be in \[0, 1\), not "):
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


TEXT = "a dog chases a cat.\n\n  \nthe cat sleeps\na dog\nthe dog's cat chases the dog.\na cat\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small corpus of five sequences, the longest of six tokens."""
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


class TestCorpus:
    def test_reads_one_sequence_a_line(self, path: Path) -> None:
        source = Corpus(path)
        assert len(source) == 5
        assert (source.spec.max_length, source.spec.vocab_size, source.spec.eos_id) == (8, len(source.vocabulary), 0)
        assert source.vocabulary == Vocabulary.build(TEXT.split("\n"))
        assert source.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
        assert not isinstance(source, KnownSource)
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        np.testing.assert_array_equal(source.spec.validate(rows_BT, complete=True), rows_BT)
        texts = sorted(line for line in TEXT.split("\n") if line.strip())
        assert sorted(source.vocabulary.decode(row) for row in rows_BT) == texts
        assert source.spec.lengths(rows_BT).max() == 8
        assert ((rows_BT == 0).sum(axis=1) == 1).all()

    def test_reads_characters(self, tmp_path: Path) -> None:
        path = tmp_path / "corpus.txt"
        path.write_bytes("\ufeff\u5357\u964c\uff0c\r\n a \r\n\u5357".encode())
        source = Corpus(path, level="char")
        assert source.vocabulary.tokens[2:] == (" ", "\u5357", "a", "\u964c", "\uff0c")
        rows_BT = np.concatenate(source.split(9, 9, seed=0))
        assert {source.vocabulary.decode(row) for row in rows_BT} == {"\u5357\u964c\uff0c", " a ", "\u5357"}
        assert source.spec.max_length == 4

    @settings(max_examples=50)
    @given(lines=st.lists(st.text("ab ,.<>\u00e9\u2028\x85'"), min_size=2), level=st.sampled_from(["word", "char"]))
    def test_gives_back_every_line(
        self, lines: list[str], level: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
        path.write_text("\n".join(lines), encoding="utf-8", newline="")
        lines = [line for line in lines if line.strip()]
        vocabulary = Vocabulary.build(lines, level)
        expected = [tuple(vocabulary.encode(line)) for line in lines]
        if len(set(expected)) < 2:
            return
        source = Corpus(path, level)
        assert source.vocabulary == vocabulary
        train_BT, test_BT = source.split(10**6, 10**6, seed=0)
        rows = np.concatenate([train_BT, test_BT]).tolist()
        kept = [tuple(row[: row.index(0)]) for row in rows]
        assert not Counter(kept) - Counter(expected)
        if len(kept) < len(expected):  # then the only sequence that is held out stands there more often than it may
            assert len(np.unique(test_BT, axis=0)) == 1
        assert not set(map(tuple, train_BT.tolist())) & set(map(tuple, test_BT.tolist()))

    def test_rare_words_become_unknown(self, path: Path) -> None:
        source = Corpus(path, min_count=2)
        assert set(source.vocabulary.tokens[2:]) == {"a", "the", "dog", "cat", "chases", "."}
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        assert "the <unk> cat chases the dog." in {source.vocabulary.decode(row) for row in rows_BT}

    def test_a_given_vocabulary_is_used_as_it_is(self, path: Path) -> None:
        vocabulary = Vocabulary.build(["the cat barks"])
        source = Corpus(path, vocabulary=vocabulary)
        assert source.vocabulary is vocabulary
        assert source.spec.vocab_size == 5
        rows_BT = np.concatenate(source.split(100, 100, seed=0))
        assert "the cat <unk>" in {vocabulary.decode(row) for row in rows_BT}

    def test_long_lines_are_dropped_where_that_is_asked(self, path: Path) -> None:
        source = Corpus(path, max_length=4, long_lines="drop")
        assert len(source) == 3
        assert source.spec.max_length == 4
        assert set(source.vocabulary.tokens[2:]) == {"the", "cat", "sleeps", "a", "dog"}
        assert Corpus(path, max_length=8).spec == Corpus(path).spec
        assert Corpus(path, max_length=50).spec.max_length == 50

    def test_survives_pickling(self, path: Path) -> None:
        source = Corpus(path)
        copy = pickle.loads(pickle.dumps(source))
        for a, b in zip(copy.split(3, 2, seed=0), source.split(3, 2, seed=0), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"level": "line"}, "^level must be 'word' or 'char', not 'line'"),
            ({"min_count": 0}, "^min_count must be a whole number of at least 1, not 0"),
            ({"max_length": 0}, "^max_length must be a whole number of at least 1, not 0"),
            ({"max_length": "8"}, "^max_length must be a whole number of at least 1, not '8'"),
            ({"long_lines": "cut"}, "^long_lines must be 'error' or 'drop', not 'cut'"),
            ({"vocabulary": Vocabulary.of("a", "char")}, "^level must be 'char', as in the vocabulary"),
            ({"vocabulary": Vocabulary.build(["a"]), "min_count": 2}, "^min_count must be left at 1"),
            (
                {"max_length": 6},
                r"corpus.txt: 2 of 5 lines are longer than max_length = 6 \(end-of-sequence included\), the first is "
                r"line 1 with 7; raise max_length to 8, or drop them with long_lines='drop'$",
            ),
            (
                {"max_length": 2, "long_lines": "drop"},
                "corpus.txt: all 5 lines are longer than max_length = 2 .* up to 8$",
            ),
            ({"min_count": 9}, "corpus.txt: the vocabulary covers nothing of it: every token occurs less than"),
            (
                {"vocabulary": Vocabulary.build(["owl"])},
                "corpus.txt: the vocabulary covers nothing of it: it holds none of the file's tokens",
            ),
            ({"vocabulary": Vocabulary.of(["a", "dog", "cat", "chases", "."])}, "corpus.txt: line 4 has 'the', which"),
        ],
    )
    def test_refuses_arguments(self, options: dict[str, Any], message: str, path: Path) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            Corpus(path, **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "must hold at least one line that is not blank, it is empty"),
            (b"\n \n\t\r\n", "must hold at least one line that is not blank, it is empty"),
            (b"\xef\xbb\xbf", "must hold at least one line that is not blank, it is empty"),
            (b"text\n\0\0", "must be UTF-8 text, got a NUL byte at offset 5"),
            (b"caf\xe9 au lait", "must be UTF-8 text, byte 3 is not: invalid continuation byte"),
        ],
    )
    def test_refuses_files(self, content: bytes, message: str, path: Path) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path}: the corpus {message}$"):
            Corpus(path)

    def test_refuses_what_is_no_file(self, tmp_path: Path) -> None:
        for name in (str(tmp_path), str(tmp_path / "none.txt"), f"{tmp_path}/a\0b"):
            with pytest.raises(ValueError, match="the corpus must be a text file that can be read: "):
                Corpus(name)

    def test_the_real_texts(self, data_dir: Path) -> None:
        captions = Corpus(data_dir / "image_coco_train.txt")
        train_BT, test_BT = captions.split(10**6, 10**6, seed=0)
        assert len(train_BT) + len(test_BT) == len(captions) == 10_000
        poems = Corpus(data_dir / "tang_quatrains_train.txt", level="char")
        assert poems.spec.max_length == 25


class TestCorpusSplit:
    @staticmethod
    def corpus(path: Path, counts: dict[str, int]) -> Corpus:
        path.write_text("\n".join(line for line, n in counts.items() for _ in range(n)))
        return Corpus(path)

    @staticmethod
    def texts(source: Corpus, rows_BT: Tokens) -> Counter[str]:
        return Counter(source.vocabulary.decode(row) for row in rows_BT)

    @pytest.mark.parametrize(
        ("n_train", "n_test", "sizes"),
        [(1000, 1000, (80, 20)), (1000, 7, (93, 7)), (10, 7, (10, 7)), (1, 1, (1, 1)), (1000, 20, (80, 20))],
    )
    def test_holds_out_at_most_a_fifth(self, n_train: int, n_test: int, sizes: tuple[int, int], path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(100)})
        train_BT, test_BT = source.split(n_train, n_test, seed=0)
        assert (len(train_BT), len(test_BT)) == sizes
        assert not self.texts(source, train_BT) & self.texts(source, test_BT)

    def test_keeps_identical_lines_together_and_as_often_as_they_are(self, path: Path) -> None:
        counts = {f"line {i}": 1 + i % 4 for i in range(40)}
        source = self.corpus(path, counts)
        for seed in range(20):
            train_BT, test_BT = source.split(1000, 1000, seed)
            train, test = self.texts(source, train_BT), self.texts(source, test_BT)
            assert not train & test
            assert train + test == Counter(counts)
            assert 0 < len(test_BT) <= 20

    def test_holds_out_a_part_where_every_line_is_too_frequent(self, path: Path) -> None:
        source = self.corpus(path, {"one": 50, "two": 10, "three": 40})
        train_BT, test_BT = source.split(1000, 3, seed=0)
        assert self.texts(source, test_BT) == {"two": 3}
        assert self.texts(source, train_BT) == {"one": 50, "three": 40}

    def test_has_something_on_both_sides(self, path: Path) -> None:
        source = self.corpus(path, {"one": 1, "two": 1})
        train_BT, test_BT = source.split(9, 9, seed=0)
        assert len(train_BT) == len(test_BT) == 1
        for counts in ({"one": 1}, {"one": 3}):
            with pytest.raises(ValueError, match=f"^{path}: a split needs at least 2 distinct sequences, it has 1$"):
                self.corpus(path, counts).split(1, 1, seed=0)

    def test_lines_that_read_the_same_count_as_one(self, path: Path) -> None:
        path.write_text("a dog\na  dog\na owl\na cat")
        with pytest.raises(ValueError, match="at least 2 distinct sequences"):
            Corpus(path, min_count=4).split(1, 1, seed=0)
        train_BT, test_BT = Corpus(path).split(9, 9, seed=0)
        assert {len(train_BT), len(test_BT)} == {3, 1}

    def test_is_shuffled_by_the_seed(self, path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(100)})
        train_BT, test_BT = source.split(80, 20, seed=0)
        for a, b in zip(Corpus(path).split(80, 20, seed=0), (train_BT, test_BT), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(source.split(10, 20, seed=0)[0], train_BT[:10])
        np.testing.assert_array_equal(source.split(10, 20, seed=0)[1], test_BT)
        assert (source.split(80, 20, seed=1)[1] != test_BT).any()
        assert train_BT.tolist() != sorted(train_BT.tolist())

    def test_every_line_is_held_out_as_often_as_any_other(self, path: Path) -> None:
        source = self.corpus(path, {f"line {i}": 1 for i in range(10)})
        held_out: Counter[str] = Counter()
        for seed in range(500):
            held_out += self.texts(source, source.split(9, 9, seed)[1])
        assert stats.chisquare(list(held_out.values())).pvalue > FALSE_ALARM
        assert len(held_out) == 10

    @pytest.mark.parametrize("arguments", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
    def test_refuses(self, arguments: tuple[int, int, int], path: Path) -> None:
        with pytest.raises(ValueError, match="must be a whole number of at least"):
            Corpus(path).split(*arguments)


class TestBuildSource:
    def test_by_name(self) -> None:
        sources: list[Source] = [build_source("oracle"), build_source("grammar"), build_source("grammar", seed=3)]
        assert [type(source) for source in sources] == [LSTMOracle, Grammar, Grammar]
        built = build_source("oracle", vocab_size=50, max_length=5, seed=3)
        assert isinstance(built, LSTMOracle)
        assert (built.spec.vocab_size, built.spec.max_length, built.seed) == (50, 5, 3)

    def test_by_path(self, path: Path, tmp_path: Path) -> None:
        built = build_source(str(path), level="char", max_length=40, min_count=2, long_lines="drop", seed=0)
        assert isinstance(built, Corpus)
        assert (built.vocabulary.level, built.spec.max_length) == ("char", 40)
        vocabulary = Vocabulary.build(["the cat"], "char")
        assert build_source(str(path), vocabulary=vocabulary).vocabulary is vocabulary
        parameters = tmp_path / "oracle.pkl"
        parameters.write_bytes(pickle.dumps(tiny_oracle().parameters))
        assert build_source(str(parameters)).spec.max_length == 20
        assert build_source(str(parameters), max_length=7).spec.max_length == 7

    @pytest.mark.parametrize("name", ["gramar", "Oracle", "", "none.txt", "none.pkl", "a\0b"])
    def test_names_what_is_neither(self, name: str) -> None:
        message = f"source must be 'oracle', 'grammar' or the path of a text file; there is no file {name!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            build_source(name)

    @pytest.mark.parametrize(
        ("source", "option", "value", "takes"),
        [
            ("oracle", "level", "word", "the oracle as a source takes vocab_size, max_length"),
            ("oracle", "min_count", 1, "the oracle as a source takes vocab_size, max_length"),
            ("oracle", "vocabulary", Vocabulary.of("a"), "the oracle as a source takes vocab_size, max_length"),
            ("grammar", "vocab_size", 9, "the grammar as a source takes no options"),
            ("grammar", "max_length", 9, "the grammar as a source takes no options"),
            ("corpus.txt", "vocab_size", 9, "a text file as a source takes max_length, level"),
            ("oracle.pkl", "vocab_size", 9, "an oracle's parameter file as a source takes max_length"),
            ("oracle.pkl", "long_lines", "drop", "an oracle's parameter file as a source takes max_length"),
        ],
    )
    def test_refuses_an_option_without_a_use(
        self, source: str, option: str, value: Any, takes: str, path: Path
    ) -> None:
        (path.parent / "oracle.pkl").write_bytes(pickle.dumps(tiny_oracle().parameters))
        place = source if "." not in source else str(path.parent / source)
        with pytest.raises(ValueError, match=f"{takes}.*; it has no use for {option}$"):
            build_source(place, **{option: value})

    def test_refuses_what_is_no_name(self) -> None:
        with pytest.raises(ValueError, match="source must be 'oracle', 'grammar' or the path of a text file, not None"):
            build_source(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="min_count must be"):
            build_source(__file__, min_count=0)
