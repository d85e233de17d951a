"""The recurrent discriminator against a form that reads one sequence and one token at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env.discriminators import (
    DiscriminatorTrainer,
    RecurrentConfig,
    RecurrentDiscriminator,
    build_discriminator,
)
from tests.support.discriminators import SPEC, counting, sequences


def small_gru(**kwargs: Any) -> RecurrentDiscriminator:
    built = build_discriminator("gru", SPEC, kwargs={"embedding_dim": 3, "hidden_dim": 4, **kwargs})
    assert isinstance(built, RecurrentDiscriminator)
    return built


class TestDefinition:
    @torch.no_grad()
    @pytest.mark.parametrize("n_layers", [1, 3])
    def test_it_pools_the_last_states_of_both_directions(self, n_layers: int) -> None:
        """Each sequence by itself, without its padding, one cell at a time."""
        discriminator, tokens_BT = small_gru(n_layers=n_layers).double(), sequences(20)
        for row_T, logit in zip(tokens_BT.tolist(), discriminator.logits(tokens_BT), strict=True):
            words = [token for token in row_T if token != SPEC.pad_id]
            features = []
            for layers, order in (
                ((discriminator.forwards, *discriminator.upper_forwards), words),
                ((discriminator.backwards, *discriminator.upper_backwards), words[::-1]),
            ):
                states = [discriminator.embedding.weight[token][None] for token in order]
                for rnn in layers:
                    state_1H, inputs, states = torch.zeros(1, 4, dtype=torch.float64), states, []
                    for input_1E in inputs:
                        state_1H = torch.gru_cell(input_1E, state_1H, *rnn.all_weights[0])
                        states.append(state_1H)
                features.append(torch.cat(states))
            both_TF = torch.cat(features, dim=1)
            pooled_F = torch.cat([both_TF.mean(dim=0), both_TF.max(dim=0).values])
            expected = discriminator.output.weight[0] @ pooled_F + discriminator.output.bias[0]
            assert logit == pytest.approx(expected.item(), abs=1e-12)

    def test_padding_changes_nothing(self) -> None:
        """Not even where its embedding is no longer 0."""
        discriminator, tokens_BT = small_gru(), sequences(20)
        expected_B = discriminator.exact_logits(tokens_BT)
        with torch.no_grad():
            discriminator.embedding.weight[SPEC.pad_id] = 7.0
        np.testing.assert_array_equal(discriminator.exact_logits(tokens_BT), expected_B)

    def test_nothing_has_no_features(self) -> None:
        empty_1T = np.full((1, SPEC.max_length), SPEC.pad_id)
        bias = small_gru().output.bias.item()
        assert small_gru().prefix_logits(empty_1T)[0] == pytest.approx(bias, abs=1e-12)
        beside = np.concatenate([empty_1T, sequences(3)])
        assert small_gru().prefix_logits(beside)[0] == pytest.approx(bias, abs=1e-12)


class TestRegularisation:
    def test_outputs_between_layers_are_dropped_in_training(self) -> None:
        discriminator, tokens_BT = small_gru(n_layers=2, dropout=0.5), torch.from_numpy(sequences(20))
        read: list[torch.Tensor] = []
        for layer in (*discriminator.upper_forwards, *discriminator.upper_backwards):
            layer.register_forward_hook(lambda _, inputs, outputs: read.append(inputs[0]))
        for mode in (True, False):
            discriminator.train(mode)
            discriminator(tokens_BT, torch.Generator().manual_seed(0))
        assert [bool((x_BSH == 0).any()) for x_BSH in read] == [True, True, False, False]

    def test_the_penalty_is_half_the_squared_norm_of_the_output_layer(self) -> None:
        squares = sum(x**2 for p in small_gru().output.parameters() for x in p.flatten().tolist())
        assert small_gru(l2=0.3).penalty().item() == pytest.approx(0.3 / 2 * squares)
        assert small_gru().penalty().item() == 0

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"embedding_dim": 0}, "embedding_dim must be a whole number of at least 1, got 0"),
            ({"hidden_dim": -1}, "hidden_dim must be a whole number of at least 1, got -1"),
            ({"dropout": -0.1}, r"dropout must be a finite number in \[0, 1\), got"),
            ({"l2": -1.0}, "l2 must be a finite number of at least 0, got"),
            ({"n_layers": 0}, "n_layers must be a whole number of at least 1, got 0"),
        ],
    )
    def test_it_refuses(self, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            RecurrentConfig(**kwargs)


def test_it_learns_an_order_that_no_count_of_tokens_shows() -> None:
    """On 2,000 held-out sequences, ignorance passes 0.9 with a probability below 1e-200, for each of three seeds."""
    spec, real_BT, generated_BT = counting(2400)
    for seed in range(3):
        discriminator = build_discriminator("gru", spec, seed=seed, kwargs={"embedding_dim": 8, "hidden_dim": 16})
        trainer = DiscriminatorTrainer(discriminator, 1e-2, seed=seed)
        trainer.fit(real_BT[:1400], generated_BT[:1400], n_epochs=4, batch_size=64)
        assert trainer.evaluate(real_BT[1400:], generated_BT[1400:])["accuracy"] > 0.9
