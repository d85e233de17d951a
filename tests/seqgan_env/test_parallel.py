"""Parts side by side give what they give one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.monte_carlo import action_values, last_step
from seqgan_env import parallel
from seqgan_env.discriminators import CNNDiscriminator
from seqgan_env.discriminators.cnn import CNNConfig
from seqgan_env.parallel import parallel_map, row_parts
from seqgan_env.sources import LSTMOracle
from seqgan_env.tokens import SequenceSpec
from tests.support.builders import every_kind, make_generator

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """What a function gives with one thread, and with three, each of which has a part of its own."""
    monkeypatch.setattr(parallel, "_LEAST_WORK", 1)
    used: list[int] = []

    def watched(function: Callable[[Any], Any], parts: Any, device: torch.device, what: str = "") -> list[Any]:
        used.append(len(parts))
        return parallel_map(function, parts, device, what)

    for user in ("agents.monte_carlo", "seqgan_env.autoregressive.model", "seqgan_env.discriminators.base"):
        monkeypatch.setattr(f"{user}.parallel_map", watched)

    def call(function: Callable[[], Any]) -> tuple[Any, Any]:
        torch.set_num_threads(1)
        one = function()
        used.clear()
        torch.set_num_threads(3)
        three = function()
        assert max(used) > 1
        return one, three

    return call


class TestMap:
    def test_side_by_side_in_order_each_with_its_share_of_the_threads(self) -> None:
        torch.set_num_threads(7)
        together = threading.Barrier(3, timeout=60)

        def work(part: int) -> tuple[int, int, bool]:
            together.wait()  # breaks unless all three are at it at once
            return part, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

        assert parallel_map(work, [5, 3, 4], CPU) == [(5, 2, False), (3, 2, False), (4, 2, False)]
        assert torch.get_num_threads() == 7
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [7]

    @pytest.mark.parametrize(
        ("n_threads", "n_parts", "device"), [(1, 3, "cpu"), (3, 1, "cpu"), (3, 0, "cpu"), (3, 3, "meta")]
    )
    def test_in_the_caller_where_it_does_not_pay(self, n_threads: int, n_parts: int, device: str) -> None:
        torch.set_num_threads(n_threads)
        found = parallel_map(lambda _: threading.current_thread(), range(n_parts), torch.device(device))
        assert found == [threading.main_thread()] * n_parts

    @pytest.mark.parametrize("records", [True, False])
    def test_gradients_are_recorded_as_with_the_caller(self, records: bool) -> None:
        torch.set_num_threads(2)
        x = torch.ones(3, requires_grad=True)
        with torch.set_grad_enabled(records):
            parts = parallel_map(lambda factor: (x * factor).sum(), [1.0, 2.0], CPU)
        assert [part.requires_grad for part in parts] == [records] * 2
        if records:
            sum(parts).backward()
            assert x.grad is not None
            assert x.grad.tolist() == [3.0] * 3

    def test_inference_mode_is_the_caller_s(self) -> None:
        torch.set_num_threads(2)
        with torch.inference_mode():
            x_B = torch.zeros(4)

            def fill(rows: slice) -> None:
                x_B[rows] += 1  # refused outside inference mode

            parallel_map(fill, [slice(0, 2), slice(2, 4)], CPU)
        assert x_B.tolist() == [1.0] * 4

    def test_an_error_reaches_the_caller_and_parts_that_wait_are_not_begun(self) -> None:
        torch.set_num_threads(2)
        begun = []

        def work(part: int) -> None:
            begun.append(part)
            raise ValueError(f"part {part}")

        with pytest.raises(ValueError, match="part 0"):
            parallel_map(work, range(1000), CPU)
        assert len(begun) < 1000
        assert torch.get_num_threads() == 2


class TestRowParts:
    @given(n_rows=st.integers(0, 100), work=st.floats(0, 1e11), n_threads=st.integers(1, 5))
    def test_they_are_all_rows_in_order_and_nearly_of_the_same_size(
        self, n_rows: int, work: float, n_threads: int
    ) -> None:
        torch.set_num_threads(n_threads)
        parts = row_parts(n_rows, work)
        assert [row for part in parts for row in range(n_rows)[part]] == list(range(n_rows))
        sizes = [part.stop - part.start for part in parts]
        assert all(size == sizes[0] for size in sizes[:-1])
        assert not sizes or 0 < sizes[-1] <= sizes[0]

    def test_little_work_is_one_part_much_is_one_a_thread_and_very_much_is_cut_further(self) -> None:
        torch.set_num_threads(4)
        assert len(row_parts(100, 1.0)) == 1
        assert len(row_parts(100, 1e7)) == 4
        assert len(row_parts(100, 4e9)) == 100
        torch.set_num_threads(1)
        assert len(row_parts(100, 1e7)) == 1


BothWays = Callable[[Callable[[], Any]], tuple[Any, Any]]


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("eos_id", [None, 1])
@pytest.mark.parametrize(("stratified", "exact_last_step"), [(False, False), (True, True)])
def test_an_estimate(
    kind: str, eos_id: int | None, stratified: bool, exact_last_step: bool, both_ways: BothWays
) -> None:
    """Eq. 13.40: every completion is the same one, each prefix's with the same rewards."""
    spec = SequenceSpec(6, 7, eos_id)
    policy = make_generator(kind, spec, 0)
    tokens_BT = policy.sample(10, torch.Generator().manual_seed(0))
    scored = []

    def score(tokens_MT: torch.Tensor) -> torch.Tensor:
        scored.append(tokens_MT.clone())
        return (tokens_MT * torch.arange(1, 8) ** 2).sum(dim=1).double()

    def estimate() -> torch.Tensor:
        return action_values(
            policy,
            tokens_BT,
            score(tokens_BT),
            score,
            n_completions=3,
            rng=torch.Generator().manual_seed(1),
            stratified=stratified,
            last=last_step(policy, tokens_BT, score) if exact_last_step else None,
        )

    one_BT, three_BT = both_ways(estimate)
    half = len(scored) // 2
    for a, b in zip(scored[:half], scored[half:], strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(one_BT, three_BT)


@every_kind
@pytest.mark.parametrize("eos_id", [None, 1])
def test_sampling(kind: str, eos_id: int | None, both_ways: BothWays) -> None:
    policy = make_generator(kind, SequenceSpec(6, 7, eos_id), 0)
    one_BT, three_BT = both_ways(lambda: policy.sample(50, torch.Generator().manual_seed(0), prefix=[2, 3]))
    assert torch.equal(one_BT, three_BT)


@every_kind
def test_likelihoods(kind: str, both_ways: BothWays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqgan_env.autoregressive.model._CHUNK_TOKENS", 7 * 7)
    policy = make_generator(kind, SequenceSpec(6, 7, 1), 0)
    tokens_BT = policy.sample(50, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(*both_ways(lambda: policy.sequence_log_prob(tokens_BT)), rtol=1e-12)


def test_scores(both_ways: BothWays) -> None:
    spec = SequenceSpec(30, 7, 1)
    discriminator = CNNDiscriminator(spec, CNNConfig(8, ((1, 5), (3, 4)))).double()
    tokens_BT = make_generator("lstm", spec, 0).sample(600, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(*both_ways(lambda: discriminator.logits(tokens_BT, batch_size=7)), rtol=1e-12)


def test_the_oracle(both_ways: BothWays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqgan_env.autoregressive.model._CHUNK_TOKENS", 9 * 6)
    oracle = LSTMOracle(40, 6, 4, 4)
    one_BT, three_BT = both_ways(lambda: oracle.sample(50, np.random.default_rng(0)))
    assert (one_BT == three_BT).all()
    np.testing.assert_allclose(*both_ways(lambda: oracle.log_prob(one_BT)), rtol=1e-6)
