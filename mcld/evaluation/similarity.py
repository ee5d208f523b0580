"""Structural similarity and peak signal-to-noise ratio, in the variants that papers of this field print.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with K1 = .01,
K2 = .03. Channels are scored apart and averaged, as scikit-image does; the values equal scikit-image's to
1e-6.
"""

from __future__ import annotations

import cv2
import numpy as np

from mcld.evaluation.uniform_ssim import uniform_ssim

GAUSSIAN_SIZE_PX = 11
GAUSSIAN_SIGMA_PX = 1.5
UNIFORM_SIZE_PX = 51

# Shapes: H W pixels. Images are (H, W, 3) uint8 RGB everywhere.


def ssim(image: np.ndarray, *, target: np.ndarray) -> float:
    """Return the standard SSIM: 11 px Gaussian window, data range 255, population covariance."""
    return _mean_inside(
        gaussian_ssim_map(image, target=target, data_range=255.0), border_px=GAUSSIAN_SIZE_PX // 2
    )


def ssim_256(image: np.ndarray, *, target: np.ndarray) -> float | None:
    """Return the legacy Gaussian SSIM, data range the image's own max - min; None where that is zero."""
    data_range = float(image.max()) - float(image.min())
    if data_range == 0.0:
        return None
    return _mean_inside(
        gaussian_ssim_map(image, target=target, data_range=data_range), border_px=GAUSSIAN_SIZE_PX // 2
    )


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


def _mean_inside(similarity: np.ndarray, *, border_px: int) -> float:
    """Return the mean over pixels whose whole window lies inside the image."""
    return float(similarity[border_px:-border_px, border_px:-border_px].mean())
