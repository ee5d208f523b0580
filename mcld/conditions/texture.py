"""Unwrap person pixels into a UV texture, and render a texture back through an IUV map.

The texture is an atlas of 24 square tiles, one a DensePose part (`texture_layouts.py`), or the SMPL layout
made from it (`texture_smpl.py`). A texel is *visible* when a pixel of the image falls on it; its neighbours
within a margin are filled (`texture_fill.py`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mcld.conditions.texture_fill import fill_nearest, fill_telea
from mcld.conditions.texture_layouts import NUM_PARTS, part_size_of, to_atlas, to_tiles
from mcld.conditions.texture_smpl import charts, smpl_from_atlas
from mcld.errors import DataError

BLACK = (0, 0, 0)

Fill = Literal["telea", "nearest"]
Layout = Literal["smpl512", "atlas"]

# Shapes: H W pixels of image and IUV, S = part_size_px texels a side of one tile, N person pixels.


def make_texture(
    image: np.ndarray,  # (H, W, 3) uint8 RGB
    *,
    iuv: np.ndarray,  # (H, W, 3) uint8, channels I U V
    layout: Layout,
    fill: Fill,
    part_size_px: int,
    fill_margin_px: int,
    black_is_missing: bool,
) -> np.ndarray:
    """Return the texture: an atlas, (6S, 4S, 3) uint8 RGB, or the SMPL layout, (512, 512, 3), where S is 200.

    Only the SMPL layout knows the parts' charts: in an atlas `telea` fills all the margin.
    """
    atlas = make_atlas(
        image,
        iuv=iuv,
        layout=layout,
        fill=fill,
        part_size_px=part_size_px,
        fill_margin_px=fill_margin_px,
        black_is_missing=black_is_missing,
    )
    return in_layout(atlas, layout=layout)


def make_atlas(
    image: np.ndarray,  # (H, W, 3) uint8 RGB
    *,
    iuv: np.ndarray,  # (H, W, 3) uint8, channels I U V
    layout: Layout,
    fill: Fill,
    part_size_px: int,
    fill_margin_px: int,
    black_is_missing: bool,
) -> np.ndarray:
    """Return the atlas, (6S, 4S, 3) uint8 RGB, that the texture of this layout is made from."""
    return unwrap(
        image,
        iuv=iuv,
        part_size_px=part_size_px,
        fill_margin_px=fill_margin_px,
        fill=fill,
        black_is_missing=black_is_missing,
        part_charts=charts(part_size_px=part_size_px) if layout == "smpl512" and fill == "telea" else None,
    )


def in_layout(atlas: np.ndarray, *, layout: Layout) -> np.ndarray:
    """Return an atlas as the texture that the model sees: itself, or (512, 512, 3) in the SMPL layout."""
    return smpl_from_atlas(atlas) if layout == "smpl512" else atlas


def unwrap(
    image: np.ndarray,  # (H, W, 3) uint8 RGB
    *,
    iuv: np.ndarray,  # (H, W, 3) uint8, channels I U V
    part_size_px: int,
    fill_margin_px: int,
    fill: Fill = "nearest",
    black_is_missing: bool = False,
    part_charts: np.ndarray | None = None,  # (24, S, S) bool: where `telea` may fill
) -> np.ndarray:
    """Return the atlas, (6S, 4S, 3) uint8 RGB: visible texels, and near them what they are continued to.

    Texels farther than `fill_margin_px` from any visible texel of their own tile are zeros. With
    `black_is_missing` a texel whose pixel is truly black counts as not visible, as it does for the authors.
    Raises DataError where image and IUV do not fit each other.
    """
    tiles, visible = _scatter(image, iuv=iuv, part_size_px=part_size_px)
    if black_is_missing:
        visible = np.asarray(tiles.any(axis=-1))
    if fill == "telea":
        filled = fill_telea(tiles, visible=visible, margin_px=fill_margin_px, charts=part_charts)
    else:
        filled = fill_nearest(tiles, visible=visible, margin_px=fill_margin_px)
    return to_atlas(filled)


def visible_mask(iuv: np.ndarray, *, part_size_px: int) -> np.ndarray:
    """Return which texels some pixel falls on, (6S, 4S) bool, before any filling."""
    _check_iuv(iuv)
    _, texel_N = _person(iuv, part_size_px=part_size_px)
    visible = np.zeros(NUM_PARTS * part_size_px**2, bool)
    visible[texel_N] = True
    return to_atlas(visible.reshape(NUM_PARTS, part_size_px, part_size_px))


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

    Each pixel takes exactly one texel. A texture of the SMPL layout becomes an atlas by `atlas_from_smpl`.
    """
    _check_iuv(iuv)
    pixel_N, texel_N = _person(iuv, part_size_px=part_size_of(atlas))
    image = np.full(iuv.shape, background_rgb, np.uint8)
    image.reshape(-1, 3)[pixel_N] = to_tiles(atlas).reshape(-1, 3)[texel_N]
    return image


def _scatter(image: np.ndarray, *, iuv: np.ndarray, part_size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tiles (24, S, S, 3) uint8 with each pixel on its texel, and which are visible, (24, S, S)."""
    _check_iuv(iuv)
    if image.dtype != np.uint8 or image.shape != iuv.shape:
        raise DataError(
            f"texture: image {image.shape} {image.dtype} does not fit IUV {iuv.shape}; both must be "
            "(H, W, 3) uint8 of one size"
        )
    pixel_N, texel_N = _person(iuv, part_size_px=part_size_px)
    tiles = np.zeros((NUM_PARTS * part_size_px**2, 3), np.uint8)
    visible = np.zeros(len(tiles), bool)
    # Several pixels may fall on one texel: NumPy assigns in order, so the last in row-major order stays.
    tiles[texel_N] = image.reshape(-1, 3)[pixel_N]
    visible[texel_N] = True  # kept apart from the colours: a truly black pixel is visible too
    shape = (NUM_PARTS, part_size_px, part_size_px)
    return tiles.reshape(*shape, 3), visible.reshape(shape)


def _person(iuv: np.ndarray, *, part_size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the person's pixels and their texels stand, both (N,) int64, in the order of the pixels.

    Pixels count row by row, texels by (part, row, column).
    """
    pixel_N = np.flatnonzero(iuv[..., 0])
    part_N, u_N, v_N = iuv.reshape(-1, 3)[pixel_N].T
    # DensePose's texture transfer: row = trunc((255 - V) (S - 1) / 255), column = trunc(U (S - 1) / 255).
    step_of_byte = np.arange(256) * (part_size_px - 1) // 255
    start_of_part = (np.arange(NUM_PARTS + 1) - 1) * part_size_px**2
    start_of_row = step_of_byte[::-1] * part_size_px
    return pixel_N, start_of_part[part_N] + start_of_row[v_N] + step_of_byte[u_N]


def _check_iuv(iuv: np.ndarray) -> None:
    """Raise DataError with shape and range unless `iuv` is (H, W, 3) uint8 with parts 0 to 24."""
    if iuv.ndim != 3 or iuv.shape[2] != 3 or iuv.dtype != np.uint8:
        raise DataError(f"texture: IUV {iuv.shape} {iuv.dtype} is not (H, W, 3) uint8 with channels I U V")
    if iuv[..., 0].max(initial=0) > NUM_PARTS:
        raise DataError(
            f"texture: IUV holds part {iuv[..., 0].max()}, beyond 0 to {NUM_PARTS}; channels must be "
            "in the order I U V"
        )
