"""Features of a prefix: its tokens are read, and its padding is not."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from agents import PrefixExtractor, make_seqgan_vec_env
from tests.support.builders import ORACLE

ENCODERS = ("recurrent", "convolutional")


def extractor(max_length: int = 6, encoder: str = "recurrent") -> PrefixExtractor:
    space = gym.spaces.Box(0, 20, (max_length,), np.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PrefixExtractor(space, features_dim=5, embedding_dim=3, encoder=encoder)


class TestPrefixExtractor:
    @given(seed=st.integers(0, 1000), max_length=st.integers(1, 8))
    @settings(max_examples=20)
    def test_is_the_state_after_the_last_token(self, seed: int, max_length: int) -> None:
        """A GRU cell, stepped from the start symbol through the tokens of each prefix: padding is never read."""
        features = extractor(max_length)
        cell = nn.GRUCell(3, 5)
        for name, parameter in cell.named_parameters():
            parameter.data.copy_(getattr(features.encoder, f"{name}_l0"))
        rng = np.random.default_rng(seed)
        rows = [rng.integers(20, size=length).tolist() for length in range(max_length + 1)]
        observations = torch.tensor([[*row, *[20] * (max_length - len(row))] for row in rows])
        expected = []
        for row in rows:
            state = torch.zeros(1, 5)
            for token in [20, *row]:
                state = cell(features.embedding(torch.tensor([token])), state)
            expected.append(state)
        ours = features(observations)
        assert ours.shape == (max_length + 1, features.features_dim) == (max_length + 1, 5)
        torch.testing.assert_close(ours, torch.cat(expected), rtol=0, atol=1e-6)
        torch.testing.assert_close(features(observations.float()), ours)

    @given(seed=st.integers(0, 1000), max_length=st.integers(1, 8))
    @settings(max_examples=20)
    def test_is_the_causal_convolution_at_the_last_token(self, seed: int, max_length: int) -> None:
        """Each prefix alone and without its padding, by sums over the taps; what lies before the start is zero."""
        features = extractor(max_length, "convolutional")
        rng = np.random.default_rng(seed)
        rows = [rng.integers(20, size=length).tolist() for length in range(max_length + 1)]
        observations = torch.tensor([[*row, *[20] * (max_length - len(row))] for row in rows])
        expected = []
        for row in rows:
            layer_SH = features.embedding(torch.tensor([20, *row]))
            for i, convolution in enumerate(features.encoder.layers):  # type: ignore[arg-type]
                out = []
                for s in range(len(layer_SH)):
                    total = convolution.bias
                    for tap in range(3):
                        place = s - (2 - tap) * 2**i
                        if place >= 0:
                            total = total + convolution.weight[:, :, tap] @ layer_SH[place]
                    out.append(total.relu() + (layer_SH[s] if i else 0))
                layer_SH = torch.stack(out)
            expected.append(layer_SH[-1])
        torch.testing.assert_close(features(observations), torch.stack(expected), rtol=0, atol=1e-5)
        torch.testing.assert_close(features(observations.float()), features(observations))

    @pytest.mark.parametrize("max_length", [1, 2, 6, 13, 20, 40])
    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_sees_every_token_of_the_prefix(self, encoder: str, max_length: int) -> None:
        features = extractor(max_length, encoder).double()
        embedded: list[torch.Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            output.retain_grad()
            embedded.append(output)

        features.embedding.register_forward_hook(keep)
        for _ in range(5):  # where a rectified linear unit is shut, no gradient comes through
            rows = torch.from_numpy(np.random.default_rng(len(embedded)).integers(20, size=(200, max_length)))
            features(rows).sum().backward()
        gradients = [embedding.grad for embedding in embedded if embedding.grad is not None]
        seen_S = torch.cat(gradients).abs().sum(dim=(0, 2))
        assert seen_S.shape == (max_length + 1,)
        assert (seen_S > 0).all()

    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_reads_the_tokens_of_a_dictionary(self, encoder: str) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 3, **ORACLE, observation="dict")
        features = PrefixExtractor(env.observation_space, encoder=encoder)
        env.reset()
        observations, *_ = env.step(np.array([1, 2, 3]))
        assert isinstance(observations, dict)
        tensors = {name: torch.from_numpy(array) for name, array in observations.items()}
        assert torch.equal(features(tensors), features(tensors["tokens"]))

    def test_an_unknown_encoder_and_observations_without_tokens_are_refused(self) -> None:
        with pytest.raises(ValueError, match="encoder must be one of recurrent, convolutional; got 'mlp'"):
            extractor(encoder="mlp")
        for space in (gym.spaces.Discrete(3), gym.spaces.Dict({"length": gym.spaces.Discrete(3)})):
            with pytest.raises(ValueError, match="the observations must be Box"):
                PrefixExtractor(space)

    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_more_padding_changes_nothing(self, encoder: str) -> None:
        short, long = extractor(3, encoder), extractor(6, encoder)
        rows = torch.tensor([[1, 2, 20], [20, 20, 20], [3, 20, 20]])
        padded = nn.functional.pad(rows, (0, 3), value=20)
        torch.testing.assert_close(long(padded), short(rows), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_order_matters(self, encoder: str) -> None:
        features = extractor(encoder=encoder)
        rows = torch.tensor([[1, 2, 20, 20, 20, 20], [2, 1, 20, 20, 20, 20]])
        assert not torch.allclose(*features(rows))

    @pytest.mark.parametrize("algorithm", [PPO, A2C])
    @pytest.mark.parametrize("encoder", ENCODERS)
    @pytest.mark.parametrize("vectorised", [True, False])
    def test_trains_with_an_algorithm_of_stable_baselines(
        self, algorithm: type[PPO | A2C], encoder: str, vectorised: bool
    ) -> None:
        env: VecEnv | gym.Env[Any, Any] = (
            make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE) if vectorised else gym.make("SeqGAN-v0", **ORACLE)
        )
        arguments: dict[str, Any] = {"n_steps": 6} if algorithm is A2C else {"n_steps": 32, "batch_size": 16}
        model = algorithm(
            "MlpPolicy",
            env,
            policy_kwargs={
                "features_extractor_class": PrefixExtractor,
                "features_extractor_kwargs": {"features_dim": 8, "encoder": encoder},
            },
            seed=0,
            device="cpu",
            **arguments,
        )
        assert isinstance(model.policy.features_extractor, PrefixExtractor)
        before = model.policy.features_extractor.embedding.weight.detach().clone()
        model.learn(128)
        assert not torch.equal(model.policy.features_extractor.embedding.weight, before)
        played = model.get_env()
        assert played is not None
        mean_reward, _ = evaluate_policy(model, played, n_eval_episodes=4)
        assert np.isfinite(mean_reward)
        assert np.less(mean_reward, 0)
