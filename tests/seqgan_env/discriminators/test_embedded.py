"""The gradient penalty on embeddings, against its plain form, for every kind that has one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from agents.adversary import RoundConfig
from seqgan_env.discriminators import (
    DISCRIMINATORS,
    Discriminator,
    DiscriminatorTrainer,
    EnsembleDiscriminator,
    build_discriminator,
)
from seqgan_env.discriminators.embedded import Embedded
from tests.support.discriminators import SPEC, sequences

SIZES: dict[str, dict[str, Any]] = {
    "cnn": {"embedding_dim": 3, "filters": [[1, 2], [3, 4]]},
    "gru": {"embedding_dim": 3, "hidden_dim": 4, "n_layers": 2},
    "transformer": {"hidden_dim": 4, "n_heads": 2},
}
KINDS = [name for name, entry in DISCRIMINATORS.items() if issubclass(entry.kind, Embedded)]


def build(name: str, **kwargs: Any) -> Embedded:
    built = build_discriminator(name, SPEC, kwargs={**SIZES[name], **kwargs}).double()
    assert isinstance(built, Embedded)
    return built


def batches(n: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(sequences(n)), torch.from_numpy(sequences(n, seed=1))


def test_these_kinds_have_one() -> None:
    assert set(KINDS) == set(SIZES)
    ensemble = build_discriminator("ensemble", SPEC)
    assert ensemble.has_gradient_penalty
    assert not build_discriminator("ensemble", SPEC, kwargs={"kind": "tabular"}).has_gradient_penalty


@pytest.mark.theory
@pytest.mark.parametrize("name", KINDS)
class TestPenalty:
    def test_it_is_the_mean_of_the_squares_of_each_slope_less_1(self, name: str) -> None:
        """One pair at a time, the slope by central differences of the logit along each coordinate."""
        discriminator = build(name)
        # no pair of tokens comes twice in a row: where two windows are equal the maximum has no slope
        real_BT = torch.tensor([[1, 2, 3, 4, 1, 2], [3, 1, 0, 5, 5, 5], [4, 0, 5, 5, 5, 5]])
        generated_BT = torch.tensor([[2, 2, 4, 1, 3, 0], [1, 4, 2, 3, 0, 5], [2, 1, 0, 5, 5, 5]])
        shares = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        expected = []
        with torch.no_grad():
            for real_T, generated_T, share in zip(real_BT, generated_BT, shares.flatten().tolist(), strict=True):
                ends = discriminator.embedding(real_T), discriminator.embedding(generated_T)
                point_TE = share * ends[0] + (1 - share) * ends[1]
                is_token_1T = ((real_T != SPEC.pad_id) | (generated_T != SPEC.pad_id))[None]
                n, eps = point_TE.numel(), 1e-6
                steps = eps * torch.eye(n, dtype=torch.float64).view(n, *point_TE.shape) * is_token_1T[0, :, None]
                up_N, down_N = (
                    discriminator.from_embedded(point_TE + s * steps, is_token_1T.expand(n, -1)) for s in (1, -1)
                )
                expected.append((((up_N - down_N) / (2 * eps)).square().sum().sqrt().item() - 1) ** 2)
        found = discriminator.gradient_penalty(real_BT, generated_BT, torch.Generator().manual_seed(5))
        assert found.item() == pytest.approx(sum(expected) / 3, rel=1e-5)

    def test_its_gradient_is_that_of_its_value(self, name: str) -> None:
        """The second derivative, against a difference of penalties along one direction; embeddings are constants."""
        discriminator = build(name)

        def penalty() -> torch.Tensor:
            return discriminator.gradient_penalty(*batches(), torch.Generator().manual_seed(5))

        penalty().backward()
        assert discriminator.embedding.weight.grad is None
        learned = [p for p in discriminator.parameters() if p.grad is not None]
        rng = torch.Generator().manual_seed(0)
        steps = [1e-6 * torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in learned]
        slope = sum(float((p.grad * step).sum()) for p, step in zip(learned, steps, strict=True) if p.grad is not None)
        values = []
        for sign in (1, -2):  # there and, from there, to the other side
            with torch.no_grad():
                for p, step in zip(learned, steps, strict=True):
                    p += sign * step
            values.append(penalty().item())
        assert abs(slope) > 1e-9
        assert (values[0] - values[1]) / 2 == pytest.approx(slope, rel=1e-3)

    def test_the_logit_is_made_of_embeddings(self, name: str) -> None:
        discriminator, tokens_BT = build(name), batches()[0]
        with torch.no_grad():
            found_B = discriminator.from_embedded(discriminator.embedding(tokens_BT), SPEC.is_token(tokens_BT))
            torch.testing.assert_close(found_B, discriminator(tokens_BT), rtol=0, atol=1e-12)


@pytest.mark.theory
def test_an_ensembles_is_the_mean_of_its_members() -> None:
    ensemble = build_discriminator("ensemble", SPEC, kwargs={"kind": "gru", "kwargs": SIZES["gru"]})
    assert isinstance(ensemble, EnsembleDiscriminator)
    rng, members = torch.Generator().manual_seed(0), [m for m in ensemble.members if isinstance(m, Discriminator)]
    expected = sum(m.gradient_penalty(*batches(), rng).item() for m in members) / len(members)
    found = ensemble.gradient_penalty(*batches(), torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(expected, rel=1e-6)


class TestTraining:
    def test_a_critic_is_held_to_slope_1_and_its_embeddings_stay(self) -> None:
        discriminator = build("gru", dropout=0.0)
        embedding = discriminator.embedding.weight.clone()
        trainer = DiscriminatorTrainer(discriminator, 0.02, loss="wasserstein", gradient_penalty=10.0)
        real_BT, generated_BT = batches(64)
        real_BT[:, 0] = 1
        losses = [trainer.update(real_BT, generated_BT).item() for _ in range(60)]
        assert losses[-1] < losses[0] - 0.1
        penalty = discriminator.gradient_penalty(real_BT, generated_BT, torch.Generator().manual_seed(0)).item()
        assert penalty < 0.1
        assert torch.equal(discriminator.embedding.weight, embedding)

    def test_none_leaves_everything_as_it_was(self) -> None:
        one, other = build("cnn"), build("cnn")
        DiscriminatorTrainer(one, 0.01, gradient_penalty=0.0).update(*batches())
        DiscriminatorTrainer(other, 0.01).update(*batches())
        assert all(map(torch.equal, one.parameters(), other.parameters()))

    def test_it_repeats_and_goes_through_the_state(self) -> None:
        discriminator = build("transformer")
        trainer = DiscriminatorTrainer(discriminator, 0.01, loss="wasserstein", gradient_penalty=1.0)
        trainer.update(*batches())
        again = DiscriminatorTrainer(build("transformer"), 0.01, loss="wasserstein", gradient_penalty=1.0)
        again.load_state_dict(copy.deepcopy(trainer.state_dict()))
        for each in (trainer, again):
            each.update(*batches())
        assert all(map(torch.equal, discriminator.parameters(), again.discriminator.parameters()))

    @pytest.mark.parametrize("name", ["tabular", "log_ratio", "causal"])
    def test_a_kind_without_embeddings_alone_is_refused(self, name: str) -> None:
        discriminator = build_discriminator(name, SPEC)
        with pytest.raises(ValueError, match="reads tokens by their embeddings alone, got a"):
            DiscriminatorTrainer(discriminator, gradient_penalty=1.0)
        with pytest.raises(ValueError, match="does not read its tokens by their embeddings alone"):
            discriminator.gradient_penalty(*batches())

    def test_a_pass_is_not_chosen_by_the_log_loss_of_a_critic(self) -> None:
        with pytest.raises(ValueError, match="patience goes by the log-loss, which means nothing under the loss 'rel"):
            RoundConfig(loss="relativistic", patience=2)
        trainer = DiscriminatorTrainer(build("cnn"), loss="relativistic")
        with pytest.raises(ValueError, match="patience goes by the log-loss"):
            trainer.fit_until_stale(*(sequences(4, seed) for seed in range(4)))
        with pytest.raises(ValueError, match="needs a gradient_penalty above 0"):
            RoundConfig(loss="wasserstein")
