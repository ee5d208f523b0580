"""The kernel distance against values worked out by hand, and pair by pair."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mcld.errors import DataError
from mcld.evaluation.kernel_distance import discrepancy, kernel_distance


def test_two_and_two_numbers() -> None:
    """k = (xy + 1)^3: within k(0,1) = 1 and k(1,2) = 27; between 1, 1, 8, 27, whose mean is 37 / 4."""
    first, second = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    assert discrepancy(first, second) == pytest.approx(1 + 27 - 2 * 37 / 4)
    found = kernel_distance(first, second, num_subsets=3)
    assert found.mean == pytest.approx(9.5)
    assert found.std == 0.0


def test_the_product_is_divided_by_the_dimensions() -> None:
    """Both sets are one point x with x . x / D = 4, the other 0: (4 + 1)^3 + 1 - 2."""
    assert discrepancy(np.full((3, 8), 2.0), np.zeros((3, 8))) == pytest.approx(125 + 1 - 2)


def test_every_pair_counts_once_and_no_image_with_itself() -> None:
    first, second = np.random.default_rng(0).uniform(0, 1, (2, 7, 5))

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 5 + 1) ** 3)

    within = [kernel(s[i], s[j]) for s in (first, second) for i, j in permutations(range(7), 2)]
    between = [kernel(x, y) for x in first for y in second]
    expected = 2 * np.mean(within) - 2 * np.mean(between)
    assert discrepancy(first, second) == pytest.approx(expected, rel=1e-9)


def test_sets_from_one_distribution_differ_by_nothing_on_average() -> None:
    generator = np.random.default_rng(0)
    values = [kernel_distance(*generator.standard_normal((2, 60, 4)), num_subsets=1).mean for _ in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_the_seed_decides_the_subsets() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((50, 4)), generator.standard_normal((70, 4)) + 1
    found = kernel_distance(first, second, num_subsets=5, subset_size=20, seed=3)
    assert found == kernel_distance(first, second, num_subsets=5, subset_size=20, seed=3)
    assert found != kernel_distance(first, second, num_subsets=5, subset_size=20, seed=4)
    assert found.mean > 0
    assert found.std > 0


def test_too_few_images_and_damaged_features_are_refused() -> None:
    with pytest.raises(DataError, match="sets of 1 and 9 images"):
        kernel_distance(np.zeros((1, 4)), np.zeros((9, 4)))
    with pytest.raises(DataError, match="NaN or infinity"):
        kernel_distance(np.full((3, 4), np.inf), np.zeros((9, 4)))
