"""The log-ratio discriminator: a sum over the tokens, against its slow form and against the optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    DiscriminatorTrainer,
    LogRatioConfig,
    LogRatioDiscriminator,
    OptimalDiscriminator,
    build_discriminator,
)
from seqgan_env.enumeration import all_sequences
from seqgan_env.sources import LSTMOracle
from seqgan_env.tokens import SequenceSpec
from tests.support.discriminators import SPEC, sequences


def scattered(seed: int = 0, **kwargs: Any) -> LogRatioDiscriminator:
    """One whose output layer has random weights, not the zeros it begins with."""
    settings = {"embedding_dim": 3, "hidden_dim": 5, **kwargs}
    built = build_discriminator("log_ratio", SPEC, seed=seed, kwargs=settings)
    assert isinstance(built, LogRatioDiscriminator)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.output.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return built


class TestDefinition:
    @pytest.mark.parametrize("n_layers", [1, 2])
    def test_each_term_is_an_entry_of_a_vector_over_the_vocabulary(self, n_layers: int) -> None:
        """The slow form: one row and one step at a time, the whole vector ``W h_t + c``, and its entry y_t."""
        discriminator = scattered(n_layers=n_layers).double()
        layers = (discriminator.rnn, *discriminator.upper)
        tokens_BT = sequences(20)
        with torch.no_grad():
            found_BT = discriminator.token_logits(torch.from_numpy(tokens_BT))
            for b, row_T in enumerate(tokens_BT.tolist()):
                states = [tuple(torch.zeros(2, 1, 5, dtype=torch.float64)) for _ in layers]
                read = SPEC.pad_id
                for t, token in enumerate(row_T):
                    if token == SPEC.pad_id:
                        assert found_BT[b, t] == 0
                        continue
                    input_1E = discriminator.embedding.weight[read][None]
                    for k, layer in enumerate(layers):
                        states[k] = torch.lstm_cell(input_1E, states[k], *layer.all_weights[0])
                        input_1E = states[k][0]
                    ratio_V = discriminator.output.weight @ input_1E[0] + discriminator.output.bias
                    assert ratio_V.shape == (SPEC.vocab_size,)
                    assert found_BT[b, t].item() == pytest.approx(ratio_V[token].item(), abs=1e-12)
                    read = token
        assert (found_BT != 0).sum() == SPEC.lengths(tokens_BT).sum()

    def test_the_logit_is_the_sum_of_the_terms(self) -> None:
        discriminator, tokens_BT = scattered(), sequences(20)
        with torch.no_grad():
            terms_BT = discriminator.double().token_logits(torch.from_numpy(tokens_BT))
        np.testing.assert_allclose(discriminator.logits(tokens_BT), terms_BT.sum(dim=1), rtol=0, atol=1e-12)

    def test_prefixes_telescope(self) -> None:
        """The logits of a sequence's beginnings are the partial sums of its terms, and that of nothing is 0."""
        discriminator, tokens_BT = scattered(), sequences(20)
        terms_BT = scattered().double().token_logits(torch.from_numpy(tokens_BT)).detach().numpy()
        for t in range(SPEC.max_length + 1):
            prefix_BT = np.where(np.arange(SPEC.max_length) < t, tokens_BT, SPEC.pad_id)
            np.testing.assert_allclose(
                discriminator.prefix_logits(prefix_BT), terms_BT[:, :t].sum(axis=1), rtol=0, atol=1e-12
            )
        np.testing.assert_allclose(discriminator.prefix_logits(tokens_BT), discriminator.exact_logits(tokens_BT))

    def test_a_term_sees_nothing_that_comes_later(self) -> None:
        discriminator = scattered()
        one, other = sequences(1), sequences(1)
        one[0], other[0] = [1, 2, 3, 1, 1, 1], [1, 2, 3, 4, 2, 0]
        with torch.no_grad():
            one_T, other_T = (discriminator.token_logits(torch.from_numpy(x))[0] for x in (one, other))
        torch.testing.assert_close(one_T[:3], other_T[:3])
        assert (one_T[3:] != other_T[3:]).all()

    def test_it_begins_with_one_half_and_learns_from_there(self) -> None:
        discriminator = build_discriminator("log_ratio", SPEC)
        assert (discriminator.logits(sequences(20)) == 0).all()
        DiscriminatorTrainer(discriminator, 0.01).update(
            torch.from_numpy(sequences(20)), torch.from_numpy(sequences(20, seed=1))
        )
        assert (discriminator.logits(sequences(20)) != 0).all()

    def test_the_vocabulary_is_never_spread_out(self) -> None:
        """No tensor of a forward and backward pass is as large as B x T x V."""
        spec, largest = SequenceSpec(3000, 6), 0

        def record(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal largest
            if tensor.is_floating_point():  # the LSTM also keeps a workspace of bytes
                largest = max(largest, tensor.numel())
            return tensor

        discriminator = LogRatioDiscriminator(spec, LogRatioConfig(embedding_dim=2, hidden_dim=2)).train()
        tokens_BT = torch.randint(3000, (50, 6), generator=torch.Generator().manual_seed(0))
        with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
            discriminator(tokens_BT).sum().backward()
        assert 0 < largest < 50 * 6 * 3000 / 50


@pytest.mark.theory
def test_it_learns_the_exact_log_ratio() -> None:
    """On a task of 27 sequences, by eq. 13.32 on samples, from three seeds: nearly all of the excess log-loss goes.

    The excess of ``D = 1/2`` over the optimum is the Jensen-Shannon divergence; less than a twentieth of it is left.
    """
    real, generated = LSTMOracle(3, 3, 2, 4, seed=0), LSTMOracle(3, 3, 2, 4, seed=1)
    outcomes_KT = all_sequences(real.spec)
    p_K, g_K = np.exp(real.log_prob(outcomes_KT)), np.exp(generated.log_prob(outcomes_KT))
    best_K = OptimalDiscriminator(real.spec, real.log_prob, generated.log_prob).logits(outcomes_KT)

    def log_loss(logit_K: Any) -> float:
        return float(0.5 * (p_K @ np.logaddexp(0, -logit_K) + g_K @ np.logaddexp(0, logit_K)))

    for seed in range(3):
        discriminator = build_discriminator("log_ratio", real.spec, seed=seed, kwargs={"hidden_dim": 16})
        trainer, rng = DiscriminatorTrainer(discriminator, 1e-2, seed=seed), np.random.default_rng(seed)
        before = log_loss(discriminator.logits(outcomes_KT)) - log_loss(best_K)
        trainer.fit(real.sample(60_000, rng), generated.sample(60_000, rng), batch_size=500)
        logit_K = discriminator.logits(outcomes_KT)
        assert before > 0.05
        assert 0 < log_loss(logit_K) - log_loss(best_K) < before / 20
        assert np.corrcoef(logit_K, best_K)[0, 1] > 0.95


def test_shaping_and_pictures_use_its_partial_sums() -> None:
    """With the reward that is the logit itself, potential-based shaping pays each token its own term."""
    arguments: dict[str, Any] = {"vocab_size": 5, "max_length": 4, "n_real": 20, "n_held_out": 5}
    env = SeqGANEnv(**arguments, discriminator="log_ratio", reward="log_ratio", shaping="discriminator")
    discriminator = env.task.scoring.discriminator
    assert isinstance(discriminator, LogRatioDiscriminator)
    torch.nn.init.normal_(discriminator.output.weight, generator=torch.Generator().manual_seed(0))
    tokens_1T = np.array([[3, 1, 4, 1]])
    terms_T = discriminator.token_logits(torch.from_numpy(tokens_1T)).detach().double().numpy()[0]
    np.testing.assert_allclose(env.task.scoring.beginning_logits(tokens_1T[0]), terms_T.cumsum(), atol=1e-5)
    env.reset()
    paid_T = [env.step(token)[1] for token in tokens_1T[0]]
    assert np.abs(terms_T).min() > 1e-3
    # the last step also takes back what the shaping has paid before, so that only the reward is left in the sum
    np.testing.assert_allclose(paid_T[:3], terms_T[:3], atol=1e-5)
    assert sum(paid_T) == pytest.approx(terms_T.sum(), abs=1e-5)
