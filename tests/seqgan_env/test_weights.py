"""Stored weights and states: compared with what a network or an optimiser has before anything is built or changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from agents import PrefixExtractor
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import DISCRIMINATORS, build_discriminator
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import (
    check_buildable,
    check_form,
    check_sizes,
    check_weights,
    digest,
    load_optimizer,
    load_weights,
)

NAN = float("nan")
OPTIMIZERS: dict[str, Any] = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, fused=True),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, weight_decay=0.1),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
}


def stepped(kind: str) -> tuple[nn.Linear, torch.optim.Optimizer]:
    """A network and its optimiser after a step."""
    network = nn.Linear(3, 2)
    optimizer = OPTIMIZERS[kind](network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bias": None}, "bias must be a tensor, got None"),
        ({"bias": torch.zeros(3)}, r"bias must have shape \(2,\), got \(3,\)"),
        ({"bias": torch.tensor([0.0, NAN])}, "bias must be finite"),
        ({"bias": torch.zeros(2, dtype=torch.int64)}, "bias must be of torch.float32, got torch.int64"),
        ({"more": torch.zeros(2)}, "missing or unknown: more"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(change: dict[str, Any], says: str) -> None:
    network = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for weights in ({**before, **change}, {"weight": before["weight"]}, None):
        with pytest.raises(
            ValueError, match=says if isinstance(weights, dict) and len(weights) > 1 else "names of the"
        ):
            load_weights(network, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    load_weights(network, {name: tensor + 1 for name, tensor in before.items()})
    assert torch.equal(network.bias, before["bias"] + 1)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimiser_goes_on_with_its_own_settings(kind: str) -> None:
    network, optimizer = stepped(kind)
    state = optimizer.state_dict()
    other = OPTIMIZERS[kind](network.parameters())
    other.param_groups[0]["lr"] = 0.5
    load_optimizer(other, state)
    assert other.param_groups[0]["lr"] == 0.5
    check_form("the state", other.state_dict()["state"][0], state["state"][0])
    load_optimizer(other, OPTIMIZERS[kind](network.parameters()).state_dict())  # of one that has made no step
    assert not other.state_dict()["state"]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "an optimiser's state must have state, param_groups; got None"),
        ({"state": {}}, "unknown or missing fields.*: param_groups"),
        ({"state": [], "param_groups": []}, r"must be of parameters 0 to 1, got \[\]"),
        ({"state": {7: {}}, "param_groups": []}, "must be of parameters 0 to 1, got {7: {}}"),
        ({"state": {0: {"step": 1}}, "param_groups": []}, "parameter 0 has unknown or missing fields.*: exp_avg"),
    ],
)
def test_a_state_of_another_optimiser_is_refused(state: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_optimizer(stepped("Adam")[1], state)


@pytest.mark.parametrize(("name", "value"), [("exp_avg", torch.zeros(5)), ("step", torch.tensor(NAN)), ("step", 1.0)])
def test_statistics_that_do_not_fit_are_refused(name: str, value: Any) -> None:
    optimizer = stepped("Adam")[1]
    state = optimizer.state_dict()
    state["state"][1] = {**state["state"][1], name: value}
    with pytest.raises(ValueError, match=rf"the optimiser's state of parameter 1\.{name} must"):
        load_optimizer(optimizer, state)


@pytest.mark.parametrize("name", ["step", "exp_avg_sq"])
def test_statistics_that_no_step_could_give_are_refused(name: str) -> None:
    optimizer = stepped("Adam")[1]
    state = optimizer.state_dict()
    state["state"][1] = {**state["state"][1], name: -1 - state["state"][1][name]}
    with pytest.raises(ValueError, match=f"^{name} in the optimiser's state of parameter 1 must be at least 0$"):
        load_optimizer(optimizer, state)


def test_an_optimiser_of_ones_own_may_call_anything_a_sum() -> None:
    class DualAveraging(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for parameter in self.param_groups[0]["params"]:
                state = self.state[parameter]
                state["sum"] = state.get("sum", 0) + (parameter.grad if parameter.grad is not None else 0 * parameter)

    network = nn.Linear(2, 1)
    optimizer = DualAveraging(network.parameters(), lr=0.1)
    (-network(torch.ones(2))).backward()
    optimizer.step()
    state = optimizer.state_dict()
    assert state["state"][0]["sum"].max() < 0
    load_optimizer(optimizer, state)


@pytest.mark.parametrize(
    ("value", "like", "fits"),
    [
        (3, 0, True), (-1, -1, True), (-2, -1, False), (2.0, 0, False), (True, 0, False), ("3", 0, False),
        (0.5, 0.0, True), (1, 0.0, True), (-0.5, 0.0, False), (NAN, 0.0, False), (float("inf"), 0.0, False),
        (float("inf"), float("inf"), True), (2.0, float("inf"), True), (-float("inf"), float("inf"), False),
        ("a", "b", True), (3, "b", False), (None, None, True), (3, None, False), (True, False, True), (1, False, False),
        ([1], [], True), ((1,), [], True), ({}, [], False),
        ({"a": 1}, {"a": 0}, True), ({"b": 1}, {"a": 0}, False), ([], {"a": 0}, False), ({"a": "x"}, {"a": 0}, False),
        ({"a": 1.5, "b": -1}, {}, True), ({"a": "x"}, {}, False), ({"a": NAN}, {}, False), ({"a": True}, {}, False),
        (torch.ones(2), torch.zeros(2), True), (torch.ones(3), torch.zeros(2), False), (1, torch.zeros(2), False),
    ],
)  # fmt: skip
def test_a_state_has_the_form_of_a_fresh_one(value: Any, like: Any, fits: bool) -> None:
    if fits:
        check_form("it", value, like)
        return
    with pytest.raises(ValueError, match=r"^it"):
        check_form("it", value, like)


def test_a_form_that_no_file_has_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="it holds a object"):
        check_form("it", 1, object())


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_discriminator_is_described_without_memory(name: str) -> None:
    kind, spec = DISCRIMINATORS[name].kind, SequenceSpec(4, 4)
    before = torch.get_rng_state()
    check_buildable(lambda: kind(spec), kind(spec).state_dict())
    with pytest.raises(ValueError, match=r"must have|more weights than"):
        check_buildable(lambda: kind(SequenceSpec(5, 4)), kind(spec).state_dict())
    torch.set_rng_state(before)


def test_the_building_of_a_network_with_more_weights_is_stopped() -> None:
    n_built = 0

    def build() -> nn.Module:
        nonlocal n_built
        layers = nn.ModuleList()
        for _ in range(10**9):
            layers.append(nn.Linear(2, 2))
            n_built += 1
        return layers

    with pytest.raises(ValueError, match="more weights than there are"):
        check_buildable(build, {"a": torch.zeros(1)})
    assert n_built < 10
    nn.Sequential(*(nn.Linear(2, 2) for _ in range(10)))  # others are not stopped


@pytest.mark.parametrize("weights", [None, 3, [], {"a": 3}])
def test_what_is_no_weights_is_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="the weights must be tensors by name"):
        check_buildable(lambda: nn.Linear(1, 1), weights)


def test_sequences_longer_than_the_file_are_refused() -> None:
    check_sizes(SequenceSpec(100, 100), 100)
    for spec in (SequenceSpec(101, 1), SequenceSpec(1, 101)):
        with pytest.raises(ValueError, match="a file of 100 bytes cannot be of"):
            check_sizes(spec, 100)


def test_the_digest_is_of_names_dtypes_shapes_values_and_text() -> None:
    weights = {"a": torch.arange(4.0), "b": torch.tensor(True)}
    changes: list[tuple[dict[str, torch.Tensor], str]] = [
        ({**weights, "a": torch.arange(4.0) + 1}, "recipe"),
        ({**weights, "a": torch.arange(4.0).reshape(2, 2)}, "recipe"),
        ({**weights, "a": torch.arange(4.0).view(torch.int32)}, "recipe"),
        ({"c": weights["a"], "b": weights["b"]}, "recipe"),
        (weights, "another"),
    ]
    digests = {digest(*change) for change in changes} | {digest(weights, "recipe")}
    assert len(digests) == len(changes) + 1
    assert digest(dict(reversed(weights.items())), "recipe") == digest(weights, "recipe")
    check_weights(weights, weights)


@pytest.mark.parametrize("size", [10**6, 10**9, 10**15])
def test_a_network_that_does_not_fit_into_memory_is_refused_in_one_line(size: int) -> None:
    spec = SequenceSpec(5, 6)
    for build in (
        lambda: AutoregressiveModel(spec, "lstm", hidden_dim=size),
        lambda: build_discriminator("gru", spec, kwargs={"hidden_dim": size}),
        lambda: PrefixExtractor(spaces.Box(0, 5, (6,), np.int64), features_dim=size),
    ):
        with pytest.raises(ValueError, match=f"{size}.* must fit into the memory of this machine, got") as caught:
            build()
        assert "\n" not in str(caught.value)


def test_a_network_that_takes_more_than_there_is_in_its_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 1000)
    with pytest.raises(ValueError, match=r"must fit into the memory of this machine, 1.0e\+06 bytes; got"):
        AutoregressiveModel(SequenceSpec(5, 6), "lstm", hidden_dim=200)
