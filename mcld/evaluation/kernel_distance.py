"""The kernel distance of two sets of features: KID (Bińkowski et al. 2018).

The unbiased estimate of the squared maximum mean discrepancy under k(x, y) = (x . y / D + 1)^3, as a mean
over random subsets. Without bias it may be below 0 where the sets do not differ, and unlike FID's its
expectation does not depend on how many images there are.

The estimate is torchmetrics'. Its class is not used: it draws subsets from PyTorch's global generator, and
refuses sets smaller than a subset.

Public: `kernel_distance(first, second, *, num_subsets, subset_size, seed)`, `KernelDistance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.errors import DataError

DEGREE = 3
NUM_SUBSETS, SUBSET_SIZE = 100, 1000  # as torchmetrics and torch-fidelity have them
MIN_IMAGES = 2  # one image has no pairs of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDistance:
    """Mean and standard deviation over subsets. The latter says how far one subset is off, not the mean."""

    mean: float
    std: float


def kernel_distance(
    first: np.ndarray,
    second: np.ndarray,
    *,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Of (N, D) and (M, D) features; the same seed draws the same subsets.

    Subsets are no larger than the smaller set; where one holds all of both, there is no other, and `std` is
    0. Raises DataError for fewer than two images, and for NaN or infinity.
    """
    assert first.shape[1] == second.shape[1]
    assert num_subsets >= 1
    size = min(subset_size, len(first), len(second))
    if size < MIN_IMAGES:
        raise DataError(
            f"features: sets of {len(first)} and {len(second)} images in subsets of {subset_size}, a kernel "
            f"distance needs at least {MIN_IMAGES}; evaluate more"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError(
            "features: NaN or infinity among them; the network's weights are damaged or its precision too low"
        )
    wide_first, wide_second = first.astype(np.float64), second.astype(np.float64)
    if size == len(first) == len(second):
        return KernelDistance(mean=discrepancy(wide_first, wide_second), std=0.0)
    values = []
    for index in range(num_subsets):
        generator = np.random.default_rng((seed, index))
        chosen_first = generator.choice(len(first), size, replace=False)
        chosen_second = generator.choice(len(second), size, replace=False)
        values.append(discrepancy(wide_first[chosen_first], wide_second[chosen_second]))
    return KernelDistance(mean=float(np.mean(values)), std=float(np.std(values)))


def discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy of two sets of as many features, (N, D) float64."""
    import torch  # only here: it and torchmetrics take seconds to load
    from torchmetrics.image.kid import poly_mmd

    assert first.shape == second.shape
    return float(poly_mmd(torch.from_numpy(first), torch.from_numpy(second), degree=DEGREE))
