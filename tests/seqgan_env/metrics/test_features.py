"""Fréchet's distance, and precision and recall: closed forms, SciPy, and loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from seqgan_env.metrics import features
from seqgan_env.metrics.features import Features, frechet_distance, precision_and_recall


def normal(n: int, seed: int, shift: float = 0.0) -> Features:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + shift)


class TestFrechet:
    def test_it_is_that_of_two_normal_distributions(self) -> None:
        first, second = normal(50, 0), normal(40, 1, shift=0.5)
        s, t = (np.cov(each.T, ddof=0) for each in (first, second))
        difference = first.mean(axis=0) - second.mean(axis=0)
        expected = difference @ difference + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
        assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
        assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-8)

    def test_of_one_feature_it_is_known_in_closed_form(self) -> None:
        """(m - n)^2 + (s - t)^2, here with means 1 and 4 and deviations 1 and 3."""
        assert frechet_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [7.0]])) == pytest.approx(9 + 4)

    def test_a_set_has_no_distance_from_itself_even_where_a_feature_is_constant(self) -> None:
        vectors = np.hstack([normal(30, 0), np.ones((30, 1))])
        assert frechet_distance(vectors, vectors) == pytest.approx(0, abs=1e-12)

    def test_single_vectors_are_as_far_apart_as_they_are(self) -> None:
        assert frechet_distance(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == 25


def slow_share(first: Features, second: Features, k: int) -> float:
    """The share of the first set within a ball around one of the second, each as large as to its k-th neighbour."""

    def radius(i: int) -> float:
        others = (np.linalg.norm(second[i] - second[j]) for j in range(len(second)) if j != i)
        return float(sorted(others)[k - 1])

    radii = [radius(i) for i in range(len(second))]
    inside = [any(np.linalg.norm(x - y) <= r for y, r in zip(second, radii, strict=True)) for x in first]
    return float(np.mean(inside))


class TestPrecisionAndRecall:
    @pytest.mark.parametrize("k", [1, 3])
    @pytest.mark.parametrize("rows", [7, 512])
    def test_they_are_the_definition(self, k: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(features, "_ROWS", rows)
        generated, real = normal(20, 0), normal(25, 1, shift=0.5)
        expected = slow_share(generated, real, k), slow_share(real, generated, k)
        assert expected[0] != expected[1]
        assert precision_and_recall(generated, real, k) == pytest.approx(expected)

    @pytest.mark.parametrize("k", [1, 3])
    def test_they_are_by_the_neighbours_of_scikit_learn(self, k: int) -> None:
        neighbors = pytest.importorskip("sklearn.neighbors")
        generated, real = normal(700, 0), normal(600, 1, shift=0.5)

        def share(first: Features, second: Features) -> float:
            radius = neighbors.NearestNeighbors(n_neighbors=k).fit(second).kneighbors()[0][:, -1]  # of others alone
            index = neighbors.BallTree(second)
            near = (index.query_radius(x[None], radius.max(), return_distance=True) for x in first)
            return float(np.mean([(distance[0] <= radius[found[0]]).any() for found, distance in near]))

        assert precision_and_recall(generated, real, k) == (share(generated, real), share(real, generated))

    def test_a_set_covers_itself_and_none_far_away(self) -> None:
        vectors = np.repeat(normal(6, 0), 2, axis=0)  # the nearest neighbour of each is an equal vector
        assert precision_and_recall(vectors, vectors, 1) == (1, 1)
        assert precision_and_recall(vectors, vectors + 100, 1) == (0, 0)

    def test_a_generator_of_one_kind_is_precise_and_recalls_little(self) -> None:
        real = np.vstack([normal(30, 0), normal(30, 0) + 100])
        precision, recall = precision_and_recall(real[:30], real, 3)
        assert (precision, recall) == (1, 0.5)
