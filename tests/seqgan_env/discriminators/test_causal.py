"""The causal discriminator: answers after each token, and the optimum of the loss on all beginnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    LOSSES,
    CausalConfig,
    CausalDiscriminator,
    build_discriminator,
)
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import show
from tests.support.discriminators import SPEC, sequences


def small_causal(spec: SequenceSpec = SPEC, **kwargs: Any) -> CausalDiscriminator:
    built = build_discriminator("causal", spec, kwargs={"embedding_dim": 3, "hidden_dim": 4, **kwargs})
    assert isinstance(built, CausalDiscriminator)
    return built


class TestDefinition:
    @torch.no_grad()
    @pytest.mark.theory
    @pytest.mark.parametrize("n_layers", [1, 2])
    def test_a_logit_is_the_answer_after_the_last_token(self, n_layers: int) -> None:
        """The slow form: one row and one cell at a time."""
        discriminator, tokens_BT = small_causal(n_layers=n_layers).double(), sequences(20)
        found_BT = discriminator.beginning_logits(torch.from_numpy(tokens_BT))
        for b, row_T in enumerate(tokens_BT.tolist()):
            layers = (discriminator.rnn, *discriminator.upper)
            states = [tuple(torch.zeros(2, 1, 4, dtype=torch.float64)) for _ in layers]
            for t, token in enumerate(row_T):
                if token != SPEC.pad_id:
                    x_1E = discriminator.embedding.weight[token][None]
                    for k, layer in enumerate(layers):
                        states[k] = torch.lstm_cell(x_1E, states[k], *layer.all_weights[0])
                        x_1E = states[k][0]
                    answer = (discriminator.output.weight[0] @ x_1E[0] + discriminator.output.bias[0]).item()
                assert found_BT[b, t].item() == pytest.approx(answer, abs=1e-12)
                prefix_1T = np.where(np.arange(SPEC.max_length) <= t, tokens_BT[b], SPEC.pad_id)[None]
                assert discriminator.prefix_logits(prefix_1T)[0] == pytest.approx(answer, abs=1e-12)
            assert discriminator.logits(tokens_BT[b : b + 1])[0] == pytest.approx(answer, abs=1e-12)

    @pytest.mark.theory
    def test_the_terms_sum_to_the_logit(self) -> None:
        """That of nothing is 0, and padding adds exactly nothing."""
        discriminator, tokens_BT = small_causal(), sequences(20)
        empty_1T = np.full((1, SPEC.max_length), SPEC.pad_id)
        assert discriminator.prefix_logits(empty_1T)[0] == 0
        with torch.no_grad():
            terms_BT = discriminator.double().token_logits(torch.from_numpy(tokens_BT))
        np.testing.assert_allclose(terms_BT.sum(dim=1), discriminator.logits(tokens_BT), rtol=0, atol=1e-12)
        assert (terms_BT[~torch.from_numpy(SPEC.is_token(tokens_BT))] == 0).all()
        assert (terms_BT[torch.from_numpy(SPEC.is_token(tokens_BT))] != 0).all()


class Table(CausalDiscriminator):
    """A free answer to each beginning, in place of the network's."""

    def __init__(self, spec: SequenceSpec) -> None:
        super().__init__(spec, CausalConfig(embedding_dim=1, hidden_dim=1))
        beginnings = {row[:t] for row in reference.sequences(spec) for t in range(1, len(row) + 1)}
        self.rows = {beginning: i for i, beginning in enumerate(sorted(beginnings))}
        self.table_R = torch.nn.Parameter(torch.zeros(len(self.rows), dtype=torch.float64))

    def beginning_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        words = [tuple(row[: int(n)]) for row, n in zip(tokens_BT.tolist(), self.spec.lengths(tokens_BT), strict=True)]
        return self.table_R[[[self.rows[row[: t + 1]] for t in range(tokens_BT.shape[1])] for row in words]]


@pytest.mark.theory
@pytest.mark.parametrize("spec", [SequenceSpec(2, 3), SequenceSpec(3, 3, eos_id=0)], ids=show)
def test_the_optimum_at_a_prefix_is_the_log_ratio_of_its_probabilities(spec: SequenceSpec) -> None:
    """By enumeration: there the gradient of the loss on all beginnings is 0, and the loss is convex in the answers.

    The population is a batch in which each sequence occurs as often as it is probable.
    """
    rng, rows = np.random.default_rng(0), reference.sequences(spec)
    counts = rng.integers(1, 7, (2, len(rows)))  # real and generated
    rows_KT = torch.from_numpy(reference.padded(spec, rows))
    batches = [rows_KT.repeat_interleave(torch.from_numpy(count_K), dim=0) for count_K in counts]
    discriminator = Table(spec)
    beginnings = list(discriminator.rows)
    p_R, g_R = (
        np.array([sum(n for n, row in zip(count_K, rows, strict=True) if row[: len(b)] == b) for b in beginnings])
        / count_K.sum()
        for count_K in counts
    )
    best_R = torch.from_numpy(np.log(p_R / g_R))
    discriminator.loss(*batches).backward()
    assert discriminator.table_R.grad is not None
    assert discriminator.table_R.grad.abs().max() > 1e-3
    discriminator.table_R.grad = None
    with torch.no_grad():
        discriminator.table_R.copy_(best_R)
    discriminator.loss(*batches).backward()
    torch.testing.assert_close(discriminator.table_R.grad, torch.zeros_like(best_R), rtol=0, atol=1e-12)


class TestLoss:
    @pytest.mark.theory
    @pytest.mark.parametrize("name", LOSSES)
    def test_is_the_mean_over_beginnings_of_the_loss_on_them(self, name: str) -> None:
        """A sequence that has ended counts on as it is, so that each weighs the same."""
        discriminator = small_causal(dropout=0.0).double()
        real_BT, generated_BT = (torch.from_numpy(sequences(9, seed)) for seed in (0, 1))

        def objective(logit_real_B: Tensor, logit_generated_B: Tensor) -> Tensor:
            return LOSSES[name].function(logit_real_B, logit_generated_B, 0.0)

        parts = []
        for t in range(1, SPEC.max_length + 1):
            beginnings = [torch.where(torch.arange(6) < t, x_BT, SPEC.pad_id) for x_BT in (real_BT, generated_BT)]
            parts.append(objective(*(torch.from_numpy(discriminator.exact_logits(x_BT)) for x_BT in beginnings)))
        found = discriminator.loss(real_BT, generated_BT, None, objective)
        assert found.item() == pytest.approx(torch.stack(parts).mean().item(), abs=1e-12)


def test_shaping_pays_each_token_the_difference_that_it_makes() -> None:
    arguments: dict[str, Any] = {"vocab_size": 5, "max_length": 4, "n_real": 20, "n_held_out": 5}
    env = SeqGANEnv(**arguments, discriminator="causal", reward="log_ratio", shaping="discriminator")
    tokens_1T = np.array([[3, 1, 4, 1]])
    with torch.no_grad():
        terms_T = env.task.scoring.discriminator.token_logits(torch.from_numpy(tokens_1T)).double().numpy()[0]
    np.testing.assert_allclose(env.task.scoring.beginning_logits(tokens_1T[0]), terms_T.cumsum(), atol=1e-6)
    env.reset()
    paid_T = [env.step(token)[1] for token in tokens_1T[0]]
    np.testing.assert_allclose(paid_T[:3], terms_T[:3], atol=1e-6)
