"""The conventions of a token batch against a reader that goes from left to right."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env.tokens import SequenceSpec
from tests.support.reference import all_sequences
from tests.support.reference_env import has_ended, tokens_of

FIXED, ENDING = SequenceSpec(3, 4), SequenceSpec(3, 4, eos_id=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "vocab_size must be a whole number of at least 1, got 0"),
        ((-3, 4), "vocab_size must be .* got -3"),
        ((2**24 + 1, 4), "vocab_size must be at most 16777216, got 16777217"),
        ((2.0, 4), "vocab_size must be .* got 2.0"),
        ((True, 4), "vocab_size must be .* got True"),
        (("3", 4), "vocab_size must be .* got '3'"),
        ((3, 0), "max_length must be a whole number of at least 1, got 0"),
        ((3, None), "max_length must be .* got None"),
        ((3, 4, 3), r"eos_id must be a whole number in \[0, 3\), got 3"),
        ((3, 4, -1), "eos_id must be .* got -1"),
        ((3, 4, 1.0), "eos_id must be .* got 1.0"),
        ((3, 4, True), "eos_id must be .* got True"),
        ((3, 4, 1, 7), "vocabulary must be 16 digits of the hash of one, or None; got 7"),
    ],
)
def test_a_spec_refuses(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceSpec(*arguments)


def test_a_spec_is_plain_and_frozen() -> None:
    spec = SequenceSpec(np.int64(3), np.int32(4), np.uint8(1))
    assert spec == ENDING
    plain = {"vocab_size": 3, "max_length": 4, "eos_id": 1, "vocabulary": None}
    assert json.loads(json.dumps(dataclasses.asdict(spec))) == plain
    assert spec.pad_id == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.vocab_size = 5  # type: ignore[misc]


@pytest.mark.parametrize("spec", [FIXED, ENDING])
@given(data=st.data(), complete=st.booleans())
def test_validate_accepts_exactly_what_the_conventions_allow(
    spec: SequenceSpec, data: st.DataObject, complete: bool
) -> None:
    # half of the cells are padding or the end, so that rows which are right are common
    cells = st.one_of(st.integers(-1, spec.vocab_size + 1), st.sampled_from([1, spec.pad_id]))
    width = data.draw(st.integers(0, spec.max_length + 1))
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=3))
    expected = [tokens_of(spec, row) for row in rows]
    is_right = all(tokens is not None and (has_ended(spec, tokens) or not complete) for tokens in expected)
    if not is_right:
        with pytest.raises(ValueError, match=r"^rows must"):
            spec.validate(rows, complete=complete, name="rows")
        return
    batch = spec.validate(rows, complete=complete, name="rows")
    assert batch.dtype == np.int64
    assert batch.shape == (len(rows), spec.max_length)
    for row, tokens in zip(batch.tolist(), expected, strict=True):
        assert tokens is not None
        assert row == tokens + [spec.pad_id] * (spec.max_length - len(tokens))
    assert spec.lengths(batch).tolist() == [len(tokens or []) for tokens in expected]
    assert spec.is_complete(batch).tolist() == [has_ended(spec, tokens or []) for tokens in expected]


@pytest.mark.parametrize("spec", [FIXED, ENDING])
def test_every_sequence_is_complete_and_none_of_its_prefixes_is(spec: SequenceSpec) -> None:
    sequences = spec.validate(all_sequences(spec), complete=True)
    assert spec.is_complete(sequences).all()
    for length in range(spec.max_length):
        prefixes = sequences[spec.lengths(sequences) > length].copy()
        prefixes[:, length:] = spec.pad_id
        assert not spec.is_complete(prefixes).any()
        with pytest.raises(ValueError, match=f"tokens must be complete.*row 0 has {length}"):
            spec.validate(prefixes, complete=True)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0, 1], r"must have shape \(B, T\), got an array of shape \(2,\)"),
        (0, r"must have shape \(B, T\), got an array of shape \(\)"),
        (np.zeros((1, 2, 3), dtype=int), r"must have shape \(B, T\), got an array of shape \(1, 2, 3\)"),
        ([[0.0, 1.0]], "must be whole numbers, got an array of float64"),
        ([[float("nan")]], "must be whole numbers, got an array of float64"),
        ([[True, False]], "must be whole numbers, got an array of bool"),
        ([["a"]], "must be whole numbers, got an array of <U1"),
        ([[None]], "must be whole numbers, got an array of object"),
        (np.array([[2**64 - 1]], dtype=np.uint64), "must hold ids in"),
        ([[10**30]], "must be whole numbers, got an array of object"),
    ],
)
def test_validate_refuses_what_is_no_batch_of_ids(tokens: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FIXED.validate(tokens)


def test_validate_makes_a_copy_and_takes_no_rows() -> None:
    rows = np.array([[0, 1, 2, 0]])
    FIXED.validate(rows)[0, 0] = 2
    assert rows[0, 0] == 0
    assert FIXED.validate(np.zeros((0, 2), dtype=int)).shape == (0, 4)
