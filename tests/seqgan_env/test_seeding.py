"""The keyed random generators."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from seqgan_env.seeding import derived_seed, numpy_rng, torch_rng


def test_seeds_differ_by_every_part_of_the_key_and_by_nothing_else() -> None:
    parts: list[str | int] = ["", "a", "b", "ab", "1", 0, 1, 12]
    keys = [key for n in range(3) for key in itertools.product(parts, repeat=n)]
    seeds = {derived_seed(seed, *key) for seed in (0, 1) for key in keys}
    assert len(seeds) == 2 * len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(7, "update", 3) == derived_seed(np.int64(7), "update", np.int64(3))


def test_generators_follow_the_key_and_leave_the_global_state() -> None:
    torch_before, numpy_before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002 - it is left alone
    draws = [torch.rand(4, generator=torch_rng(0, "x", i)) for i in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert numpy_rng(0, "x", 1).random() == numpy_rng(0, "x", 1).random()
    assert numpy_rng(0, "x", 1).random() != numpy_rng(1, "x", 1).random()
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert str(np.random.get_state()) == numpy_before  # noqa: NPY002
