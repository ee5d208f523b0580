"""Structural similarity with a uniform window, fast: whole-number sums, exact, in little memory.

Wang et al. 2004, equation 13, asks for the windowed means of x, y, x^2, y^2 and xy. With s = x + y and
d = x - y four windowed sums do:

    4 mean_x mean_y = mean_s^2 - mean_d^2        2 (mean_x^2 + mean_y^2) = mean_s^2 + mean_d^2

and likewise for covariance and variances. Of 8-bit images all sums fit into int32, so that nothing is lost to
rounding before the last step. What takes time is memory: an image is worked off in bands of rows, in buffers
that are used again, and the last step in strips that stay in the processor's cache.

Public: `uniform_ssim(image, *, target, size_px)`.
"""

from __future__ import annotations

import cv2
import numpy as np

K1, K2 = 0.01, 0.03
PEAK = 255.0
MAX_SIZE_PX = 89  # (255 + 255)^2 a pixel: larger windows overflow 32 bits
BAND_ROWS, STRIP_ROWS = 240, 16

# Shapes: H W pixels, C channels, K rows of a band. Images are (H, W, 3) uint8 RGB.


def uniform_ssim(image: np.ndarray, *, target: np.ndarray, size_px: int) -> float:
    """The mean over pixels whose whole window lies inside, channels scored apart.

    Variances are the sample's, divided by the window's pixels less one, as scikit-image has them by default.
    """
    assert image.shape == target.shape
    assert size_px % 2 == 1
    assert size_px <= MAX_SIZE_PX
    height_px, width_px, num_channels = image.shape
    num_rows, num_columns = height_px - size_px + 1, width_px - size_px + 1
    sums_4KWC = np.empty((4, min(BAND_ROWS, num_rows) + size_px - 1, width_px, num_channels), np.int32)
    scratch = np.empty((5, STRIP_ROWS, num_columns * num_channels))
    total = 0.0
    for start in range(0, num_rows, BAND_ROWS):
        rows = slice(start, min(start + BAND_ROWS, num_rows) + size_px - 1)
        sums = _window_sums(image[rows], target=target[rows], size_px=size_px, out_4KWC=sums_4KWC)
        for first in range(0, sums.shape[1], STRIP_ROWS):
            strip = sums[:, first : first + STRIP_ROWS]
            total += _sum_over_strip(strip, scratch=scratch, num_pixels=size_px**2)
    return total / float(num_rows * num_columns * num_channels)


def _window_sums(image: np.ndarray, *, target: np.ndarray, size_px: int, out_4KWC: np.ndarray) -> np.ndarray:
    """Of s, d, s^2 and d^2, (4, rows, columns x C) int32: every whole window. It is a view of `out_4KWC`."""
    planes = out_4KWC[:, : len(image)]
    both, apart, both_squared, apart_squared = planes
    cv2.add(image, target, dst=both, dtype=cv2.CV_32S)
    cv2.subtract(image, target, dst=apart, dtype=cv2.CV_32S)
    np.multiply(both, both, out=both_squared)
    np.multiply(apart, apart, out=apart_squared)
    for plane in planes:
        cv2.boxFilter(plane, cv2.CV_32S, (size_px, size_px), dst=plane, normalize=False)
    border = size_px // 2
    _, num_rows, width_px, num_channels = planes.shape
    return planes.reshape(4, num_rows, width_px * num_channels)[
        :, border : num_rows - border, num_channels * border : num_channels * (width_px - border)
    ]


def _sum_over_strip(sums: np.ndarray, *, scratch: np.ndarray, num_pixels: int) -> float:
    """The similarities of some rows, summed. All terms are times twice the square of `num_pixels`."""
    c1 = 2 * (K1 * PEAK * num_pixels) ** 2
    c2 = 2 * (K2 * PEAK) ** 2 * num_pixels * (num_pixels - 1)
    p, q, u, v, similarity = scratch[:, : sums.shape[1]]
    np.copyto(scratch[:4, : sums.shape[1]], sums)
    p *= p  # mean_s^2
    q *= q  # mean_d^2
    u *= num_pixels
    u -= p  # variance of s
    v *= num_pixels
    v -= q  # variance of d
    np.subtract(p, q, out=similarity)
    similarity += c1
    p += q
    p += c1
    np.subtract(u, v, out=q)
    q += c2
    u += v
    u += c2
    similarity *= q
    p *= u
    similarity /= p
    return float(similarity.sum())
