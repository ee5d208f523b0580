"""The Fréchet distance of two Gaussians fitted to features: FID, whatever network gave the features.

    d2 = |m1 - m2|2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)        (Dowson and Landau 1982; Heusel et al. 2017)

The product C1 C2 is not symmetric, and its matrix root is slow. Only the trace is wanted: with C1 = L L^T the
product has the eigenvalues of the symmetric L^T C2 L, and the trace is the sum of their roots; in float64.

torchmetrics gives the same number, from eigenvalues of C1 C2 itself, which take several times longer; it also
wants images where we keep statistics, and sums squares, in float32 unless told otherwise. Not used here.

Public: `FeatureStatistics`, `StatisticsAccumulator`, `frechet_distance(first, second)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.errors import DataError

MIN_IMAGES = 2  # one image has no covariance
FEW = 4  # a rank below a quarter of the dimensions is found step by step faster than by eigenvectors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureStatistics:
    """Mean and covariance of the features of `count` images."""

    mean: np.ndarray  # (D,) float64
    covariance: np.ndarray  # (D, D) float64, divided by count - 1
    count: int

    @classmethod
    def of(cls, features: np.ndarray) -> FeatureStatistics:
        """Of (N, D) features. Raises DataError for fewer than two images, and for NaN or infinity."""
        accumulator = StatisticsAccumulator(features.shape[1])
        accumulator.add(features)
        return accumulator.statistics()


class StatisticsAccumulator:
    """Statistics of features that come in batches; holds (D, D) numbers, however many images there are."""

    def __init__(self, dim: int) -> None:
        self._count = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # sum of (x - mean)(x - mean)^T

    def add(self, features: np.ndarray) -> None:
        """Take (N, D) features into account. Raises DataError when one is NaN or infinite."""
        if not np.isfinite(features).all():
            bad = int((~np.isfinite(features).all(axis=1)).sum())
            raise DataError(
                f"features: those of {bad} of {len(features)} images hold NaN or infinity; the network's "
                "weights are damaged or its precision is too low"
            )
        if len(features) == 0:
            return
        batch = features.astype(np.float64)
        mean = batch.mean(axis=0)
        centred = batch - mean
        step = mean - self._mean
        total = self._count + len(batch)
        # Chan, Golub and LeVeque 1979: no sum of squares, which would lose digits to the mean.
        self._scatter += centred.T @ centred + np.outer(step, step) * (self._count * len(batch) / total)
        self._mean = self._mean + step * (len(batch) / total)
        self._count = total

    def statistics(self) -> FeatureStatistics:
        """Of all that was added. Raises DataError for fewer than two images."""
        if self._count < MIN_IMAGES:
            raise DataError(
                f"features: {self._count} images, a Fréchet distance needs at least {MIN_IMAGES}; "
                "evaluate more"
            )
        covariance = self._scatter / (self._count - 1)
        return FeatureStatistics(mean=self._mean, covariance=covariance, count=self._count)


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """The squared Fréchet distance, as papers print FID; 0 for equal statistics, never below."""
    assert first.mean.shape == second.mean.shape
    step = first.mean - second.mean
    spread = float(np.trace(first.covariance) + np.trace(second.covariance))
    shared = trace_of_root(first, second)
    return max(0.0, float(step @ step) + spread - 2.0 * shared)


def trace_of_root(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """tr (C1 C2)^(1/2)."""
    inner = None
    if min(first.count, second.count) > len(first.mean):
        inner = _inner_by_cholesky(first.covariance, second=second.covariance)
    if inner is None:
        product = _factor(second).T @ _factor(first)
        # Of product^T product and product product^T, the smaller: the others of its eigenvalues are 0.
        inner = product.T @ product if product.shape[0] >= product.shape[1] else product @ product.T
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(inner), 0.0, None)).sum())


def _inner_by_cholesky(first: np.ndarray, *, second: np.ndarray) -> np.ndarray | None:
    """L^T C2 L in the lower triangle, where C1 = L L^T; None when C1 is singular."""
    from scipy.linalg.lapack import dsygst  # half the operations of two products

    try:
        lower = np.linalg.cholesky(first)
    except np.linalg.LinAlgError:  # features that never vary, or that others determine
        return None
    if np.diagonal(lower).min() ** 2 <= _rounding(first):
        return None
    inner, info = dsygst(second, lower, itype=2, lower=1)
    assert info == 0
    return np.asarray(inner)


def _rounding(covariance: np.ndarray) -> float:
    """Variances up to this are rounding: the root of 1e-16 would be 1e-8, a thousand times over."""
    return float(len(covariance) * np.finfo(np.float64).eps * np.diagonal(covariance).max())


def _factor(statistics: FeatureStatistics) -> np.ndarray:
    """(D, R) float64 with factor @ factor.T = covariance; R < D when it has no more directions than that."""
    covariance = statistics.covariance
    if FEW * statistics.count <= len(covariance):
        return _low_rank_factor(covariance, max_rank=statistics.count - 1)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    kept = eigenvalues > _rounding(covariance)
    factor: np.ndarray = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    return factor


def _low_rank_factor(covariance: np.ndarray, *, max_rank: int) -> np.ndarray:
    """Cholesky's factor with pivoting (Harbrecht et al. 2012): R^2 D operations instead of D^3."""
    residual = np.diagonal(covariance).copy()
    smallest = _rounding(covariance)
    rows = np.zeros((max_rank, len(covariance)))
    for rank in range(max_rank):
        pivot = int(residual.argmax())
        if residual[pivot] <= smallest:
            return rows[:rank].T
        rows[rank] = (covariance[pivot] - rows[:rank, pivot] @ rows[:rank]) / np.sqrt(residual[pivot])
        residual = np.clip(residual - rows[rank] ** 2, 0.0, None)
        residual[pivot] = 0.0
    return rows.T
