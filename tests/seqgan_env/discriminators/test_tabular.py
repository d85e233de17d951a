"""The tabular discriminator: a number for each sequence, and with it the optimum of eq. 13.32 itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    DiscriminatorTrainer,
    OptimalDiscriminator,
    TabularConfig,
    TabularDiscriminator,
    build_discriminator,
    check_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.enumeration import all_sequences
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support import reference
from tests.support.builders import show
from tests.support.reference_env import TINY

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 4, 0), SequenceSpec(3, 4, 1), SequenceSpec(2, 4, 1), SequenceSpec(4, 1)]

Floats = npt.NDArray[np.float64]


every_spec = pytest.mark.parametrize("spec", SPECS, ids=show)


class TestTable:
    @every_spec
    def test_every_sequence_has_a_logit_of_its_own(self, spec: SequenceSpec) -> None:
        """Change them one by one: each change is seen in exactly one sequence."""
        discriminator = TabularDiscriminator(spec)
        tokens_KT = torch.from_numpy(reference.padded(spec, reference.sequences(spec)))
        (parameter,) = discriminator.parameters()
        assert parameter.shape == (len(tokens_KT),)
        with torch.no_grad():
            parameter.copy_(torch.arange(len(tokens_KT)))
        assert sorted(discriminator.logits(tokens_KT).tolist()) == list(range(len(tokens_KT)))

    @every_spec
    def test_the_logits_stand_in_the_order_of_all_sequences(self, spec: SequenceSpec) -> None:
        discriminator = build_discriminator("tabular", spec, kwargs={"scale": 1.0})
        assert isinstance(discriminator, TabularDiscriminator)
        logit_K = discriminator.table_K.detach().double().numpy()
        np.testing.assert_array_equal(discriminator.logits(all_sequences(spec)), logit_K)
        place_B = np.random.default_rng(0).integers(len(logit_K), size=(40,))
        np.testing.assert_array_equal(discriminator.logits(all_sequences(spec)[place_B]), logit_K[place_B])

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
    def test_each_row_moves_its_own_logit(self, place: list[int]) -> None:
        """The gradient of the sum over a batch is how often each sequence is in it."""
        spec = SequenceSpec(3, 4, 0)
        discriminator = TabularDiscriminator(spec)
        discriminator(torch.from_numpy(all_sequences(spec)[place])).sum().backward()
        assert discriminator.table_K.grad is not None
        assert discriminator.table_K.grad.tolist() == [place.count(k) for k in range(31)]

    def test_without_a_scale_it_knows_nothing(self) -> None:
        assert (TabularDiscriminator(SPECS[0]).logits(all_sequences(SPECS[0])) == 0).all()

    def test_the_scale_multiplies_one_draw(self) -> None:
        """Normal with the standard deviation asked for: the mean of 4,096 squares is within four standard errors."""
        spec = SequenceSpec(4, 6)
        one, three = (build_discriminator("tabular", spec, seed=2, kwargs={"scale": x}) for x in (1.0, 3.0))
        logit_K = one.logits(all_sequences(spec))
        np.testing.assert_allclose(three.logits(all_sequences(spec)), 3 * logit_K, rtol=1e-6)
        assert abs((logit_K**2).mean() - 1) < 4 * math.sqrt(2 / len(logit_K))
        assert abs(logit_K.mean()) < 4 / math.sqrt(len(logit_K))

    def test_the_seed_decides_it_and_the_global_generator_is_left_alone(self) -> None:
        state = torch.get_rng_state()
        first, again, other = (
            build_discriminator("tabular", SPECS[1], seed=seed, kwargs={"scale": 1.0}).state_dict()["table_K"]
            for seed in (3, 3, 4)
        )
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_round_trip_through_a_file(self, tmp_path: Path) -> None:
        discriminator = build_discriminator("tabular", SPECS[1], seed=1, kwargs={"scale": 1.0})
        save_discriminator(discriminator, tmp_path / "tabular")
        loaded = load_discriminator(tmp_path / "tabular")
        assert isinstance(loaded, TabularDiscriminator)
        np.testing.assert_array_equal(
            loaded.logits(all_sequences(SPECS[1])), discriminator.logits(all_sequences(SPECS[1]))
        )

    def test_its_weights_travel_between_environments(self) -> None:
        kwargs: dict[str, Any] = {**TINY, "discriminator": "tabular", "discriminator_kwargs": {"scale": 1.0}}
        env, other = SeqGANEnv(**kwargs), SeqGANEnv(**kwargs, discriminator_seed=1)
        sequences_KT = all_sequences(env.sequence_spec)
        assert (env.score(sequences_KT) != other.score(sequences_KT)).any()
        env.load_discriminator(other.discriminator_weights())
        np.testing.assert_array_equal(env.score(sequences_KT), other.score(sequences_KT))

    @pytest.mark.parametrize("function", [build_discriminator, check_discriminator])
    @pytest.mark.parametrize(
        ("spec", "kwargs", "message"),
        [
            (SequenceSpec(5000, 20), {}, "the task must be small enough to enumerate, .*; got SequenceSpec"),
            (SequenceSpec(3, 3), {"scale": -1.0}, "scale must be a finite number of at least 0, got -1.0"),
            (SequenceSpec(3, 3), {"scale": math.inf}, "scale must be a finite number of at least 0, got inf"),
            (SequenceSpec(3, 3), {"scale": math.nan}, "scale must be a finite number of at least 0, got nan"),
            (SequenceSpec(3, 3), {"scale": "2"}, "scale must be a finite number of at least 0, got '2'"),
            (SequenceSpec(3, 3), {"filters": [[1, 4]]}, "discriminator 'tabular' takes scale; got filters"),
        ],
    )
    def test_it_refuses(self, function: Any, spec: SequenceSpec, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            function("tabular", spec, kwargs=kwargs)


@pytest.mark.theory
@pytest.mark.parametrize("eos_id", [None, 1])
def test_a_table_s_logit_of_a_prefix_is_the_mean_of_its_completions(eos_id: int | None) -> None:
    from seqgan_env.discriminators import TabularDiscriminator
    from seqgan_env.enumeration import open_prefixes
    from seqgan_env.tokens import SequenceSpec

    spec = SequenceSpec(3, 3, eos_id)
    torch.manual_seed(0)
    discriminator, sequences = TabularDiscriminator(spec, TabularConfig(scale=1.0)), all_sequences(spec)
    table = discriminator.table_K.detach().double().numpy()
    prefixes = np.concatenate([open_prefixes(spec), sequences])
    for prefix, logit in zip(prefixes, discriminator.prefix_logits(prefixes), strict=True):
        n = spec.lengths(prefix)
        assert logit == pytest.approx(table[(sequences[:, :n] == prefix[:n]).all(axis=1)].mean(), abs=1e-12)


class Laws:
    """Two laws over all sequences of a task, real and generated, each a table of probabilities in the slow form."""

    def __init__(self, spec: SequenceSpec) -> None:
        self.spec = spec
        rows = reference.sequences(spec)
        self.tokens_KT = torch.from_numpy(reference.padded(spec, rows))
        real, generated = (reference.table_policy(spec, seed)[0] for seed in (0, 1))
        self.p_K = torch.stack([reference.probability(real, row) for row in rows]).detach()
        self.g_K = torch.stack([reference.probability(generated, row) for row in rows]).detach()

    @property
    def log_ratio_K(self) -> Tensor:
        """``log p - log G``."""
        return self.p_K.log() - self.g_K.log()

    @property
    def jsd(self) -> float:
        """The Jensen-Shannon divergence: the mean of both divergences from the mixture, nats."""
        mixture_K = (self.p_K + self.g_K) / 2
        return float(sum((q_K * (q_K / mixture_K).log()).sum() for q_K in (self.p_K, self.g_K)) / 2)

    def objective(self, logit_K: Tensor) -> Tensor:
        """Eq. 13.32, its expectations written out: E_p[log D(Y)] + E_G[log(1 - D(Y))]."""
        log_d_K, log_one_minus_d_K = -torch.log1p(torch.exp(-logit_K)), -torch.log1p(torch.exp(logit_K))
        return (self.p_K * log_d_K).sum() + (self.g_K * log_one_minus_d_K).sum()

    def excess(self, discriminator: TabularDiscriminator) -> float:
        """How much more than the least its expected log-loss is, nats per sequence."""
        logit_K = torch.from_numpy(discriminator.logits(self.tokens_KT))
        return float(self.objective(self.log_ratio_K) - self.objective(logit_K)) / 2

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Real and generated sequences."""
        real_B, generated_B = (rng.choice(len(q_K), size=n, p=q_K.numpy()) for q_K in (self.p_K, self.g_K))
        return self.tokens_KT.numpy()[real_B], self.tokens_KT.numpy()[generated_B]


@pytest.mark.theory
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(4, 1)], ids=show)
class TestOptimum:
    """For a fixed generator."""

    def maximised(self, laws: Laws) -> TabularDiscriminator:
        """Eq. 13.32, exact, climbed by its gradient until that is 0, from random logits."""
        torch.manual_seed(0)
        discriminator = TabularDiscriminator(laws.spec, TabularConfig(scale=1.0)).double()
        optimizer = torch.optim.LBFGS(
            discriminator.parameters(),
            max_iter=2000,
            tolerance_grad=1e-13,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            negative = -laws.objective(discriminator(laws.tokens_KT))
            negative.backward()
            return negative

        optimizer.step(loss)
        return discriminator

    def test_the_maximiser_is_p_over_p_plus_g(self, spec: SequenceSpec) -> None:
        """Eq. 13.32: D* = p / (p + G), whose logit is log p - log G."""
        laws = Laws(spec)
        logit_K = torch.from_numpy(self.maximised(laws).logits(laws.tokens_KT))
        torch.testing.assert_close(logit_K, laws.log_ratio_K, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.sigmoid(logit_K), laws.p_K / (laws.p_K + laws.g_K), rtol=0, atol=1e-7)
        optimal = OptimalDiscriminator(spec, lambda _: laws.p_K.log().numpy(), lambda _: laws.g_K.log().numpy())
        np.testing.assert_allclose(logit_K, optimal.logits(laws.tokens_KT), rtol=0, atol=1e-5)

    def test_the_maximum_is_twice_the_jensen_shannon_divergence_less_log_4(self, spec: SequenceSpec) -> None:
        """Eq. 13.32 at D*: 2 JSD(p, G) - log 4, and -log 4 where D knows nothing."""
        laws = Laws(spec)
        assert laws.jsd > 0.01
        logit_K = torch.from_numpy(self.maximised(laws).logits(laws.tokens_KT))
        assert laws.objective(logit_K).item() == pytest.approx(2 * laws.jsd - math.log(4), abs=1e-10)
        assert laws.objective(torch.zeros_like(logit_K)).item() == pytest.approx(-math.log(4), abs=1e-12)

    def test_training_on_samples_approaches_it(self, spec: SequenceSpec) -> None:
        """Eq. 13.32 by `DiscriminatorTrainer`: the excess log-loss begins at the JSD and shrinks, whatever the seed.

        By the end of 120 updates, each on 500 new sequences of either kind, it is below a twentieth of that.
        """
        laws = Laws(spec)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            discriminator = TabularDiscriminator(spec)
            trainer = DiscriminatorTrainer(discriminator, learning_rate=0.05, seed=seed)
            excess = [laws.excess(discriminator)]
            for _ in range(3):
                trainer.fit(*laws.sample(20_000, rng), batch_size=500)
                excess.append(laws.excess(discriminator))
            assert excess[0] == pytest.approx(laws.jsd, rel=1e-6)
            assert excess[0] > excess[1] > 0
            assert 0 < excess[-1] < excess[0] / 20

    def test_the_more_samples_the_nearer(self, spec: SequenceSpec) -> None:
        """Eq. 13.32 on a fixed set of sequences: what the set doesn't tell is left, a tenth of it with ten times more.

        The mean over four seeds must fall to a third at least, each time.
        """
        laws, sizes = Laws(spec), (50, 500, 5000)
        excess_RN = np.zeros((4, len(sizes)))
        for seed in range(4):
            rng = np.random.default_rng(seed)
            for i, n in enumerate(sizes):
                discriminator = TabularDiscriminator(spec)
                trainer = DiscriminatorTrainer(discriminator, learning_rate=0.1, seed=seed)
                real_BT, generated_BT = (torch.from_numpy(tokens_BT) for tokens_BT in laws.sample(n, rng))
                for _ in range(100):
                    trainer.update(real_BT, generated_BT)
                excess_RN[seed, i] = laws.excess(discriminator)
        assert (excess_RN > 0).all()
        mean_N = excess_RN.mean(axis=0)
        assert (mean_N[1:] < mean_N[:-1] / 3).all()
