"""Find the person in a generated image without a pose estimator: whatever is not the plain background.

Studio pictures have a plain, softly lit background that reaches the left, right and upper border. A smooth
surface is fitted to those borders; a pixel that differs from it in colour belongs to the person. Near the
floor, a pixel that is merely darker than the surface is a soft contact shadow and does not. White cloth
before a near-white wall remains hard: on the embedded people's own pictures the mean IoU with the true
silhouette is .95, and .65 to .8 for people all in white. The ground-truth row of every evaluation says how
well it did there.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

BORDER_FRACTION = 0.04  # of width and height: the strips that are taken for background
COLOUR_THRESHOLD = 0.025  # least Euclidean distance in [0, 1] RGB; a noisy background raises it
NOISE_FACTOR = 2.0  # threshold over the borders' median distance
FLOOR_FRACTION = 0.25  # of the height: where feet and their shadows may be
DARKEST_SHADOW = 0.8  # of the background's own brightness
OUTLIER_DISTANCE = 0.12  # border pixels farther from the surface are no background
EDGE_HEIGHT = 0.35  # of the contrast across an outline: a blurred outline is cut about half way
EDGE_WINDOW = np.ones((5, 5), np.uint8)
SMALLEST_BLOB_FRACTION = 0.02  # of the biggest blob; smaller ones are noise
LARGEST_HOLE_FRACTION = 0.01  # of the person; smaller holes are cloth that looks like background

# Shapes: H W pixels.


def estimate_silhouette(image: np.ndarray) -> np.ndarray:
    """Return which pixels of an (H, W, 3) uint8 RGB image show the person, (H, W) bool."""
    pixels = image.astype(np.float32) / 255.0
    height_px, width_px = pixels.shape[:2]
    is_border, _ = _border(height_px, width_px)
    distance = _distance_to_background(pixels, background=_fit_background(pixels))
    threshold = max(COLOUR_THRESHOLD, NOISE_FACTOR * float(np.median(distance[is_border])))
    person = _without_specks(distance > threshold)
    # Smooth pictures blur the outline outwards; pixels there must rise well towards the contrast inside.
    at_outline = cv2.dilate((~person).astype(np.uint8), EDGE_WINDOW) > 0
    is_blur = at_outline & (distance < EDGE_HEIGHT * cv2.dilate(distance, EDGE_WINDOW))
    return _without_specks(person & ~is_blur)


@lru_cache(maxsize=4)  # pictures of an evaluation have one size
def _border(height_px: int, width_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the left, right and upper strips, (H, W) bool, and the surface's terms in them, (N, 5).

    The lower strip is left out: crops cut the person there.
    """
    strip_y, strip_x = max(1, round(BORDER_FRACTION * height_px)), max(1, round(BORDER_FRACTION * width_px))
    is_border = np.zeros((height_px, width_px), bool)
    is_border[:strip_y] = is_border[:, :strip_x] = is_border[:, -strip_x:] = True
    rows, columns = np.nonzero(is_border)
    y, x = np.linspace(-1, 1, height_px)[rows], np.linspace(-1, 1, width_px)[columns]
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y], axis=-1)
    for array in (is_border, terms):
        array.flags.writeable = False
    return is_border, terms


def _fit_background(pixels: np.ndarray) -> np.ndarray:
    """Return a second-order surface a channel fitted to the border pixels, (H, W, 3) float32.

    Border pixels far from a first fit (an arm that reaches the border) are dropped before the second.
    """
    height_px, width_px = pixels.shape[:2]
    is_border, terms = _border(height_px, width_px)
    colours = pixels[is_border]
    expected = np.broadcast_to(np.median(colours, axis=0), colours.shape)
    for _ in range(2):
        error = _lengths(colours - expected)
        kept = error <= max(OUTLIER_DISTANCE, 2.0 * float(np.median(error)))
        coefficients = np.linalg.lstsq(terms[kept], colours[kept], rcond=None)[0]
        expected = terms @ coefficients
    constant, along_x, along_y, along_xx, along_yy = coefficients
    x, y = np.linspace(-1, 1, width_px)[:, None], np.linspace(-1, 1, height_px)[:, None]
    of_columns = (constant + along_x * x + along_xx * x * x).astype(np.float32)
    of_rows = (along_y * y + along_yy * y * y).astype(np.float32)
    surface: np.ndarray = of_rows[:, None] + of_columns
    return surface


def _distance_to_background(pixels: np.ndarray, *, background: np.ndarray) -> np.ndarray:
    """Return each pixel's colour distance to the background, near the floor to its shade, (H, W) float32."""
    height_px = pixels.shape[0]
    darkest = np.ones((height_px, 1), np.float32)
    darkest[int((1.0 - FLOOR_FRACTION) * height_px) :] = DARKEST_SHADOW
    shade = _products(pixels, background) / np.maximum(_products(background, background), 1e-6)
    shade = np.clip(shade, darkest, 1.0)
    return _lengths(pixels - shade[..., None] * background)


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the dot products of colours, (...): several times as fast as a sum over an axis of three."""
    products: np.ndarray = np.einsum("...c,...c->...", first, second)
    return products


def _lengths(colours: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.sqrt(_products(colours, colours))
    return lengths


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Return the mask without small blobs and with small holes filled, (H, W) bool."""
    person = _keep_blobs(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    is_hole = stats[:, cv2.CC_STAT_AREA] <= LARGEST_HOLE_FRACTION * person.sum()
    is_hole[0] = False  # label 0 is the person
    filled: np.ndarray = person | is_hole[labels]
    return filled


def _keep_blobs(mask: np.ndarray) -> np.ndarray:
    """Return the blobs of `mask` that are not tiny beside the biggest, (H, W) bool."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(float)
    areas[0] = 0.0  # label 0 is the background
    kept = (areas > 0) & (areas >= SMALLEST_BLOB_FRACTION * areas.max(initial=0.0))
    blobs: np.ndarray = kept[labels]
    return blobs
