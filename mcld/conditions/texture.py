"""Unwrap person pixels into a UV texture, and render a texture back through an IUV map.

The texture is an atlas of 24 square tiles, one a DensePose part, in 6 rows and 4 columns filled column by
column. A texel is *visible* when a pixel of the image falls on it; its neighbours within a margin borrow
its colour.
"""

from __future__ import annotations

import cv2
import numpy as np

from mcld.errors import DataError

NUM_PARTS = 24
ATLAS_ROWS = 6
ATLAS_COLUMNS = 4
BLACK = (0, 0, 0)

# Shapes: H W pixels of image and IUV, S = part_size_px texels a side of one tile, N person pixels.


def unwrap(
    image: np.ndarray,  # (H, W, 3) uint8 RGB
    *,
    iuv: np.ndarray,  # (H, W, 3) uint8, channels I U V
    part_size_px: int,
    fill_margin_px: int,
) -> np.ndarray:
    """Return the atlas, (6S, 4S, 3) uint8 RGB: visible texels, and near them the nearest one's colour.

    Texels farther than `fill_margin_px` from any visible texel of their own tile are zeros. Raises
    DataError where image and IUV do not fit each other.
    """
    _check_iuv(iuv)
    if image.dtype != np.uint8 or image.shape != iuv.shape:
        raise DataError(
            f"texture: image {image.shape} {image.dtype} does not fit IUV {iuv.shape}; both must be "
            "(H, W, 3) uint8 of one size"
        )
    index_N = _texel_index(iuv, part_size_px=part_size_px)
    tiles = np.zeros((NUM_PARTS * part_size_px**2, 3), np.uint8)
    visible = np.zeros(len(tiles), bool)
    # Several pixels may fall on one texel: NumPy assigns in order, so the last in row-major order stays.
    tiles[index_N] = image[iuv[..., 0] > 0]
    visible[index_N] = True  # kept apart from the colours: a truly black pixel is visible too
    shape = (NUM_PARTS, part_size_px, part_size_px)
    filled = _fill_nearest(tiles.reshape(*shape, 3), visible=visible.reshape(shape), margin_px=fill_margin_px)
    return _to_atlas(filled)


def visible_mask(iuv: np.ndarray, *, part_size_px: int) -> np.ndarray:
    """Return which texels some pixel falls on, (6S, 4S) bool, before any filling."""
    _check_iuv(iuv)
    visible = np.zeros(NUM_PARTS * part_size_px**2, bool)
    visible[_texel_index(iuv, part_size_px=part_size_px)] = True
    return _to_atlas(visible.reshape(NUM_PARTS, part_size_px, part_size_px))


def visible_fraction(iuv: np.ndarray, *, part_size_px: int) -> float:
    """Return the share of all texels that some pixel falls on, 0 to 1."""
    return float(visible_mask(iuv, part_size_px=part_size_px).mean())


def render(
    atlas: np.ndarray,  # (6S, 4S, 3) uint8 RGB
    *,
    iuv: np.ndarray,  # (H, W, 3) uint8, channels I U V
    background_rgb: tuple[int, int, int] = BLACK,
) -> np.ndarray:
    """Return the person seen through `iuv` wearing `atlas`, (H, W, 3) uint8 RGB.

    Each pixel takes exactly one texel.
    """
    _check_iuv(iuv)
    part_size_px = _part_size_of(atlas)
    image = np.empty(iuv.shape, np.uint8)
    image[...] = background_rgb
    image[iuv[..., 0] > 0] = _to_tiles(atlas).reshape(-1, 3)[_texel_index(iuv, part_size_px=part_size_px)]
    return image


def _texel_index(iuv: np.ndarray, *, part_size_px: int) -> np.ndarray:
    """Return the flat index (part, row, column) of every person pixel's texel, (N,) int64, "
    "in row-major order."""
    part_N, u_N, v_N = iuv[iuv[..., 0] > 0].astype(np.int64).T
    # DensePose's texture transfer: row = trunc((255 - V) (S - 1) / 255), column = trunc(U (S - 1) / 255).
    row_N = (255 - v_N) * (part_size_px - 1) // 255
    column_N = u_N * (part_size_px - 1) // 255
    index_N: np.ndarray = ((part_N - 1) * part_size_px + row_N) * part_size_px + column_N
    return index_N


def _fill_nearest(tiles: np.ndarray, *, visible: np.ndarray, margin_px: int) -> np.ndarray:
    """Return `tiles`, (24, S, S, 3), with missing texels in the margin coloured as the nearest visible one.

    All tiles are filled in one distance transform. They stand in one tall strip, set apart by more than the
    margin, so that no tile borrows from another.
    """
    size_px = tiles.shape[1]
    margin_px = min(
        margin_px, 2 * size_px
    )  # a tile's diagonal is shorter, so a larger margin changes nothing
    if margin_px == 0 or not visible.any():
        return tiles
    missing = np.ones((NUM_PARTS, size_px + margin_px, size_px), np.uint8)
    missing[:, :size_px] = ~visible
    distance, label = cv2.distanceTransformWithLabels(
        missing.reshape(-1, size_px), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    distance = distance.reshape(missing.shape)[:, :size_px]
    label = label.reshape(missing.shape)[:, :size_px]
    colour_of_label = np.zeros((int(label.max()) + 1, 3), np.uint8)
    colour_of_label[label[visible]] = tiles[visible]
    borrows = (distance <= margin_px) & ~visible
    filled = tiles.copy()
    filled[borrows] = colour_of_label[label[borrows]]
    return filled


def _to_atlas(tiles: np.ndarray) -> np.ndarray:
    """Lay (24, S, S, ...) tiles out as a (6S, 4S, ...) atlas: part p at row (p-1) % 6, column (p-1) // 6."""
    size_px, rest = tiles.shape[1], tiles.shape[3:]
    grid = tiles.reshape(ATLAS_COLUMNS, ATLAS_ROWS, size_px, size_px, *rest)
    return np.ascontiguousarray(
        np.moveaxis(grid, (1, 2, 0, 3), (0, 1, 2, 3)).reshape(
            ATLAS_ROWS * size_px, ATLAS_COLUMNS * size_px, *rest
        )
    )


def _to_tiles(atlas: np.ndarray) -> np.ndarray:
    """Cut a (6S, 4S, ...) atlas into its (24, S, S, ...) tiles in part order; the inverse of `_to_atlas`."""
    size_px, rest = atlas.shape[0] // ATLAS_ROWS, atlas.shape[2:]
    grid = atlas.reshape(ATLAS_ROWS, size_px, ATLAS_COLUMNS, size_px, *rest)
    return np.moveaxis(grid, (2, 0, 1, 3), (0, 1, 2, 3)).reshape(NUM_PARTS, size_px, size_px, *rest)


def _part_size_of(atlas: np.ndarray) -> int:
    """Return S of a (6S, 4S, 3) uint8 atlas; raises DataError on any other array."""
    size_px: int = atlas.shape[0] // ATLAS_ROWS
    if (
        atlas.dtype != np.uint8
        or size_px == 0
        or atlas.shape != (ATLAS_ROWS * size_px, ATLAS_COLUMNS * size_px, 3)
    ):
        raise DataError(
            f"texture: atlas {atlas.shape} {atlas.dtype} is not (6 S, 4 S, 3) uint8; make it with "
            "`texture.layout: atlas`"
        )
    return size_px


def _check_iuv(iuv: np.ndarray) -> None:
    """Raise DataError with shape and range unless `iuv` is (H, W, 3) uint8 with parts 0 to 24."""
    if iuv.ndim != 3 or iuv.shape[2] != 3 or iuv.dtype != np.uint8:
        raise DataError(f"texture: IUV {iuv.shape} {iuv.dtype} is not (H, W, 3) uint8 with channels I U V")
    if iuv[..., 0].max(initial=0) > NUM_PARTS:
        raise DataError(
            f"texture: IUV holds part {iuv[..., 0].max()}, beyond 0 to {NUM_PARTS}; channels must be "
            "in the order I U V"
        )
