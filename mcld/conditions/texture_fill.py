"""Colour the texels that no pixel shows, out to a margin around those that one does.

`fill_nearest` takes the nearest visible texel's colour. `fill_telea` inpaints as the authors do (Telea 2004,
"An image inpainting technique based on the fast marching method").

Shapes: S texels a side of one tile, T all texels (24 S S), N some of them.
"""

from __future__ import annotations

import cv2
import numpy as np

from mcld.conditions.texture_layouts import NUM_PARTS

INPAINT_RADIUS_PX = 3


def fill_nearest(
    tiles: np.ndarray,  # (24, S, S, 3) uint8
    *,
    visible: np.ndarray,  # (24, S, S) bool
    margin_px: int,
) -> np.ndarray:
    """Return `tiles` with missing texels in the margin coloured as the nearest visible one of their tile.

    All tiles are filled in one distance transform. They stand in one tall strip, set apart by more than the
    margin, so that no tile borrows from another.
    """
    size_px = tiles.shape[1]
    margin_px = min(margin_px, 2 * size_px)  # a tile's diagonal is shorter: a larger margin changes nothing
    if margin_px == 0 or not visible.any():
        return tiles
    missing = np.ones((NUM_PARTS, size_px + margin_px, size_px), np.uint8)
    missing[:, :size_px] = ~visible
    distance, label = cv2.distanceTransformWithLabels(
        missing.reshape(-1, size_px), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    distance = distance.reshape(missing.shape)[:, :size_px]
    label_T = label.reshape(missing.shape)[:, :size_px].reshape(-1)
    visible_N = np.flatnonzero(visible)
    borrowing_N = np.flatnonzero((distance <= margin_px) & ~visible)
    filled_T3 = tiles.reshape(-1, 3).copy()
    colour_of_label = np.zeros((int(label_T.max()) + 1, 3), np.uint8)
    colour_of_label[label_T[visible_N]] = filled_T3[visible_N]
    filled_T3[borrowing_N] = colour_of_label[label_T[borrowing_N]]
    return filled_T3.reshape(tiles.shape)


def fill_telea(
    tiles: np.ndarray,  # (24, S, S, 3) uint8
    *,
    visible: np.ndarray,  # (24, S, S) bool
    margin_px: int,
    charts: np.ndarray | None,  # (24, S, S) bool; None: every texel belongs to its part
) -> np.ndarray:
    """Return `tiles` with missing texels of the charts inpainted in the margin, (24, S, S, 3) uint8.

    A tile's colours pass through eight bits stretched to its range, so visible ones may lose a level. Tiles
    that nothing shows are zeros.
    """
    if margin_px == 0:
        return tiles
    filled = np.zeros_like(tiles)
    for index in np.flatnonzero(visible.any(axis=(1, 2))):
        chart = np.ones_like(visible[index]) if charts is None else charts[index]
        filled[index] = _inpaint(tiles[index], visible=visible[index], chart=chart, margin_px=margin_px)
    return filled


def near(visible: np.ndarray, *, margin_px: int) -> np.ndarray:
    """Return which texels of one tile, (S, S) bool, lie in a square of 2 margins around a visible one.

    Its side is even: it reaches `margin_px` texels to one side, and one fewer to the other.
    """
    margin_px = min(margin_px, visible.shape[0])
    square = np.ones((2 * margin_px, 2 * margin_px), np.uint8)
    dilated: np.ndarray = cv2.dilate(visible.astype(np.uint8), square, anchor=(margin_px, margin_px))
    return dilated > 0


def _inpaint(tile: np.ndarray, *, visible: np.ndarray, chart: np.ndarray, margin_px: int) -> np.ndarray:
    """Return one tile, (S, S, 3), inpainted and cut to the margin."""
    lowest, highest = int(tile.min()), int(tile.max())
    if lowest == highest:  # all black, or one colour that hides nothing
        return tile
    # All of the chart, though only the margin is kept: what the mask leaves out would flow in as known black.
    missing = chart & ~visible
    stretched = _stretch(lowest, highest)[tile]
    inpainted = cv2.inpaint(stretched, missing.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    filled: np.ndarray = _stretch_back(lowest, highest)[inpainted]
    filled[~near(visible, margin_px=margin_px)] = 0
    return filled


def _stretch(lowest: int, highest: int) -> np.ndarray:
    """Return what each grey level becomes when the range is stretched to 0..255, (256,) uint8, truncated."""
    level = np.clip(np.arange(256), lowest, highest)
    return ((level - lowest) / (highest - lowest) * 255).astype(np.uint8)


def _stretch_back(lowest: int, highest: int) -> np.ndarray:
    """Return the way back, (256,) uint8, truncated again: it can lose a level."""
    return (np.arange(256) / 255 * (highest - lowest) + lowest).astype(np.uint8)
