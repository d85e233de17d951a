"""Lines that are the same; `test_corpus` and `test_id_file` split the sources that are made of them."""

from __future__ import annotations

import numpy as np

from seqgan_env.sources.finite import same_lines


def test_the_same_lines_get_the_same_number() -> None:
    token_F = np.array([1, 2, 1, 2, 1, 2, 1], dtype=np.int32)
    assert same_lines(token_F, np.array([2, 2, 3])).tolist() == [0, 0, 1]
    assert same_lines(token_F, np.array([3, 1, 3])).tolist() == [0, 1, 0]
