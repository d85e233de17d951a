"""The reader of pickled arrays: what it gives back, and that damage is refused or harmless."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_env.sources.array_pickle import read_array_pickle
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
