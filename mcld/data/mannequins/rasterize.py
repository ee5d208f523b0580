"""Triangles to pixels in NumPy: an orthographic z-buffer with interpolated attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_WINDOWS_PX = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
_DEPTH_STEPS = 1 << 22
_TRIANGLE_BITS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """The visible surface: one row for each covered pixel."""

    pixel: np.ndarray  # (P,) int64, index into the flattened picture
    triangle: np.ndarray  # (P,) int64
    weights: np.ndarray  # (P, 3) float32 barycentric weights
    depth: np.ndarray  # (P,) float32, larger is nearer


def rasterize(corners: np.ndarray, *, height_px: int, width_px: int) -> Fragments:
    """Resolve which triangle each pixel centre sees.

    corners: (T, 3, 3) float; x right and y down in pixels, z towards the viewer. Triangles that are
    clockwise on screen face away and are culled.
    """
    x, y, z = corners[..., 0], corners[..., 1], corners[..., 2]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    left, top = np.ceil(x.min(1) - 0.5).astype(np.int64), np.ceil(y.min(1) - 0.5).astype(np.int64)
    right, bottom = np.floor(x.max(1) - 0.5).astype(np.int64), np.floor(y.max(1) - 0.5).astype(np.int64)
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    right, bottom = np.minimum(right, width_px - 1), np.minimum(bottom, height_px - 1)
    size = np.maximum(right - left, bottom - top) + 1
    alive = (area < -1e-9) & (right >= left) & (bottom >= top)
    key = np.full(height_px * width_px, -1, dtype=np.int64)
    z_low, z_high = float(z.min()), float(z.max())
    z_scale = (_DEPTH_STEPS - 1) / max(z_high - z_low, 1e-9)
    smallest = 0
    for window in (*_WINDOWS_PX, max(height_px, width_px)):
        chosen = np.flatnonzero(alive & (size > smallest) & (size <= window))
        smallest = window
        if chosen.size:
            span = np.arange(window)
            columns = left[chosen, None, None] + span[None, None, :]
            rows = top[chosen, None, None] + span[None, :, None]
            first, second, third = _weights(corners[chosen], area[chosen], columns + 0.5, rows + 0.5)
            inside = (first >= 0) & (second >= 0) & (third >= 0)
            inside &= (columns <= right[chosen, None, None]) & (rows <= bottom[chosen, None, None])
            corner_z = z[chosen][:, :, None, None]
            depth = first * corner_z[:, 0] + second * corner_z[:, 1] + third * corner_z[:, 2]
            packed = ((depth - z_low) * z_scale).astype(np.int64) << _TRIANGLE_BITS
            packed |= chosen[:, None, None]
            np.maximum.at(key, (rows * width_px + columns)[inside], packed[inside])
    pixel = np.flatnonzero(key >= 0)
    triangle = key[pixel] & ((1 << _TRIANGLE_BITS) - 1)
    columns = (pixel % width_px + 0.5)[:, None, None]
    rows = (pixel // width_px + 0.5)[:, None, None]
    weights = np.concatenate(_weights(corners[triangle], area[triangle], columns, rows), axis=2)[:, 0]
    depth_at = (weights * z[triangle]).sum(1)
    return Fragments(
        pixel=pixel, triangle=triangle, weights=weights.astype(np.float32), depth=depth_at.astype(np.float32)
    )


def _weights(
    corners: np.ndarray, area: np.ndarray, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Barycentric weights of the points (columns, rows), broadcast over (T, K, K)."""
    x, y = corners[:, :, 0, None, None], corners[:, :, 1, None, None]
    scale = 1.0 / area[:, None, None]
    first = ((x[:, 1] - columns) * (y[:, 2] - rows) - (x[:, 2] - columns) * (y[:, 1] - rows)) * scale
    second = ((x[:, 2] - columns) * (y[:, 0] - rows) - (x[:, 0] - columns) * (y[:, 2] - rows)) * scale
    return first, second, 1.0 - first - second
