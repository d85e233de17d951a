"""Distances of two sets of feature vectors: Fréchet's, and precision and recall by nearest neighbours.

Dimensions: B vectors of the first set, C of the second, H features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Features = npt.NDArray[np.float64]
"""Vectors, ``(B, H)``."""

_ROWS = 512  # distances of so many vectors at once, so that memory stays bounded


def frechet_distance(first_BH: Features, second_CH: Features) -> float:
    """``|m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2)`` with the means m, n and the covariances S, T of both sets.

    The squared Wasserstein distance of order 2 of two normal distributions, at least 0, in squared units of the
    features (arXiv 1706.08500). An estimate from few vectors is too large.

    Args:
        first_BH: at least one vector.
        second_CH: at least one vector.
    """
    difference_H = first_BH.mean(axis=0) - second_CH.mean(axis=0)
    first_HH, second_HH = (_covariance(each) for each in (first_BH, second_CH))
    root_HH = _root(first_HH)
    roots_H = np.sqrt(np.linalg.eigvalsh(root_HH @ second_HH @ root_HH).clip(min=0))
    distance = difference_H @ difference_H + first_HH.trace() + second_HH.trace() - 2 * roots_H.sum()
    return max(0.0, float(distance))


def precision_and_recall(generated_BH: Features, real_CH: Features, k: int) -> tuple[float, float]:
    """The share of each set that lies within the other one's support (arXiv 1904.06991), both in [0, 1].

    A set's support is the union of balls around its vectors, each as large as the distance to its k-th nearest other
    vector. Precision is the share of generated vectors in the support of the real ones, recall that of real vectors in
    the support of the generated ones.

    Args:
        generated_BH: more than k vectors.
        real_CH: more than k vectors.
        k: neighbours.
    """
    return _share_inside(generated_BH, real_CH, k), _share_inside(real_CH, generated_BH, k)


def _share_inside(first_BH: Features, second_CH: Features, k: int) -> float:
    """The share of the first set's vectors that lie in the support of the second set."""
    first, second = torch.from_numpy(first_BH), torch.from_numpy(second_CH)
    # the nearest of all is the vector itself
    radius_C = torch.cat([_distances(rows, second).kthvalue(k + 1, dim=1).values for rows in second.split(_ROWS)])
    inside = [(_distances(rows, second) <= radius_C).any(dim=1) for rows in first.split(_ROWS)]
    return float(torch.cat(inside).double().mean())


def _distances(first_BH: torch.Tensor, second_CH: torch.Tensor) -> torch.Tensor:
    """Euclidean distances, ``(B, C)``; exactly 0 between equal vectors."""
    return torch.cdist(first_BH, second_CH, compute_mode="donot_use_mm_for_euclid_dist")


def _covariance(vectors_BH: Features) -> Features:
    """Of the vectors as a whole population; ``numpy.cov`` takes a single one for H of one number before NumPy 2."""
    centred_BH = vectors_BH - vectors_BH.mean(axis=0)
    return np.asarray(centred_BH.T @ centred_BH / len(vectors_BH))


def _root(matrix_HH: Features) -> Features:
    """The square root of a symmetric matrix without negative eigenvalues."""
    value_H, vector_HH = np.linalg.eigh(matrix_HH)
    return np.asarray((vector_HH * np.sqrt(value_H.clip(min=0))) @ vector_HH.T)
