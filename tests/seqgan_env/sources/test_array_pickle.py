"""The reader of pickled arrays: what it gives back, and that damage is refused or harmless."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_env.sources import array_pickle
from seqgan_env.sources.array_pickle import read_array_pickle
from tests.support.hostile import Call
from tests.support.sources import tiny_oracle


class TestArrayPickle:
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

    def test_many_references_to_one_array_are_refused_before_the_first_copy(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        array = np.zeros(1 << 18, np.float32)
        monkeypatch.setattr(array_pickle._Array, "to_numpy", lambda _: pytest.fail("copied"))
        with pytest.raises(ValueError, match="its 100000 arrays hold 104857600000 bytes, more than the file's 1"):
            read_array_pickle(pickle.dumps([array] * 100_000))
        monkeypatch.undo()
        assert len(read_array_pickle(pickle.dumps([array, array[:5]]))) == 2

    @pytest.mark.parametrize("value", [{}, {1: 2}, set(), frozenset(), 1.5, object(), [{}], (1, {2})])
    def test_an_instruction_that_arrays_do_not_need_is_refused(self, value: Any) -> None:
        with pytest.raises(
            ValueError, match=r"nothing else: it uses (EMPTY_DICT|EMPTY_SET|FROZENSET|BINFLOAT|NEWOBJ|MARK)"
        ):
            read_array_pickle(pickle.dumps([value]))

    def test_a_dtype_whose_repr_has_no_end_is_cut_short(self) -> None:
        """Thirty lists in each other, each named twice by the one around it: a repr of a thousand million brackets."""
        nested: list[Any] = []
        for _ in range(30):
            nested = [nested, nested]
        data = pickle.dumps([Call(np.ndarray, b"", Call(np.dtype, nested), (0,), "C")])
        with pytest.raises(ValueError, match=r"each array in it must be float32, got '=' \[\[") as caught:
            read_array_pickle(data)
        assert len(str(caught.value)) < 500

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
