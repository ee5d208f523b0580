"""Structural similarity and peak signal-to-noise ratio, in the variants that papers of this field print.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with K1 = .01,
K2 = .03. Channels are scored apart and averaged, as scikit-image does; the values equal scikit-image's to
1e-6.
"""

from __future__ import annotations

import cv2
import numpy as np

from mcld.evaluation.windowed_ssim import (
    GAUSSIAN_SIGMA_PX,
    GAUSSIAN_SIZE_PX,
    gaussian_ssims,
    uniform_ssim,
)

UNIFORM_SIZE_PX = 51

# Shapes: H W pixels. Images are (H, W, 3) uint8 RGB everywhere.


def ssim(image: np.ndarray, *, target: np.ndarray) -> float:
    """Return the standard SSIM: 11 px Gaussian window, data range 255, population covariance."""
    return gaussian_ssims(image, target=target, data_ranges=[255.0])[0]


def ssim_256(image: np.ndarray, *, target: np.ndarray) -> float | None:
    """Return the legacy Gaussian SSIM, data range the image's own max - min; None where that is zero."""
    return both_gaussian_ssims(image, target=target)[1]


def both_gaussian_ssims(image: np.ndarray, *, target: np.ndarray) -> tuple[float, float | None]:
    """Return `ssim` and `ssim_256` for the price of one: they differ in the data range alone."""
    own_range = float(image.max()) - float(image.min())
    if own_range == 0.0:
        return ssim(image, target=target), None
    standard, legacy = gaussian_ssims(image, target=target, data_ranges=[255.0, own_range])
    return standard, legacy


def ssim_51(image: np.ndarray, *, target: np.ndarray) -> float:
    """Return the legacy SSIM: uniform 51 px window, data range 1 on [0, 1] images, sample covariance."""
    return uniform_ssim(image, target=target, size_px=UNIFORM_SIZE_PX)


def psnr(image: np.ndarray, *, target: np.ndarray, region: np.ndarray | None = None) -> float | None:
    """Return the PSNR in dB on [0, 1] images, over all pixels or those of `region`, (H, W) bool.

    None where both are equal: there the ratio is infinite, which no mean survives.
    """
    squared = ((image.astype(np.float64) - target) / 255.0) ** 2
    error = float(squared.mean() if region is None else squared[region].mean())
    return None if error == 0.0 else -10.0 * float(np.log10(error))


def gaussian_ssim_in(image: np.ndarray, *, target: np.ndarray, region: np.ndarray) -> float:
    """Return the mean of the Gaussian SSIM map, data range 255, over the pixels of `region`, (H, W) bool.

    Images mirror at their borders. Only the region and what its windows see is looked at.
    """
    seen = (_reach(np.any(region, axis=1)), _reach(np.any(region, axis=0)))
    similarity = gaussian_ssim_map(image[seen], target=target[seen], data_range=255.0)
    return float(similarity[region[seen]].mean())


def _reach(is_inside: np.ndarray) -> slice:
    """From the first to the last that is inside, and half a window beyond."""
    inside = np.flatnonzero(is_inside)
    half = GAUSSIAN_SIZE_PX // 2
    return slice(max(0, int(inside[0]) - half), int(inside[-1]) + 1 + half)


def gaussian_ssim_map(image: np.ndarray, *, target: np.ndarray, data_range: float) -> np.ndarray:
    """Return the Gaussian SSIM of every pixel and channel, (H, W, 3) float64; images mirror at their borders.

    Wang et al. 2004, equation 13, with the population's variances.
    """
    x, y = image.astype(np.float64), target.astype(np.float64)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x * mean_x, _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    numerator = (2.0 * mean_x * mean_y + c1) * (2.0 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    similarity: np.ndarray = numerator / denominator
    return similarity


def _blur(array: np.ndarray) -> np.ndarray:
    size = (GAUSSIAN_SIZE_PX, GAUSSIAN_SIZE_PX)
    return cv2.GaussianBlur(array, size, GAUSSIAN_SIGMA_PX, borderType=cv2.BORDER_REFLECT)
