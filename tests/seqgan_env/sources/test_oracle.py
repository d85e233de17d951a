"""The oracle: its likelihood against the recurrence, its samples against its likelihood, and its file."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from seqgan_env.autoregressive import model, softmax
from seqgan_env.sources import FactoredSource, Grammar, KnownSource, LSTMOracle
from seqgan_env.sources.oracle import parameter_shapes
from tests.support.hostile import Call
from tests.support.reference import all_sequences
from tests.support.reference_sources import oracle_log_prob
from tests.support.significance import FALSE_ALARM, assert_frequencies, counts_of
from tests.support.sources import tiny_grammar, tiny_oracle


@pytest.mark.parametrize("make", [tiny_oracle, tiny_grammar, Grammar], ids=["oracle", "tiny-grammar", "grammar"])
class TestKnownSource:
    def test_is_one(self, make: Callable[[], KnownSource]) -> None:
        assert isinstance(make(), FactoredSource)
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

    def test_log_prob_is_the_sum_of_those_of_the_tokens(self, make: Callable[[], FactoredSource]) -> None:
        source = make()
        rng = np.random.default_rng(0)
        rows_BT = source.sample(30, rng)
        shuffled_BT = rows_BT.copy()
        shuffled_BT[:, 0] = rng.permutation(shuffled_BT[:, 0])  # some that are unlikely
        rows_BT = source.spec.validate(np.concatenate([rows_BT, shuffled_BT]))
        term_BT = source.token_log_prob(rows_BT)
        np.testing.assert_allclose(term_BT.sum(axis=1), source.log_prob(rows_BT), rtol=1e-6)
        assert (term_BT[~source.spec.is_token(rows_BT)] == 0).all()
        beginning_BT = rows_BT.copy()  # a term knows nothing of what comes after it
        beginning_BT[:, 2:] = source.spec.pad_id
        np.testing.assert_allclose(source.token_log_prob(beginning_BT)[:, :2], term_BT[:, :2], rtol=1e-6)

    def test_the_next_token_has_a_distribution(self, make: Callable[[], FactoredSource]) -> None:
        source = make()
        row_T = source.sample(1, np.random.default_rng(1))[0]
        n, size = int(source.spec.lengths(row_T)), source.spec.vocab_size
        for t in range(n):
            next_VT = np.tile(np.where(np.arange(len(row_T)) < t, row_T, source.spec.pad_id), (size, 1))
            next_VT[:, t] = np.arange(size)
            next_V = source.token_log_prob(next_VT)[:, t]
            assert np.exp(next_V).sum() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(source.all_token_log_prob(row_T[None])[0, t], next_V, rtol=1e-5)
        assert (source.all_token_log_prob(row_T[None])[0, n:] == 0).all()

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
            ((0, 1, 0), "n_train must be a whole number of at least 1, got 0"),
            ((1, 0.5, 0), "n_test must be a whole number of at least 1, got 0.5"),
            ((1, 1, -1), "seed must be a whole number of at least 0, got -1"),
        ],
    )
    def test_split_refuses(self, make: Callable[[], KnownSource], arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make().split(*arguments)

    def test_sample_refuses_a_negative_number(self, make: Callable[[], KnownSource]) -> None:
        with pytest.raises(ValueError, match="n must be a whole number of at least 0, got -1"):
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

    @pytest.mark.parametrize("vocab_size", [1, 5, 12, 70])
    def test_no_uniform_number_chooses_an_impossible_token(self, vocab_size: int) -> None:
        source = LSTMOracle(vocab_size, max_length=1)
        possible = sorted({0, vocab_size // 2, max(0, vocab_size - 2)})
        source.parameters[13][...] = 0
        source.parameters[14][...] = -np.inf
        source.parameters[14][possible] = [-80.0, 0.1, 3.0][: len(possible)]
        uniform_BT = torch.tensor([[0.0], [5e-324], [1e-9], [0.3], [1 - 2**-24], [1 - 2**-53]], dtype=torch.float64)
        chosen_B = source.model.sample(len(uniform_BT), uniform_BT=uniform_BT)[:, 0]
        assert set(chosen_B.tolist()) <= set(possible)
        assert chosen_B[0] == 0
        assert chosen_B[-1] == possible[-1]

    def test_nothing_depends_on_the_size_of_a_chunk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = LSTMOracle(200, 8)
        rows_BT = source.sample(60, np.random.default_rng(0))
        log_prob_B = source.log_prob(rows_BT)
        for size in (1, 7, 60):
            monkeypatch.setitem(softmax._CHUNK_ELEMENTS, "cpu", size * 256)  # 200 tokens take four blocks of 64
            monkeypatch.setattr(model, "_CHUNK_TOKENS", size * 8)
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
    def test_sizes_below_one_and_a_negative_seed_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            LSTMOracle(**options)


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
        path.write_bytes(pickle.dumps([*tiny_oracle().parameters[:14], Call(os.mkdir, str(made))]))
        with pytest.raises(ValueError, match=f"^{path} is not a readable oracle.*: .*asks for '.*' 'mkdir'"):
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
            b"\x80\x04cnumpy\ndtype\n}b.",  # a changed function
            b"\x80\x04cnumpy\nndarray\n)\x81.",  # an object of a class that is a function here
            b"\x80\x04]cnumpy\nndarray\n)Ra.",  # an array without parts
        ],
    )
    def test_anything_but_arrays_is_refused(self, data: bytes, tmp_path: Path) -> None:
        path = tmp_path / "oracle.pkl"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^{path} is not a readable oracle's parameter file: ") as caught:
            LSTMOracle.from_file(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("protocol", "says"), [(0, "0 or 1"), (1, "0 or 1"), (2, "2")])
    def test_a_pickle_of_python_2_is_called_one(self, protocol: int, says: str, tmp_path: Path) -> None:
        path = tmp_path / "oracle.pkl"
        path.write_bytes(pickle.dumps(tiny_oracle().parameters, protocol=protocol))
        with pytest.raises(ValueError, match=rf"^{path} .*protocol 3 or above.* of {says}, as Python 2 wrote$"):
            LSTMOracle.from_file(path)

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
            with pytest.raises(ValueError, match=f"^{path} is not a readable oracle's parameter file: "):
                LSTMOracle.from_file(path)
