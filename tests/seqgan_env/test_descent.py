"""A gradient step that is taken only where every number is finite, by every road to one."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import configure
from torch import nn

from agents.collection import Episodes
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.maximum_likelihood import MaximumLikelihoodTrainer
from seqgan_env.descent import check_step_size, check_weights, gradient_step, mean_loss
from seqgan_env.discriminators import DiscriminatorTrainer, save_discriminator
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import Fingerprint
from tests.support.agents import agent, tiny_agent
from tests.support.discriminators import sequences, small


def layer() -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    made = nn.Linear(3, 1)
    return made, torch.optim.SGD(made.parameters(), lr=0.1)


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("looks", [True, False])
def test_it_is_the_plain_step(max_norm: float, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqgan_env.descent.may_look", lambda device: looks)
    (ours, optimizer), (theirs, plain) = layer(), layer()
    norm = gradient_step(optimizer, ours(torch.ones(2, 3)).square().sum(), max_norm, "layer")
    theirs(torch.ones(2, 3)).square().sum().backward()
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
    plain.step()
    assert torch.equal(norm, expected)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize(
    ("make_loss", "also", "message"),
    [
        (lambda y: y.sum() * math.nan, {}, "the loss of the layer must be finite, got nan"),
        (lambda y: y.sum() + math.inf, {}, "the loss of the layer must be finite, got inf"),
        (lambda y: (y.sum() * 0).sqrt(), {}, "the gradient of the layer must be finite, got nan"),
        (lambda y: y.sum(), {"the values": torch.tensor([1.0, math.nan])}, "the values must be finite, got nan"),
    ],
    ids=["nan", "infinity", "gradient", "also"],
)
def test_nothing_changes_where_a_number_is_not_finite(
    make_loss: Any, also: dict[str, torch.Tensor], message: str, looks: bool, waits: bool, monkeypatch: Any
) -> None:
    """Where to look would wait for a GPU, only a caller who waits anyway has it checked."""
    monkeypatch.setattr("seqgan_env.descent.may_look", lambda device: looks)
    made, optimizer = layer()
    before = copy.deepcopy(made.state_dict())
    loss = make_loss(made(torch.ones(2, 3)))
    if not (looks or waits):
        gradient_step(optimizer, loss, 1.0, "layer", also=also)
        return
    with pytest.raises(ValueError, match=message):
        gradient_step(optimizer, loss, 1.0, "layer", also=also, waits=waits)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        functools.partial(torch.optim.Adam, fused=True),
        functools.partial(torch.optim.AdamW, fused=True, weight_decay=0.0),
    ],
    ids=["SGD", "Adam", "AdamW"],
)
def test_a_step_is_seen_by_what_is_kept_of_the_weights(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    """Also where it changes a few rows of many: a fingerprint has a sample of the elements."""
    table = nn.Embedding(1000, 1)
    made = optimizer(table.parameters(), lr=0.1)
    before, sample = Fingerprint(dict(table.named_parameters())), table.weight.detach().clone()
    gradient_step(made, table(torch.tensor([1, 2])).sum(), 5.0, "table")
    assert torch.equal(table.weight[::31], sample[::31])
    assert before != Fingerprint(dict(table.named_parameters()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-9])
def test_a_step_size_is_a_finite_number(value: float) -> None:
    message = "a step size must be a finite number of at least 0, got"
    made, optimizer = layer()
    optimizer.param_groups[0]["lr"] = value
    for call in (
        lambda: check_step_size(value),
        lambda: gradient_step(optimizer, made(torch.ones(1, 3)).sum(), 1, "l"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=message):
        agent(learning_rate=lambda remaining: value)
    with pytest.raises(ValueError, match=message):
        agent(learning_rate=lambda remaining: 0.1 if remaining > 0.5 else value).learn(200)
    with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
        DiscriminatorTrainer(small(), value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_are_finite(value: float) -> None:
    made, _ = layer()
    check_weights(made, "layer")
    check_weights(nn.Identity(), "nothing")
    with torch.no_grad():
        made.weight[0, 1] = value
    with pytest.raises(ValueError, match=f"the weights of the layer must be finite, got {value} among them"):
        check_weights(made, "layer")


def test_a_mean_of_losses_is_finite() -> None:
    assert mean_loss([torch.tensor(1.0), torch.tensor(2.0)], "net") == 1.5
    with pytest.raises(ValueError, match="the loss of the net must be finite, got nan"):
        mean_loss([torch.tensor(1.0), torch.tensor(math.nan)], "net")


def spoil(network: nn.Module, value: float = math.nan) -> None:
    with torch.no_grad():
        next(iter(network.parameters())).fill_(value)


def of_likelihood() -> tuple[nn.Module, Callable[[], Any]]:
    generator = AutoregressiveModel(SequenceSpec(5, 6, 0), "lstm", embedding_dim=4, hidden_dim=4)
    trainer = MaximumLikelihoodTrainer(generator)
    return generator, lambda: trainer.epoch(sequences(30))


def of_discriminator() -> tuple[nn.Module, Callable[[], Any]]:
    discriminator = small()
    trainer = DiscriminatorTrainer(discriminator)
    return discriminator, lambda: trainer.fit(sequences(30), sequences(30, 1))


def of_policy() -> tuple[nn.Module, Callable[[], Any]]:
    model = agent(n_completions=0, baseline="step")
    model.set_logger(configure(None, []))
    tokens_BT = torch.from_numpy(model.sample(8))
    episodes = Episodes(tokens_BT, torch.ones(8, 6, dtype=torch.bool), torch.randn(8, dtype=torch.float64))
    return model.policy, lambda: model.train(episodes)


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("make", [of_likelihood, of_discriminator, of_policy])
def test_every_training_refuses_a_network_that_is_not_finite(
    make: Callable[[], Any], looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, or, where to look would wait for a GPU, when the losses are read."""
    monkeypatch.setattr("seqgan_env.descent.may_look", lambda device: looks)
    network, train = make()
    train()
    spoil(network)
    with pytest.raises(ValueError, match=r"the loss of the (generator|discriminator) must be finite, got nan"):
        train()


@pytest.mark.parametrize("vocab_size", [20, 64, 128])
@pytest.mark.parametrize(
    "make_call", [lambda m: m.learn, lambda m: m.sample, lambda m: m.predict], ids=["learn", "sample", "predict"]
)
def test_nothing_is_drawn_from_a_generator_of_nan(vocab_size: int, make_call: Any) -> None:
    """A vocabulary that is a multiple of a block of the sampler had tokens all the same."""
    model, _ = tiny_agent(0, vocab_size, 4, n_envs=4, n_episodes=4)
    spoil(model.policy)
    argument = np.full((1, 4), vocab_size) if make_call(model) == model.predict else 5
    with pytest.raises(ValueError, match="must be finite, got"):
        make_call(model)(argument)


def test_nothing_that_is_not_finite_is_kept(tmp_path: Any) -> None:
    model = agent()
    model.save(tmp_path / "agent")
    before = (tmp_path / "agent.zip").read_bytes()
    spoil(model.policy, math.inf)
    with pytest.raises(ValueError, match="the tensors of a checkpoint must be finite"):
        model.save(tmp_path / "agent")
    assert (tmp_path / "agent.zip").read_bytes() == before
    discriminator = small()
    spoil(discriminator)
    with pytest.raises(ValueError, match="the weights of the discriminator must be finite, got nan among them"):
        save_discriminator(discriminator, tmp_path / "d.safetensors")
    assert not (tmp_path / "d.safetensors").exists()
