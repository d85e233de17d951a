"""The recurrent discriminator against a form that reads one sequence and one token at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env.discriminators import (
    RecurrentDiscriminator,
    build_discriminator,
)
from tests.support.discriminators import SPEC, sequences


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
