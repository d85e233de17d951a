"""Maximum likelihood: each epoch is gradient descent on eq. 13.34 over every real sequence once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.checkpoint import load_checkpoint, save_checkpoint
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.maximum_likelihood import (
    LikelihoodConfig,
    MaximumLikelihoodTrainer,
    maximum_likelihood_loss,
)
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support import reference
from tests.support.builders import batches, every_kind, lstm, make_generator, show

SPEC = SequenceSpec(4, 4, 0)


def real(n: int, spec: SequenceSpec = SPEC) -> Tokens:
    tokens: Tokens = lstm(spec, seed=7).sample(n, torch.Generator().manual_seed(0)).numpy()
    return tokens


def token_nll(policy: AutoregressiveModel, tokens_BT: Tokens) -> Tensor:
    """Eq. 13.33-13.34, the slow form: minus the mean over the tokens of their log-probability given those before."""
    next_token = reference.next_token_of(policy)
    rows = reference.unpadded(policy.spec, tokens_BT)
    values = [-torch.log(next_token(row[:t])[row[t]]) for row in rows for t in range(len(row))]
    return torch.stack(values).mean()


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(4, 1)], ids=show)
def test_the_likelihood_and_its_gradient_are_the_enumerated_ones(spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.33 = eq. 13.34: E_p[log G(Y)] over all sequences, each the logarithm of a product, against the loss.

    Weights of the law times the number of sequences make the loss's mean over tokens an expectation.
    """
    policy, law = make_generator(kind, spec), reference.table_policy(spec, seed=3)[0]
    next_token, parameters = reference.next_token_of(policy), list(policy.parameters())
    rows = reference.sequences(spec)
    p_B = torch.stack([reference.probability(law, row) for row in rows]).detach()
    log_g_B = torch.stack([torch.log(reference.probability(next_token, row)) for row in rows])
    tokens_BT = torch.from_numpy(reference.padded(spec, rows))
    np.testing.assert_allclose(policy.sequence_log_prob(tokens_BT.numpy()), log_g_B.detach(), rtol=0, atol=1e-10)
    loss = maximum_likelihood_loss(policy.log_prob(tokens_BT), (tokens_BT != spec.pad_id) * p_B[:, None])
    n_tokens = sum(p * len(row) for p, row in zip(p_B.tolist(), rows, strict=True))
    exact = -(p_B * log_g_B).sum() / n_tokens
    assert loss.item() == pytest.approx(exact.item(), rel=0, abs=1e-10)
    gradient = reference.gradient_of(exact, parameters)
    torch.testing.assert_close(reference.gradient_of(loss, parameters), gradient, rtol=0, atol=1e-10)
    assert gradient.abs().max() > 1e-3


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("max_grad_norm", [0.1, 1e9])
def test_an_update_is_a_step_of_adam_on_the_mean_over_tokens(max_grad_norm: float, kind: str) -> None:
    """Eq. 13.34: one batch of all sequences; the reference follows the enumerated loss and clips by hand."""
    tokens_BT = real(12)
    policy, expected = make_generator(kind, SPEC), make_generator(kind, SPEC)
    trainer = MaximumLikelihoodTrainer(
        policy, LikelihoodConfig(0.02, batch_size=12, max_grad_norm=max_grad_norm, schedule="constant")
    )
    optimizer = torch.optim.Adam(expected.parameters(), lr=0.02)
    norms = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = token_nll(expected, tokens_BT)
        loss.backward()
        gradients = [parameter.grad for parameter in expected.parameters() if parameter.grad is not None]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        for gradient in gradients:
            gradient.mul_(min(1.0, max_grad_norm / (norms[-1] + 1e-6)))
        optimizer.step()
        assert trainer.epoch(tokens_BT) == pytest.approx(loss.item(), rel=1e-9)
        for ours, theirs in zip(policy.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
    assert 0.1 < min(norms) < max(norms) < 1e9


@given(n=st.integers(1, 40), batch_size=st.integers(1, 45), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_an_epoch_shows_every_sequence_once(n: int, batch_size: int, seed: int) -> None:
    """In batches of the size asked for, of which only the last may be smaller."""
    policy = lstm(SPEC)
    tokens_BT = reference.all_sequences(SPEC)[:n]
    batches: list[Tensor] = []
    weighted_log_prob = policy.weighted_log_prob

    def watch(tokens_BT: Tensor, factor_BT: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
        batches.append(tokens_BT)
        return weighted_log_prob(tokens_BT, factor_BT, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "weighted_log_prob", watch)
        MaximumLikelihoodTrainer(policy, LikelihoodConfig(batch_size=batch_size, schedule="constant"), seed).epoch(
            tokens_BT
        )
    assert sorted(torch.cat(batches).tolist()) == sorted(tokens_BT.tolist())
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches) == -(-n // batch_size)


def test_every_epoch_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = lstm(SPEC)
    seen: list[list[list[int]]] = []
    weighted_log_prob = policy.weighted_log_prob

    def watch(tokens_BT: Tensor, factor_BT: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
        seen[-1] += tokens_BT.tolist()
        return weighted_log_prob(tokens_BT, factor_BT, **more)

    monkeypatch.setattr(policy, "weighted_log_prob", watch)
    trainer = MaximumLikelihoodTrainer(policy, LikelihoodConfig(batch_size=8, schedule="constant"))
    for _ in range(2):
        seen.append([])
        trainer.epoch(reference.all_sequences(SPEC))
    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]
    assert trainer.n_epochs == 2


@pytest.mark.theory
@every_kind
def test_learns_the_law_of_the_data(kind: str) -> None:
    """Eq. 13.33: the likelihood's supremum is the empirical law; what is left of KL(data || policy) is small."""
    spec = SequenceSpec(3, 2, 2)
    outcomes_BT = reference.all_sequences(spec)
    counts = np.array([12, 1, 3, 8, 2, 2, 4])
    assert len(counts) == len(outcomes_BT)
    policy = make_generator(kind, spec, hidden_dim=8, scale=1.0)
    trainer = MaximumLikelihoodTrainer(policy, LikelihoodConfig(learning_rate=0.05, batch_size=32, schedule="constant"))
    law = counts / counts.sum()

    def divergence() -> float:
        return float(law @ (np.log(law) - policy.sequence_log_prob(outcomes_BT)))

    before = divergence()
    for _ in range(150):
        trainer.epoch(np.repeat(outcomes_BT, counts, axis=0))
    assert before > 0.1
    assert 0 <= divergence() < 1e-3


def test_goes_on_from_a_checkpoint_as_if_nothing_had_happened(tmp_path: Any) -> None:
    tokens_BT = real(50)
    through, before, after = lstm(SPEC), lstm(SPEC), lstm(SPEC, seed=1)
    trainer = MaximumLikelihoodTrainer(through, LikelihoodConfig(batch_size=8), seed=3)
    losses = [trainer.epoch(tokens_BT) for _ in range(4)]
    first = MaximumLikelihoodTrainer(before, LikelihoodConfig(batch_size=8), seed=3)
    assert [first.epoch(tokens_BT) for _ in range(2)] == losses[:2]
    save_checkpoint(tmp_path / "state.zip", {"policy": dict(before.state_dict()), "trainer": first.state_dict()})
    state = load_checkpoint(tmp_path / "state.zip")
    after.load_state_dict(state["policy"])
    second = MaximumLikelihoodTrainer(after, LikelihoodConfig(batch_size=8), seed=3)
    second.load_state_dict(state["trainer"])
    assert [second.epoch(tokens_BT) for _ in range(2)] == losses[2:]
    for ours, theirs in zip(after.parameters(), through.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_seed_decides_the_order() -> None:
    tokens_BT = real(50)

    def losses(seed: int) -> list[float]:
        trainer = MaximumLikelihoodTrainer(lstm(SPEC), LikelihoodConfig(batch_size=8), seed)
        return [trainer.epoch(tokens_BT) for _ in range(2)]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_refuses_no_sequences() -> None:
    with pytest.raises(ValueError, match="real must hold sequences, got none"):
        MaximumLikelihoodTrainer(lstm(SPEC)).epoch(real(1)[:0])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", 0.0, "a finite number above 0 and at most 1000000, got"),
        ("learning_rate", float("nan"), "a finite number above 0 and at most 1000000, got"),
        ("batch_size", 0, "a whole number of at least 1, got"),
        ("max_grad_norm", -1.0, "a finite number above 0, got"),
        ("max_grad_norm", float("nan"), "a finite number above 0, got"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be {message} {value}"):
        LikelihoodConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LikelihoodConfig(0.1), [0.1, 0.1 * (1 + 0.5**0.5) / 2, 0.05, 0.1 * (1 - 0.5**0.5) / 2, 0.0]),
        (LikelihoodConfig(0.1, schedule="constant"), [0.1] * 5),
        (LikelihoodConfig(0.1, schedule="constant", warmup=0.5), [0.0, 0.05, 0.1, 0.1, 0.1]),
        (LikelihoodConfig(0.1, warmup=0.25), [0.0, 0.1 * (1 + 0.5**0.5) / 2, 0.05, 0.1 * (1 - 0.5**0.5) / 2, 0.0]),
    ],
    ids=["cosine", "constant", "constant with warm-up", "cosine with warm-up"],
)
def test_the_step_size_is_that_of_the_schedule(config: LikelihoodConfig, expected: list[float]) -> None:
    np.testing.assert_allclose([config.step_size(i / 4) for i in range(5)], expected, atol=1e-15)


def test_the_schedule_falls_to_0_over_all_epochs() -> None:
    tokens_BT = reference.all_sequences(SPEC)
    trainer = MaximumLikelihoodTrainer(lstm(SPEC), LikelihoodConfig(0.1, batch_size=len(tokens_BT)), total_epochs=4)
    seen = []
    for _ in range(4):
        trainer.epoch(tokens_BT)
        seen.append(trainer.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(seen, [trainer.config.step_size(i / 4) for i in range(4)])


def test_a_plateau_halves_the_step_size_after_each_worse_epoch() -> None:
    tokens_BT = reference.all_sequences(SPEC)
    trainer = MaximumLikelihoodTrainer(lstm(SPEC), LikelihoodConfig(0.08, schedule="plateau"))
    seen = []
    for nll in (2.0, 1.0, 1.5, 0.9, 0.9):
        trainer.observe(nll)
        trainer.epoch(tokens_BT)
        seen.append(trainer.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(seen, [0.08, 0.08, 0.04, 0.04, 0.02])


def test_dropout_and_its_noise_follow_the_seed_and_the_epoch() -> None:
    tokens_BT = reference.all_sequences(SPEC)

    def losses(seed: int) -> list[float]:
        generator = make_generator("lstm", SPEC, dropout=0.5)
        trainer = MaximumLikelihoodTrainer(generator, LikelihoodConfig(1e-9, batch_size=len(tokens_BT)), seed)
        return [trainer.epoch(tokens_BT) for _ in range(2)]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)
    assert losses(0)[0] != losses(0)[1]


@every_kind
@pytest.mark.parametrize("variational", [False, True])
def test_dropout_keeps_the_mean_and_drops_whole_columns_where_it_is_variational(
    variational: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the embeddings, as the core reads them, and of the states that it gives, as the softmax reads them."""
    n, p = 400, 0.25
    generator = make_generator(kind, SPEC, hidden_dim=6, dropout=p, variational=variational)
    tokens_BT, core, rng = torch.from_numpy(reference.all_sequences(SPEC))[-8:], generator.core, torch.Generator()
    embedded_BTE, read = core.embedding(generator.spec.with_start(tokens_BT[:, :-1])).detach(), core.read
    reads: list[tuple[Tensor, Tensor]] = []

    def watch(embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        reads.append((embedded_BTE, read(embedded_BTE, rng)))
        return reads[-1][1]

    monkeypatch.setattr(core, "read", watch)
    with torch.no_grad():
        dropped = [generator.hidden(tokens_BT, rng) for _ in range(n)]
    of_embedding = [(embedded_BTE, given_BTE) for given_BTE, _ in reads]
    of_state = [(state_BTH, given_BTH) for (_, state_BTH), given_BTH in zip(reads, dropped, strict=True)]
    for pairs in (of_embedding, of_state):
        whole_N, given_N = (torch.stack(each) for each in zip(*pairs, strict=True))
        kept_N = given_N != 0
        torch.testing.assert_close(given_N, torch.where(kept_N, whole_N / (1 - p), torch.zeros_like(whole_N)))
        assert float((kept_N.double().mean(dim=0) - (1 - p)).abs().max()) < 5 * (p * (1 - p) / n) ** 0.5
        assert bool((kept_N == kept_N[:, :, :1]).all()) is variational
        assert not bool((kept_N == kept_N[:, :1]).all())  # each sequence has noise of its own


def test_without_noise_nothing_is_dropped() -> None:
    generator = make_generator("gru", SPEC, dropout=0.5)
    plain = make_generator("gru", SPEC)
    tokens_BT = torch.from_numpy(reference.all_sequences(SPEC))
    generator.train()
    assert torch.equal(generator.log_prob(tokens_BT), plain.log_prob(tokens_BT))


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_label_smoothing_and_its_gradient_are_those_of_the_definition(smoothing: float) -> None:
    generator = lstm(SPEC)
    tokens_BT = torch.from_numpy(reference.all_sequences(SPEC))
    factor_BT = torch.randn(tokens_BT.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    total, log_prob_BT = generator.weighted_log_prob(tokens_BT, factor_BT, smoothing=smoothing)
    assert torch.equal(log_prob_BT, generator.log_prob(tokens_BT))
    ours = torch.autograd.grad(total, list(generator.parameters()))
    log_p_BTV = generator.output(generator.hidden(tokens_BT)).log_softmax(dim=2)
    chosen_BT = log_p_BTV.gather(2, tokens_BT.clamp(max=SPEC.vocab_size - 1)[:, :, None]).squeeze(2)
    smoothed_BT = (1 - smoothing) * chosen_BT + smoothing * log_p_BTV.mean(dim=2)
    expected = (factor_BT * smoothed_BT * SPEC.is_token(tokens_BT)).sum()
    torch.testing.assert_close(total, expected)
    for a, b in zip(ours, torch.autograd.grad(expected, list(generator.parameters())), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.theory
def test_weight_decay_is_apart_from_the_gradient() -> None:
    """arXiv 1711.05101: an update shrinks the weights by step size times decay, and takes Adam's step besides."""
    tokens_BT = reference.all_sequences(SPEC)
    generator, expected = lstm(SPEC), lstm(SPEC)
    config = LikelihoodConfig(0.05, weight_decay=0.5, batch_size=len(tokens_BT), max_grad_norm=1e9)
    trainer = MaximumLikelihoodTrainer(generator, config, total_epochs=4)
    optimizer, rows_BT = torch.optim.Adam(expected.parameters()), torch.from_numpy(tokens_BT)
    for i in range(3):
        optimizer.param_groups[0]["lr"] = step_size = config.step_size(i / 4)
        optimizer.zero_grad()
        maximum_likelihood_loss(expected.log_prob(rows_BT), SPEC.is_token(rows_BT)).backward()
        with torch.no_grad():
            for weight in expected.parameters():
                weight.mul_(1 - step_size * config.weight_decay)
        optimizer.step()
        trainer.epoch(tokens_BT)
        for ours, theirs in zip(generator.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)


class TestWeightAveraging:
    TOKENS = reference.all_sequences(SPEC)

    def trainer(self, **kwargs: Any) -> MaximumLikelihoodTrainer:
        generator = make_generator("gru", SPEC, dropout=0.2)
        config = LikelihoodConfig(0.05, **{"batch_size": 30, **kwargs})
        return MaximumLikelihoodTrainer(generator, config, seed=3, total_epochs=6)

    @pytest.mark.theory
    @pytest.mark.parametrize("decay", [0.3, 0.9])
    def test_the_model_is_the_weighted_mean_of_the_weights_after_each_update(self, decay: float) -> None:
        """One update an epoch, beside a trainer without it: the weights it goes on from are the same."""
        averaging, plain = (self.trainer(weight_averaging=d, batch_size=len(self.TOKENS)) for d in (decay, 0.0))
        seen: list[list[Tensor]] = []
        for n in range(1, 6):
            assert averaging.epoch(self.TOKENS) == plain.epoch(self.TOKENS)
            seen.append([weight.detach().clone() for weight in plain.generator.parameters()])
            shares = torch.tensor([decay ** (n - i) for i in range(1, n + 1)], dtype=torch.float64)
            for k, weight in enumerate(averaging.generator.parameters()):
                expected = torch.tensordot(shares / shares.sum(), torch.stack([each[k] for each in seen]), dims=1)
                torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-12)

    def test_none_is_as_it_was_and_holds_nothing(self) -> None:
        trainer = self.trainer()
        trainer.epoch(self.TOKENS)
        assert trainer.state_dict()["averaging"] == {"n": 0, "weights": {}}

    @pytest.mark.parametrize("n_before", [0, 1, 3])
    def test_a_resumed_training_equals_an_uninterrupted_one(self, n_before: int, tmp_path: Path) -> None:
        whole, part, resumed = (self.trainer(weight_averaging=0.9) for _ in range(3))
        for _ in range(n_before):
            part.epoch(self.TOKENS)
        save_checkpoint(tmp_path / "x", {"model": part.generator.state_dict(), "trainer": part.state_dict()})
        state = load_checkpoint(tmp_path / "x")
        resumed.generator.load_state_dict(state["model"])
        resumed.load_state_dict(state["trainer"])
        for k in range(5):
            whole.epoch(self.TOKENS)
            if k >= n_before:
                resumed.epoch(self.TOKENS)
        ours, theirs = resumed.generator.state_dict(), whole.generator.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    def test_an_epoch_that_fails_leaves_the_average(self, monkeypatch: pytest.MonkeyPatch) -> None:
        trainer, calls = self.trainer(weight_averaging=0.9), []
        trainer.epoch(self.TOKENS)
        averaged = {name: weight.clone() for name, weight in trainer.generator.state_dict().items()}

        def fail(*_: Any) -> Tensor:
            calls.append(1)
            raise ValueError("no")

        monkeypatch.setattr(trainer, "_update", fail)
        with pytest.raises(ValueError, match="no"):
            trainer.epoch(self.TOKENS)
        assert all(torch.equal(averaged[name], weight) for name, weight in trainer.generator.state_dict().items())

    def test_it_refuses(self) -> None:
        for value in (-0.1, 1.0):
            with pytest.raises(ValueError, match=r"weight_averaging must be a finite number in \[0, 1\)"):
                LikelihoodConfig(weight_averaging=value)
        trainer = self.trainer(weight_averaging=0.9)
        trainer.epoch(self.TOKENS)
        state = trainer.state_dict()
        for averaging in ({"n": 3, "weights": {}}, {"n": 0, "weights": state["averaging"]["weights"]}):
            with pytest.raises(ValueError, match="the weights must have the names of the network's own"):
                self.trainer(weight_averaging=0.9).load_state_dict({**state, "averaging": averaging})


class TestMaximumLikelihood:
    @pytest.mark.theory
    @given(batches)
    def test_is_the_mean_over_the_tokens(self, batch: tuple[Tensor, Tensor]) -> None:
        """Eq. 13.33-13.34: minus the sum of the tokens' log-probabilities over their number."""
        log_prob_BT, mask_BT = batch
        values = [log_prob_BT[b, t].item() for b, t in mask_BT.nonzero().tolist()]
        assert maximum_likelihood_loss(log_prob_BT, mask_BT).item() == pytest.approx(-sum(values) / len(values))

    @pytest.mark.theory
    @every_kind
    def test_is_least_at_the_law_of_the_data(self, kind: str) -> None:
        """Eq. 13.33: at the law of the data the gradient is 0 and the loss is the entropy.

        The tokens are weighted by their sequence's probability, which makes the mean an expectation.
        """
        spec = SequenceSpec(3, 3, 0)
        policy = make_generator(kind, spec)
        tokens_BT = torch.from_numpy(reference.all_sequences(spec))
        log_prob_BT = policy.log_prob(tokens_BT)
        p_B = torch.exp(log_prob_BT.sum(dim=1)).detach()
        mask_BT = (tokens_BT != spec.pad_id) * p_B[:, None]
        loss = maximum_likelihood_loss(log_prob_BT, mask_BT)
        entropy = -(p_B * p_B.log()).sum() / (p_B * (tokens_BT != spec.pad_id).sum(dim=1)).sum()
        assert loss.item() == pytest.approx(entropy.item(), abs=1e-12)
        gradient = reference.gradient_of(loss, list(policy.parameters()))
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_a_loss_far_above_that_of_guessing_is_named() -> None:
    config = LikelihoodConfig(learning_rate=1e5, batch_size=1, schedule="constant")
    trainer = MaximumLikelihoodTrainer(lstm(SequenceSpec(3, 3)), config)
    message = r"^maximum likelihood has diverged: its loss is .*; learning_rate must be smaller, got 100000$"
    with pytest.raises(ValueError, match=message):
        trainer.epoch(np.arange(27)[:, None] // [9, 3, 1] % 3)
