"""The losses of a discriminator against their formulas, and its scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env.discriminators import LOSSES, discriminator_loss, discriminator_scores, get_objective
from seqgan_env.discriminators.losses import calibration_error
from tests.support.reference_env import log_loss

logits = st.lists(st.floats(-15, 15), min_size=1, max_size=6)


class TestLoss:
    @pytest.mark.theory
    @given(
        real=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
        generated=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
    )
    def test_it_is_half_of_minus_eq_13_32_and_so_is_its_gradient(
        self, real: list[float], generated: list[float]
    ) -> None:
        logit_real_B = torch.tensor(real, dtype=torch.float64, requires_grad=True)
        logit_generated_B = torch.tensor(generated, dtype=torch.float64, requires_grad=True)
        loss = discriminator_loss(logit_real_B, logit_generated_B)
        assert loss.item() == pytest.approx(log_loss(real, generated), rel=1e-6)
        loss.backward()
        # d/dx of -log D is D - 1, of -log(1 - D) it is D
        d_real, d_generated = torch.sigmoid(logit_real_B.detach()), torch.sigmoid(logit_generated_B.detach())
        torch.testing.assert_close(logit_real_B.grad, 0.5 * (d_real - 1) / len(real))
        torch.testing.assert_close(logit_generated_B.grad, 0.5 * d_generated / len(generated))

    def test_knowing_nothing_costs_log_2(self) -> None:
        assert float(discriminator_loss(torch.zeros(3), torch.zeros(5))) == pytest.approx(math.log(2))

    def test_it_stays_finite(self) -> None:
        far = torch.tensor([1e4, -1e4])
        assert float(discriminator_loss(far, far)) == pytest.approx(5e3)

    @given(
        real=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
        generated=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
    )
    def test_scores_are_counted_one_by_one(self, real: list[int], generated: list[int]) -> None:
        def right(logit_for: int) -> float:
            return 0.5 if logit_for == 0 else float(logit_for > 0)

        accuracy = 0.5 * sum(map(right, real)) / len(real)
        accuracy += 0.5 * sum(right(-logit) for logit in generated) / len(generated)
        scores = discriminator_scores(np.array(real, dtype=float), np.array(generated, dtype=float))
        error = calibration_error(np.array(real, dtype=float), np.array(generated, dtype=float))
        expected = {"accuracy": accuracy, "log_loss": log_loss(real, generated), "calibration_error": error}
        assert scores == pytest.approx(expected)
        assert all(type(value) is float for value in scores.values())


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@pytest.mark.theory
class TestCalibration:
    @pytest.mark.parametrize(("n_real", "n_generated"), [(50, 50), (30, 70), (1, 1)])
    @pytest.mark.parametrize("jitter", [0.0, 1e-8])
    def test_of_a_constant_on_coin_flips_is_its_distance_from_a_half(
        self, n_real: int, n_generated: int, jitter: float
    ) -> None:
        """However many there are of each kind, and where rounding alone tells the one kind from the other."""
        real_B, generated_B = np.full(n_real, logit(0.9)), np.full(n_generated, logit(0.9) + jitter)
        assert calibration_error(real_B, generated_B) == pytest.approx(0.4, abs=1e-7)

    @pytest.mark.parametrize("n_values", [10, 20])
    def test_is_counted_in_ten_bins_of_equal_weight(self, n_values: int) -> None:
        """Ten sequences have each of the values; of two values that share a bin the errors may cancel."""
        rng = np.random.default_rng(n_values)
        n_real_K = np.append(lower := rng.integers(0, 11, n_values // 2), 10 - lower)  # as many of each kind
        d_K = rng.uniform(0.02, 0.98, n_values)
        gap_K = 10 * d_K - n_real_K  # expected less counted
        bins = np.split(gap_K[d_K.argsort()], 10)
        assert calibration_error(
            np.repeat([*map(logit, d_K)], n_real_K), np.repeat([*map(logit, d_K)], 10 - n_real_K)
        ) == pytest.approx(sum(abs(gap.sum()) for gap in bins) / (10 * n_values))

    def test_of_a_calibrated_answer_is_0_within_the_sampling_error(self) -> None:
        """Real sequences have D with density 2 D, generated ones 2 (1 - D). The mean of a bin of 800 has a standard
        error of at most 0.018, so that the ten have a mean distance of at most 0.014 with a standard deviation of at
        most 0.0034: 0.03 is an error rate below 1e-5. With logits three times as large the distance is that of the two
        answers.
        """
        rng = np.random.default_rng(0)
        real_B, generated_B = (np.log(d_B / (1 - d_B)) for d_B in (rng.beta(2, 1, 4000), rng.beta(1, 2, 4000)))
        assert calibration_error(real_B, generated_B) < 0.03
        x_M = np.append(real_B, generated_B)
        distance = np.abs(1 / (1 + np.exp(-3 * x_M)) - 1 / (1 + np.exp(-x_M))).mean()
        assert distance > 0.1
        assert calibration_error(3 * real_B, 3 * generated_B) == pytest.approx(distance, abs=0.03)

    def test_of_certainty_is_its_share_of_wrong_answers(self) -> None:
        far_B = np.array([1e4] * 3 + [-1e4])
        assert calibration_error(far_B, -far_B) == pytest.approx(0.25)
        assert calibration_error(far_B[:3], -far_B[:3]) == 0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS: dict[str, Callable[[float, float], float]] = {
    "logistic": lambda x, label: -label * math.log(sigmoid(x)) - (1 - label) * math.log(1 - sigmoid(x)),
    "least_squares": lambda x, label: (sigmoid(x) - label) ** 2,
    "hinge": lambda x, label: label * max(0, 1 - x) + (1 - label) * max(0, 1 + x),
}
"""The loss of one logit whose label is a number from 0 (generated) to 1 (real)."""
OPTIMA: dict[str, Callable[[float, float, float], float]] = {
    "logistic": lambda p, g, s: math.log((1 - s) * p / (s * p + g)),
    "least_squares": lambda p, g, s: math.log((1 - s) * p / (s * p + g)),
    "hinge": lambda p, g, s: math.copysign(1, (1 - s) * p - (s * p + g)),
}
"""The logit that is best for a sequence with the probabilities p and g, at the label smoothing s."""


@pytest.mark.parametrize("name", FORMULAS)
class TestByName:
    @given(real=logits, generated=logits, label_smoothing=st.floats(0, 0.49))
    def test_it_is_half_the_sum_of_both_means(
        self, name: str, real: list[float], generated: list[float], label_smoothing: float
    ) -> None:
        expected = 0.5 * fmean(FORMULAS[name](x, 1 - label_smoothing) for x in real)
        expected += 0.5 * fmean(FORMULAS[name](x, 0) for x in generated)
        real_B, generated_B = (torch.tensor(x, dtype=torch.float64) for x in (real, generated))
        plain = float(LOSSES[name].function(real_B, generated_B, label_smoothing))
        assert plain == pytest.approx(expected, rel=1e-6, abs=1e-9)
        found = float(get_objective(name, label_smoothing)(real_B, generated_B))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def test_ignorance_costs(self, name: str) -> None:
        expected = {"logistic": math.log(2), "least_squares": 0.25, "hinge": 1.0}[name]
        assert float(get_objective(name)(torch.zeros(3), torch.zeros(5))) == pytest.approx(expected)

    @pytest.mark.theory
    @pytest.mark.parametrize("s", [0.0, 0.1])
    def test_its_optimum(self, name: str, s: float) -> None:
        """Of eq. 13.32 and the squares it is the log-odds, of the hinge only their sign; found by trying."""
        other_1, loss = torch.zeros(1, dtype=torch.float64), LOSSES[name].function
        for p, g in ((0.5, 0.2), (0.1, 0.3), (0.4, 0.3)):
            x_K = torch.linspace(-3, 3, 6001, dtype=torch.float64)
            # the other half of each loss is a constant
            loss_K = torch.vmap(lambda x, p=p, g=g: p * loss(x[None], other_1, s) + g * loss(other_1, x[None], s))(x_K)
            assert x_K[loss_K.argmin()].item() == pytest.approx(OPTIMA[name](p, g, s), abs=1e-3)


class TestCritics:
    @pytest.mark.theory
    @given(real=logits, generated=logits)
    def test_wasserstein_is_the_difference_of_the_means(self, real: list[float], generated: list[float]) -> None:
        real_B, generated_B = (torch.tensor(x, dtype=torch.float64) for x in (real, generated))
        found = float(get_objective("wasserstein")(real_B, generated_B))
        assert found == pytest.approx(fmean(generated) - fmean(real), abs=1e-9)

    @pytest.mark.theory
    @given(real=logits, generated=logits, shift=st.floats(-5, 5))
    def test_relativistic_compares_with_the_mean_of_the_other_kind(
        self, real: list[float], generated: list[float], shift: float
    ) -> None:
        """The pairing spelled out, one sequence at a time; a constant changes nothing."""
        above = [x - fmean(generated) for x in real]
        below = [x - fmean(real) for x in generated]
        expected = log_loss(above, below)
        for by in (0.0, shift):
            real_B, generated_B = (torch.tensor(x, dtype=torch.float64) + by for x in (real, generated))
            found = float(get_objective("relativistic")(real_B, generated_B))
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)

    @pytest.mark.theory
    def test_the_relativistic_optimum_increases_with_the_ratio(self) -> None:
        """On five sequences, minimised over a free logit for each; the loss is convex in these."""
        count_K, other_K = torch.tensor([5, 4, 6, 2, 3]), torch.tensor([2, 3, 6, 4, 5])
        x_K = torch.zeros(5, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [x_K], max_iter=500, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = get_objective("relativistic")(x_K.repeat_interleave(count_K), x_K.repeat_interleave(other_K))
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        closure()
        assert x_K.grad is not None
        assert x_K.grad.abs().max() < 1e-6
        assert torch.equal(x_K.argsort(), (count_K / other_K).argsort())
        # from the derivatives: p / G = (sigmoid(x - m_p) + a) / (sigmoid(m_G - x) + b)
        x_K, p_K, g_K = x_K.detach(), count_K / count_K.sum(), other_K / other_K.sum()
        from_real_K, from_generated_K = torch.sigmoid(x_K - p_K.double() @ x_K), torch.sigmoid(g_K.double() @ x_K - x_K)
        a, b = p_K.double() @ from_generated_K, g_K.double() @ from_real_K
        torch.testing.assert_close((from_real_K + a) / (from_generated_K + b), (p_K / g_K).double(), rtol=1e-4, atol=0)

    def test_there_are_no_labels_to_smooth(self) -> None:
        with pytest.raises(ValueError, match="label_smoothing must be 0 for the loss 'wasserstein'"):
            get_objective("wasserstein", 0.1)

    @pytest.mark.parametrize("name", LOSSES)
    def test_each_declares_itself(self, name: str) -> None:
        entry = LOSSES[name]
        assert entry.optimum
        assert entry.source
        assert entry.logit in ("log-odds", "margin", "critic")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_have_no_scores(value: float) -> None:
    for logits in ((np.array([0.0, value]), np.zeros(2)), (np.zeros(2), np.array([value]))):
        with pytest.raises(ValueError, match=f"the discriminator's logits must be finite, got {value}"):
            discriminator_scores(*logits)
