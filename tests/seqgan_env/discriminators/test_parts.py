"""The parts that several networks share, and their options in every kind that has them."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    DISCRIMINATORS,
    Discriminator,
    DiscriminatorTrainer,
    build_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.discriminators.parts import Conv1d, Linear, folded, spectrally_normalised, without_empty_columns
from seqgan_env.dropout import dropout
from seqgan_env.tokens import SequenceSpec
from tests.support.discriminators import SPEC, sequences

SIZES: dict[str, dict[str, Any]] = {
    "cnn": {"embedding_dim": 3, "filters": [[1, 2], [3, 4]], "dropout": 0.0},
    "gru": {"embedding_dim": 3, "hidden_dim": 4, "n_layers": 2, "dropout": 0.0, "l2": 0.3},
    "transformer": {"hidden_dim": 4, "n_heads": 2, "dropout": 0.0},
    "log_ratio": {"embedding_dim": 3, "hidden_dim": 4, "l2": 0.3},
    "causal": {"embedding_dim": 3, "hidden_dim": 4, "dropout": 0.0, "l2": 0.3},
}
NORMALISED = {
    "cnn": {"convolutions.0", "convolutions.1", "transform", "gate", "output"},
    "gru": {"output"},
    "transformer": {
        f"layers.{k}.{part}"
        for k in range(2)
        for part in ("attention_in.1", "attention_out", "feed_forward.1", "feed_forward.3")
    }
    | {"output"},
    "log_ratio": {"output"},
    "causal": {"output"},
}
"""The layers that spectral norm is for."""
RECURRENT = ("gru", "log_ratio", "causal")
OPTIONS = [(name, "spectral_norm") for name in SIZES] + [(name, "layer_norm") for name in RECURRENT]


def build(name: str, **kwargs: Any) -> Discriminator:
    """One whose output matters, that of a sum of log-ratios too, and whose matrices have norms far from 1."""
    built = build_discriminator(name, SPEC, kwargs={**SIZES[name], **kwargs})
    with torch.no_grad():
        built.get_parameter("output.weight").uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
        built.get_parameter("output.bias").fill_(0.3)
        for layer in layers(built).values():
            layer.weight.mul_(3)
    return built


def with_setting(setting: str) -> list[str]:
    """The kinds whose settings have this one."""
    return [name for name, entry in DISCRIMINATORS.items() if setting in (f.name for f in fields(entry.kind.Config))]


def layers(network: nn.Module) -> dict[str, Linear | Conv1d]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, (Linear, Conv1d))}


def batches() -> tuple[Tensor, Tensor]:
    return torch.from_numpy(sequences(9)), torch.from_numpy(sequences(9, seed=1))


def total(network: Discriminator) -> Tensor:
    """All that training minimises."""
    loss = network.loss(*batches()) + network.penalty()
    if network.has_gradient_penalty:
        loss = loss + network.gradient_penalty(*batches(), torch.Generator().manual_seed(5))
    return loss


class TestDropout:
    def test_it_keeps_three_in_four_and_the_mean(self) -> None:
        """A right implementation fails for one seed in a thousand."""
        x = torch.full((400, 250), 3.0)
        dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], (x / 0.75)[kept])
        assert stats.binomtest(int(kept.sum()), kept.numel(), 0.75).pvalue > 1e-3


def test_columns_that_every_sequence_lacks_are_left_out() -> None:
    spec = SequenceSpec(3, 4, eos_id=0)
    tokens_BT = torch.tensor([[1, 0, 3, 3], [0, 3, 3, 3]])
    assert without_empty_columns(spec, tokens_BT).tolist() == [[1, 0], [0, 3]]
    assert without_empty_columns(spec, torch.full((2, 4), 3)).tolist() == [[3], [3]]
    assert without_empty_columns(spec, torch.ones(0, 4, dtype=torch.int64)).shape == (0, 1)
    full_BT = torch.ones(2, 4, dtype=torch.int64)
    assert torch.equal(without_empty_columns(spec, full_BT), full_BT)


@pytest.mark.parametrize("name", with_setting("l2"))
def test_the_penalty_is_half_the_squared_norm_of_the_output_layer(name: str) -> None:
    discriminator = build(name, l2=0.3)
    squares = sum(x**2 for p in discriminator.get_submodule("output").parameters() for x in p.flatten().tolist())
    assert discriminator.penalty().item() == pytest.approx(0.3 / 2 * squares)
    assert build(name, l2=0.0).penalty().item() == 0
    discriminator.penalty().backward()
    touched = {key for key, p in discriminator.named_parameters() if p.grad is not None}
    assert touched == {"output.weight", "output.bias"}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"embedding_dim": 0}, "embedding_dim must be a whole number of at least 1, got 0"),
        ({"hidden_dim": -1}, "hidden_dim must be a whole number of at least 1, got -1"),
        ({"hidden_dim": 2.5}, "hidden_dim must be a whole number of at least 1, got 2.5"),
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1, got 0"),
        ({"dropout": -0.1}, r"dropout must be a finite number in \[0, 1\), got"),
        ({"dropout": 1.0}, r"dropout must be a finite number in \[0, 1\), got 1.0"),
        ({"l2": -1.0}, "l2 must be a finite number of at least 0, got"),
        ({"l2": float("nan")}, "l2 must be a finite number of at least 0, got"),
    ],
)
def test_recurrent_kinds_refuse(name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DISCRIMINATORS[name].kind.Config(**kwargs)


def test_these_kinds_have_the_options() -> None:
    found = [(name, option) for option in ("spectral_norm", "layer_norm") for name in with_setting(option)]
    assert sorted(found) == sorted(OPTIONS)


@pytest.mark.theory
class TestSpectralNorm:
    @pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (6, 1), (4, 3, 2)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_largest_singular_value_is_1_and_the_direction_stays(
        self, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        weight = 7 * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
        normalised = spectrally_normalised(weight)
        assert normalised.dtype == dtype
        values = np.linalg.svd(normalised.numpy().reshape(shape[0], -1), compute_uv=False)
        assert values[0] == pytest.approx(1, abs=1e-5 if dtype == torch.float32 else 1e-12)
        ratio = weight / normalised
        torch.testing.assert_close(ratio, ratio.mean().expand(shape))
        assert ratio.mean() > 0

    def test_its_gradient_is_that_of_its_value(self) -> None:
        weight = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        assert torch.autograd.gradcheck(spectrally_normalised, weight.requires_grad_())

    def test_zeros_stay_zeros(self) -> None:
        assert torch.equal(spectrally_normalised(torch.zeros(3, 2)), torch.zeros(3, 2))

    @torch.no_grad()
    def test_a_linear_layer_stretches_no_pair_and_keeps_the_longest(self) -> None:
        layer, rng = Linear(5, 4, spectral_norm=True).double(), torch.Generator().manual_seed(0)
        layer.weight.normal_(0, 9, generator=rng)
        x_BF, y_BF = torch.randn(2, 1000, 5, dtype=torch.float64, generator=rng)
        ratio_B = (layer(x_BF) - layer(y_BF)).norm(dim=1) / (x_BF - y_BF).norm(dim=1)
        assert ratio_B.max() <= 1
        assert ratio_B.max() > 0.9
        first_F = torch.linalg.svd(layer.weight).Vh[0]
        assert (layer(first_F) - layer(-first_F)).norm().item() == pytest.approx(2, abs=1e-12)

    @torch.no_grad()
    @pytest.mark.parametrize("width", [1, 3])
    def test_a_convolution_stretches_no_window_and_no_sequence_by_more_than_the_root_of_the_width(
        self, width: int
    ) -> None:
        layer, rng = Conv1d(2, 4, width, spectral_norm=True).double(), torch.Generator().manual_seed(0)
        layer.weight.normal_(0, 9, generator=rng)
        for length, bound in ((width, 1), (12, width**0.5)):
            x_BET, y_BET = torch.randn(2, 1000, 2, length, dtype=torch.float64, generator=rng)
            ratio_B = (layer(x_BET) - layer(y_BET)).flatten(1).norm(dim=1) / (x_BET - y_BET).flatten(1).norm(dim=1)
            assert 0.6 * bound < ratio_B.max() <= bound


@pytest.mark.theory
@pytest.mark.parametrize("name", SIZES)
class TestSpectralNormOfEveryKind:
    def test_every_road_reads_weights_of_norm_1(self, name: str) -> None:
        """Another network without the option, whose weights are divided beforehand by singular values of NumPy."""
        network, plain = build(name, spectral_norm=True), build(name)
        weights = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        assert {key for key, layer in layers(network).items() if layer.spectral_norm} == NORMALISED[name]
        for key in NORMALISED[name]:
            matrix = weights[f"{key}.weight"].double().numpy()
            norm = np.linalg.svd(matrix.reshape(len(matrix), -1), compute_uv=False)[0]
            assert abs(norm - 1) > 0.1
            weights[f"{key}.weight"] /= norm
        plain.load_weights(weights)
        tokens_BT = sequences(50)
        for method in ("logits", "exact_logits", "prefix_logits"):
            np.testing.assert_allclose(
                getattr(network, method)(tokens_BT), getattr(plain, method)(tokens_BT), rtol=1e-5, atol=1e-6
            )
        rows_BT = torch.from_numpy(tokens_BT)
        expected_B = plain(rows_BT)
        for road in (network, network.scorer(0), network.scorer(50)):
            torch.testing.assert_close(road(rows_BT), expected_B, rtol=1e-5, atol=1e-6)
        if type(network).token_logits is not Discriminator.token_logits:
            torch.testing.assert_close(network.token_logits(rows_BT), plain.token_logits(rows_BT), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(total(network), total(plain), rtol=1e-5, atol=1e-6)

    def test_scores_follow_the_weights_and_leave_them_as_they_are(self, name: str) -> None:
        network, tokens_BT = build(name, spectral_norm=True), sequences(50)
        before_B, exact_B = network.logits(tokens_BT), network.exact_logits(tokens_BT)
        weights = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        DiscriminatorTrainer(network, 0.1).update(*batches())
        assert np.abs(network.logits(tokens_BT) - before_B).max() > 1e-3
        network.load_weights(weights)
        np.testing.assert_array_equal(network.logits(tokens_BT), before_B)
        np.testing.assert_array_equal(network.exact_logits(tokens_BT), exact_B)
        assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())

    def test_singular_values_are_computed_once_for_many_scores(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In double precision even once for all calls until the weights change, since each episode's end is a call."""
        network, computed = build(name, spectral_norm=True), Mock(wraps=torch.linalg.matrix_norm)
        monkeypatch.setattr(torch.linalg, "matrix_norm", computed)
        network.logits(sequences(50), batch_size=5)
        assert computed.call_count == len(NORMALISED[name])
        for _ in range(2):
            network.exact_logits(sequences(300))
        assert computed.call_count == 2 * len(NORMALISED[name])

    def test_threads_may_share_it(self, name: str) -> None:
        network, tokens_BT = build(name, spectral_norm=True), sequences(20)
        expected_B = network.logits(tokens_BT)
        with ThreadPoolExecutor(4) as pool:
            for logits_B in pool.map(lambda _: network.logits(tokens_BT), range(20)):
                np.testing.assert_array_equal(logits_B, expected_B)

    def test_where_it_is_off_the_weights_are_read_themselves(self, name: str) -> None:
        network = build(name)
        assert all(layer.applied_weight is layer.weight for layer in layers(network).values())
        assert folded(network) is network
        assert network.scorer(0) is network


@torch.no_grad()
def test_medium_precision_reads_weights_of_norm_1() -> None:
    """The highway layer of the CNN in bfloat16 has a road of its own."""
    network, before = build("cnn", spectral_norm=True), torch.get_float32_matmul_precision()
    rows_BT = torch.from_numpy(sequences(50))
    expected_B = network(rows_BT)
    torch.set_float32_matmul_precision("medium")
    try:
        torch.testing.assert_close(network(rows_BT), expected_B, rtol=0, atol=0.01)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.theory
@pytest.mark.parametrize("name", RECURRENT)
@torch.no_grad()
def test_layer_norm_makes_the_features_mean_0_and_variance_1(name: str) -> None:
    """Another network without the option, whose features a hook normalises in between."""
    network, plain, rng = build(name, layer_norm=True), build(name), torch.Generator().manual_seed(1)
    gain_F, bias_F = (parameter.normal_(generator=rng) for parameter in network.get_submodule("norm").parameters())
    assert set(network.state_dict()) - set(plain.state_dict()) == {"norm.weight", "norm.bias"}
    plain.load_weights({key: tensor for key, tensor in network.state_dict().items() if "norm" not in key})

    def normalised(_: nn.Module, inputs: tuple[Tensor], __: Tensor) -> Tensor:
        centred_F = inputs[0] - inputs[0].mean(dim=-1, keepdim=True)
        return centred_F / (centred_F.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * gain_F + bias_F

    tokens_BT = sequences(50)
    assert np.abs(network.logits(tokens_BT) - plain.logits(tokens_BT)).max() > 0.1
    plain.get_submodule("norm").register_forward_hook(normalised)
    np.testing.assert_allclose(network.logits(tokens_BT), plain.logits(tokens_BT), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
class TestOption:
    @pytest.mark.theory
    def test_the_gradient_of_all_that_training_minimises_is_that_of_its_value(self, name: str, option: str) -> None:
        """By central differences, along one direction of all weights but the embeddings, in double precision."""
        network, rng = build(name, **{option: True}).double(), torch.Generator().manual_seed(2)
        total(network).backward()
        moved = [p for key, p in network.named_parameters() if not key.startswith("embedding")]
        directions = [torch.randn(p.shape, dtype=torch.float64, generator=rng) for p in moved]
        slope = sum((p.grad * d).sum().item() for p, d in zip(moved, directions, strict=True) if p.grad is not None)
        values, eps = [], 1e-6
        for step in (eps, -2 * eps):
            with torch.no_grad():
                for p, d in zip(moved, directions, strict=True):
                    p.add_(d, alpha=step)
            values.append(total(network).item())
        assert slope == pytest.approx((values[0] - values[1]) / (2 * eps), rel=1e-5)

    def test_it_learns_and_goes_through_a_file(self, name: str, option: str, tmp_path: Path) -> None:
        network = build(name, **{option: True})
        trainer = DiscriminatorTrainer(network, 0.01)
        real, generated = sequences(64), np.where(sequences(64, seed=1) == 2, 1, sequences(64, seed=1))
        before = trainer.evaluate(real, generated)["log_loss"]
        trainer.fit(real, generated, n_epochs=10, batch_size=16)
        assert trainer.evaluate(real, generated)["log_loss"] < before
        save_discriminator(network, tmp_path / "file")
        loaded = load_discriminator(tmp_path / "file")
        assert loaded.config == network.config
        np.testing.assert_array_equal(loaded.logits(real), network.logits(real))

    def test_a_copy_of_its_environment_pays_the_same(self, name: str, option: str) -> None:
        env = gym.make("SeqGANTiny-v0", discriminator=name, discriminator_kwargs={**SIZES[name], option: True})
        assert isinstance(env.unwrapped, SeqGANEnv)
        env.unwrapped.task.scoring.discriminator.get_parameter("output.bias").data.fill_(0.3)
        paid = []
        for each in (env, copy.deepcopy(env), pickle.loads(pickle.dumps(env)), pickle.loads(pickle.dumps(env))):
            each.reset(seed=0)
            while not (step := each.step(np.int64(1)))[2]:
                pass
            paid.append(step[1])
        assert paid == [paid[0]] * 4
        assert paid[0] != 0

    def test_it_is_made_without_memory(self, name: str, option: str) -> None:
        with torch.device("meta"):
            network = DISCRIMINATORS[name].kind(SPEC, build(name, **{option: True}).config)
        assert {p.device.type for p in network.parameters()} == {"meta"}
        assert {layer.applied_weight.device.type for layer in layers(network).values()} == {"meta"}

    def test_it_changes_no_initial_weight(self, name: str, option: str) -> None:
        """But for the output of a sum of log-ratios with spectral norm, which can't begin at zero."""
        on, off = (
            build_discriminator(name, SPEC, kwargs={**SIZES[name], option: value}).state_dict()
            for value in (True, False)
        )
        assert set(on) - set(off) == ({"norm.weight", "norm.bias"} if option == "layer_norm" else set())
        changed = {key for key, tensor in off.items() if not torch.equal(tensor, on[key])}
        assert changed == ({"output.weight"} if (name, option) == ("log_ratio", "spectral_norm") else set())
