"""The Fréchet distance against closed forms, scipy's matrix root and torchmetrics; statistics by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from mcld.errors import DataError
from mcld.evaluation.frechet import (
    FeatureStatistics,
    StatisticsAccumulator,
    frechet_distance,
)


def gaussian(mean: np.ndarray, *, covariance: np.ndarray) -> FeatureStatistics:
    return FeatureStatistics(mean=mean, covariance=covariance, count=1000)


def features(num_images: int, *, dim: int, seed: int) -> np.ndarray:
    """Correlated, positive, of very different spreads, as a network's are."""
    generator = np.random.default_rng(seed)
    mixed = generator.standard_normal((num_images, dim)) @ generator.standard_normal((dim, dim))
    return np.abs(mixed * np.exp(-np.arange(dim) / (dim / 6)) + generator.uniform(0, 0.3, dim))


def through_scipy(first: FeatureStatistics, second: FeatureStatistics) -> float:
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    step = first.mean - second.mean
    return float(step @ step + np.trace(first.covariance + second.covariance - 2.0 * root))


def test_gaussians_of_one_dimension() -> None:
    """(m1 - m2)^2 + (s1 - s2)^2."""
    first = gaussian(np.array([1.0]), covariance=np.array([[9.0]]))
    second = gaussian(np.array([3.0]), covariance=np.array([[4.0]]))
    assert frechet_distance(first, second) == pytest.approx(4.0 + 1.0)


def test_covariances_with_the_same_axes() -> None:
    """Then the roots commute: the sum of squared differences of standard deviations."""
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.standard_normal((40, 40)))[0]
    deviations = generator.uniform(0.1, 2.0, (2, 40))
    means = generator.standard_normal((2, 40))
    first, second = (
        gaussian(mean, covariance=(axes * deviation**2) @ axes.T)
        for mean, deviation in zip(means, deviations, strict=True)
    )
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("dim", "seed"), [(3, 0), (64, 1), (200, 2)])
def test_equals_scipys_matrix_root(dim: int, seed: int) -> None:
    first = FeatureStatistics.of(features(4 * dim, dim=dim, seed=seed))
    second = FeatureStatistics.of(features(3 * dim, dim=dim, seed=seed + 10))
    assert frechet_distance(first, second) == pytest.approx(through_scipy(first, second), rel=1e-6)


@pytest.mark.parametrize("num_images", [(30, 25), (30, 70), (110, 100), (70, 500)])
def test_singular_covariances_of_few_images(num_images: tuple[int, int]) -> None:
    """With X the centred features, tr (C1 C2)^(1/2) is the sum of singular values of X1 X2^T, exactly."""
    sets = [features(num, dim=120, seed=seed) for seed, num in enumerate(num_images)]
    centred = [(x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in sets]
    shared = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    step = sets[0].mean(axis=0) - sets[1].mean(axis=0)
    expected = step @ step + sum((x**2).sum() for x in centred) - 2.0 * shared
    statistics = [FeatureStatistics.of(x) for x in sets]
    assert frechet_distance(*statistics) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(*statistics[::-1]) == pytest.approx(expected, rel=1e-6)


def test_features_that_never_vary_count_by_their_means() -> None:
    first, second = np.full((5, 3), 2.0), np.full((4, 3), 4.0)
    assert frechet_distance(FeatureStatistics.of(first), FeatureStatistics.of(second)) == 12.0


def test_equal_statistics_are_at_no_distance() -> None:
    statistics = FeatureStatistics.of(features(200, dim=50, seed=0))
    assert frechet_distance(statistics, statistics) < 1e-9 * np.trace(statistics.covariance)


def test_statistics_are_numpys_however_the_features_come() -> None:
    whole = features(100, dim=20, seed=0).astype(np.float32) + 1000.0
    accumulator = StatisticsAccumulator(20)
    for batch in np.split(whole, (1, 1, 8, 40)):
        accumulator.add(batch)
    for statistics in (accumulator.statistics(), FeatureStatistics.of(whole)):
        assert statistics.count == 100
        assert statistics.mean == pytest.approx(whole.astype(np.float64).mean(axis=0), rel=1e-13)
        expected = np.cov(whole.astype(np.float64), rowvar=False)
        assert statistics.covariance == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_statistics_do_not_change_when_more_is_added() -> None:
    accumulator = StatisticsAccumulator(4)
    accumulator.add(features(10, dim=4, seed=0))
    early = accumulator.statistics()
    before = (early.mean.copy(), early.covariance.copy())
    accumulator.add(features(10, dim=4, seed=1))
    assert (early.mean == before[0]).all()
    assert (early.covariance == before[1]).all()


def test_one_image_and_damaged_features_are_refused() -> None:
    with pytest.raises(DataError, match="1 images, a Fréchet distance needs at least 2"):
        FeatureStatistics.of(np.zeros((1, 4)))
    damaged = np.zeros((5, 4))
    damaged[2, 1] = np.nan
    with pytest.raises(DataError, match="those of 1 of 5 images hold NaN or infinity"):
        FeatureStatistics.of(damaged)


class _Flat(nn.Module):
    """A trunk for torchmetrics: pixels as features."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.flatten(1)


def test_equals_torchmetrics_with_a_trunk_of_our_own() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    generator = np.random.default_rng(0)
    first, second = generator.uniform(0, 1, (2, 80, 3, 3, 3))
    metric = FrechetInceptionDistance(feature=_Flat(), normalize=True, input_img_size=(3, 3, 3))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(first), real=True)
    metric.update(torch.from_numpy(second), real=False)
    ours = [FeatureStatistics.of(x.reshape(80, 27)) for x in (first, second)]
    assert frechet_distance(*ours) == pytest.approx(float(metric.compute()), rel=1e-6)
