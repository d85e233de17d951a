"""The average of a network's weights, against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqgan_env.averaging import WeightAverage


def learned(average: WeightAverage, network: nn.Linear, n: int, seed: int = 0) -> list[Tensor]:
    """The weights after each of some updates."""
    rng, seen = torch.Generator().manual_seed(seed), []
    with average.having(learning=True), torch.no_grad():
        for _ in range(n):
            network.weight.add_(torch.randn(network.weight.shape, generator=rng))
            average.take()
            seen.append(network.weight.clone())
    return seen


@pytest.mark.theory
def test_it_is_the_mean_weighted_by_powers_of_the_decay_and_what_learns_goes_on() -> None:
    network = nn.Linear(2, 3).double()
    average, seen = WeightAverage(network, 0.7), []
    for part in range(3):
        seen += learned(average, network, 2, part)
        total = sum(0.7 ** (len(seen) - 1 - i) * weight for i, weight in enumerate(seen))
        expected = total / sum(0.7**i for i in range(len(seen)))
        torch.testing.assert_close(network.weight.detach(), expected, rtol=0, atol=1e-12)
        with average.having(learning=True):
            assert torch.equal(network.weight, seen[-1])


def test_blocks_nest_and_a_failure_leaves_the_network_as_it_was() -> None:
    network = nn.Linear(2, 3)
    average = WeightAverage(network, 0.7)
    newest, mean = learned(average, network, 3)[-1], network.weight.detach().clone()

    def fail() -> None:
        with average.having(learning=True):
            for learning, expected in ((True, newest), (False, mean)):
                with average.having(learning=learning):
                    assert torch.equal(network.weight, expected)
                assert torch.equal(network.weight, newest)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(network.weight, mean)


@pytest.mark.parametrize("while_learning", [False, True])
def test_a_state_goes_on_as_if_nothing_had_happened(while_learning: bool) -> None:
    networks = [nn.Linear(2, 3) for _ in range(2)]
    through, resumed = (WeightAverage(network, 0.7) for network in networks)
    learned(through, networks[0], 3)
    with through.having(learning=while_learning):
        state = through.state_dict()
    networks[1].load_state_dict(networks[0].state_dict())
    resumed.load_state_dict(state)
    averages = zip((through, resumed), networks, strict=True)
    assert torch.equal(*(learned(average, network, 2, 1)[-1] for average, network in averages))
    assert torch.equal(*(network.weight for network in networks))


def test_without_a_decay_and_once_it_is_forgotten_there_is_none() -> None:
    network = nn.Linear(2, 3)
    none, average = WeightAverage(network, 0.0), WeightAverage(network, 0.7)
    assert torch.equal(learned(none, network, 3)[-1], network.weight)
    assert none.state_dict() == {"n": 0, "weights": {}}
    learned(average, network, 3)
    none.load_state_dict(average.state_dict())  # the network goes on from the average
    mean = network.weight.detach().clone()
    average.forget()
    for each in (none, average):
        with each.having(learning=True):
            assert torch.equal(network.weight, mean)
