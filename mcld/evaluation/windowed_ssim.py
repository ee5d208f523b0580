"""Mean structural similarity over all whole windows, fast: few sums, exact where they can be, little memory.

Wang et al. 2004, equation 13, asks for the windowed means of x, y, x^2, y^2 and xy. With s = x + y and
d = x - y four windowed means do:

    4 mean_x mean_y = mean_s^2 - mean_d^2        2 (mean_x^2 + mean_y^2) = mean_s^2 + mean_d^2

and likewise for covariance and variances. Under a uniform window they are sums of whole numbers, which fit
into int32 and lose nothing. What takes time is memory: an image is worked off in bands of rows, in buffers
that are used again, and the last step in strips that stay in the processor's cache.

Public: `uniform_ssim(image, *, target, size_px)`, `gaussian_ssims(image, *, target, data_ranges)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

K1, K2 = 0.01, 0.03
PEAK = 255.0
GAUSSIAN_SIZE_PX = 11
GAUSSIAN_SIGMA_PX = 1.5
MAX_UNIFORM_PX = 89  # (255 + 255)^2 a pixel: larger windows overflow 32 bits
BAND_ROWS, STRIP_ROWS = 240, 16

Filter = Callable[[np.ndarray], object]  # in place: every pixel becomes its window's sum or mean

# Shapes: H W pixels, C channels, K rows of a band. Images are (H, W, C) uint8.


def uniform_ssim(image: np.ndarray, *, target: np.ndarray, size_px: int) -> float:
    """Under a square window of equal weights, data range 255.

    Variances are the sample's, divided by the window's pixels less one, as scikit-image has them by default.
    """
    assert size_px <= MAX_UNIFORM_PX
    num_pixels = size_px**2

    def add_up(plane: np.ndarray) -> object:
        return cv2.boxFilter(plane, cv2.CV_32S, (size_px, size_px), dst=plane, normalize=False)

    # All terms are times the square of `num_pixels`.
    constants = (K1 * PEAK * num_pixels) ** 2, (K2 * PEAK) ** 2 * num_pixels * (num_pixels - 1)
    sums = _windows(image, target=target, size_px=size_px, apply=add_up, dtype=np.int32)
    return _mean_similarities(sums, weight=num_pixels, constants=[constants])[0]


def gaussian_ssims(image: np.ndarray, *, target: np.ndarray, data_ranges: Sequence[float]) -> list[float]:
    """Under the Gaussian window of 11 px, one value a data range. Variances are the population's."""
    size = (GAUSSIAN_SIZE_PX, GAUSSIAN_SIZE_PX)

    def blur(plane: np.ndarray) -> object:
        return cv2.GaussianBlur(plane, size, GAUSSIAN_SIGMA_PX, dst=plane)

    constants = [((K1 * data_range) ** 2, (K2 * data_range) ** 2) for data_range in data_ranges]
    means = _windows(image, target=target, size_px=GAUSSIAN_SIZE_PX, apply=blur, dtype=np.float64)
    return _mean_similarities(means, weight=1, constants=constants)


def _windows(
    image: np.ndarray, *, target: np.ndarray, size_px: int, apply: Filter, dtype: type[np.generic]
) -> Iterator[np.ndarray]:
    """Of s, d, s^2 and d^2 over every whole window, (4, rows, columns x C) a band; valid until the next."""
    assert image.shape == target.shape
    assert size_px % 2 == 1
    height_px, width_px, num_channels = image.shape
    num_rows, border = height_px - size_px + 1, size_px // 2
    buffer_4KWC = np.empty((4, min(BAND_ROWS, num_rows) + size_px - 1, width_px, num_channels), dtype)
    depth = cv2.CV_32S if dtype is np.int32 else cv2.CV_64F
    columns = slice(num_channels * border, num_channels * (width_px - border))
    for start in range(0, num_rows, BAND_ROWS):
        rows = slice(start, min(start + BAND_ROWS, num_rows) + size_px - 1)
        planes = buffer_4KWC[:, : rows.stop - rows.start]
        both, apart, both_squared, apart_squared = planes
        cv2.add(image[rows], target[rows], dst=both, dtype=depth)
        cv2.subtract(image[rows], target[rows], dst=apart, dtype=depth)
        np.multiply(both, both, out=both_squared)
        np.multiply(apart, apart, out=apart_squared)
        for plane in planes:
            apply(plane)
        flat = planes.reshape(4, planes.shape[1], width_px * num_channels)
        yield flat[:, border : planes.shape[1] - border, columns]


def _mean_similarities(
    bands: Iterator[np.ndarray], *, weight: int, constants: Sequence[tuple[float, float]]
) -> list[float]:
    """Means over all windows, one for each pair of constants; squares count `weight` times."""
    totals = [0.0] * len(constants)
    num_windows = 0
    scratch: np.ndarray | None = None
    for band in bands:
        num_windows += band[0].size
        if scratch is None:
            scratch = np.empty((6, STRIP_ROWS, band.shape[2]))
        for first in range(0, band.shape[1], STRIP_ROWS):
            strip = band[:, first : first + STRIP_ROWS]
            space = scratch[:, : strip.shape[1]]
            _fill_terms(space, windows=strip, weight=weight)
            for index, (c1, c2) in enumerate(constants):
                totals[index] += _sum_of_similarities(space, c1=2 * c1, c2=2 * c2)
    return [total / num_windows for total in totals]


def _fill_terms(scratch: np.ndarray, *, windows: np.ndarray, weight: int) -> None:
    """Twice 2 mean_x mean_y, mean_x^2 + mean_y^2, 2 covariance, variance_x + variance_y, in that order."""
    means, squares, covariance, variances, p, q = scratch
    for plane, values in zip((p, q, covariance, variances), windows, strict=True):
        np.copyto(plane, values)
    p *= p  # mean_s^2
    q *= q  # mean_d^2
    np.subtract(p, q, out=means)
    np.add(p, q, out=squares)
    covariance *= weight
    covariance -= p  # variance of s
    variances *= weight
    variances -= q  # variance of d
    np.add(covariance, variances, out=p)
    covariance -= variances
    np.copyto(variances, p)


def _sum_of_similarities(scratch: np.ndarray, *, c1: float, c2: float) -> float:
    means, squares, covariance, variances, similarity, spare = scratch
    np.add(means, c1, out=similarity)
    np.add(covariance, c2, out=spare)
    similarity *= spare
    np.add(squares, c1, out=spare)
    similarity /= spare
    np.add(variances, c2, out=spare)
    similarity /= spare
    return float(similarity.sum())
