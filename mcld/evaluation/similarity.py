"""Structural similarity and peak signal-to-noise ratio, in the variants that papers of this field print.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with K1 = .01,
K2 = .03. Channels are scored apart and averaged, as scikit-image does; the values equal scikit-image's to
1e-6.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

GAUSSIAN_SIZE_PX = 11
GAUSSIAN_SIGMA_PX = 1.5
UNIFORM_SIZE_PX = 51

Blur = Callable[[np.ndarray], np.ndarray]

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
    num_pixels = UNIFORM_SIZE_PX**2
    similarity = _ssim_map(
        image.astype(np.float64) / 255.0,
        target=target.astype(np.float64) / 255.0,
        data_range=1.0,
        blur=_uniform_blur,
        covariance_scale=num_pixels
        / (num_pixels - 1),  # scikit-image's default, which the legacy code left on
    )
    return _mean_inside(similarity, border_px=UNIFORM_SIZE_PX // 2)


def psnr(image: np.ndarray, *, target: np.ndarray, region: np.ndarray | None = None) -> float | None:
    """Return the PSNR in dB on [0, 1] images, over all pixels or those of `region`, (H, W) bool.

    None where both are equal: there the ratio is infinite, which no mean survives.
    """
    squared = ((image.astype(np.float64) - target) / 255.0) ** 2
    error = float(squared.mean() if region is None else squared[region].mean())
    return None if error == 0.0 else -10.0 * float(np.log10(error))


def gaussian_ssim_map(image: np.ndarray, *, target: np.ndarray, data_range: float) -> np.ndarray:
    """Return the Gaussian SSIM of every pixel and channel, (H, W, 3) float64; images mirror "
    "at their borders."""
    return _ssim_map(
        image.astype(np.float64),
        target=target.astype(np.float64),
        data_range=data_range,
        blur=_gaussian_blur,
        covariance_scale=1.0,
    )


def _ssim_map(
    image: np.ndarray, *, target: np.ndarray, data_range: float, blur: Blur, covariance_scale: float
) -> np.ndarray:
    """Wang et al. 2004, equation 13, at every pixel; `blur` takes the windowed mean."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = blur(image), blur(target)
    variance_x = covariance_scale * (blur(image * image) - mean_x * mean_x)
    variance_y = covariance_scale * (blur(target * target) - mean_y * mean_y)
    covariance = covariance_scale * (blur(image * target) - mean_x * mean_y)
    numerator = (2.0 * mean_x * mean_y + c1) * (2.0 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    similarity: np.ndarray = numerator / denominator
    return similarity


def _gaussian_blur(array: np.ndarray) -> np.ndarray:
    size = (GAUSSIAN_SIZE_PX, GAUSSIAN_SIZE_PX)
    return cv2.GaussianBlur(array, size, GAUSSIAN_SIGMA_PX, borderType=cv2.BORDER_REFLECT)


def _uniform_blur(array: np.ndarray) -> np.ndarray:
    return cv2.blur(array, (UNIFORM_SIZE_PX, UNIFORM_SIZE_PX), borderType=cv2.BORDER_REFLECT)


def _mean_inside(similarity: np.ndarray, *, border_px: int) -> float:
    """Return the mean over pixels whose whole window lies inside the image."""
    return float(similarity[border_px:-border_px, border_px:-border_px].mean())
