"""Pictures for a reader: IUV maps in colour, grids of images with captions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

GUTTER_PX = 4
CAPTION_HEIGHT_PX = 22
PAPER_RGB = (255, 255, 255)
INK_RGB = (60, 64, 72)
IUV_BACKGROUND_RGB = (30, 32, 40)

# Hue, 0 to 179 as OpenCV counts, of parts 1 to 24: one family a limb, left and right apart.
_PART_HUES = np.array(
    [
        18,
        24,
        150,
        85,
        80,
        155,
        160,
        90,
        165,
        95,
        170,
        100,
        175,
        105,
        70,
        140,
        64,
        134,
        58,
        128,
        52,
        122,
        8,
        2,
    ],
    np.uint8,
)

# Shapes: H W pixels of one picture; R C rows and columns of a grid.


def colour_iuv(iuv: np.ndarray) -> np.ndarray:
    """Return an IUV map, (H, W, 3) uint8, as an RGB picture of that shape: hue is the part, "
    "shade is U and V."""
    part_HW, u_HW, v_HW = (iuv[..., channel] for channel in range(3))
    hsv = np.empty(iuv.shape, np.uint8)
    hsv[..., 0] = np.concatenate([[0], _PART_HUES])[np.minimum(part_HW, len(_PART_HUES))]
    hsv[..., 1] = 110 + u_HW // 2
    hsv[..., 2] = 255 - v_HW // 3
    picture = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    picture[part_HW == 0] = IUV_BACKGROUND_RGB
    return picture


def fit(
    image: np.ndarray, *, height_px: int, width_px: int, margin_rgb: tuple[int, int, int] = PAPER_RGB
) -> np.ndarray:
    """Return the whole image, (h, w, 3) uint8, scaled to fit and centred on a margin, (H, W, 3) uint8."""
    scale = min(height_px / image.shape[0], width_px / image.shape[1])
    high, wide = max(1, round(scale * image.shape[0])), max(1, round(scale * image.shape[1]))
    resized = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (height_px - high) // 2, (width_px - wide) // 2
    paper = np.full((height_px, width_px, 3), margin_rgb, np.uint8)
    paper[top : top + high, left : left + wide] = resized
    return paper


def stack_grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return one picture of R rows of C cells, each (H, W, 3) uint8 of one size, with "
    "gutters between them."""
    cell = rows[0][0].shape
    assert all(picture.shape == cell and len(row) == len(rows[0]) for row in rows for picture in row)
    high, wide = cell[0] + GUTTER_PX, cell[1] + GUTTER_PX
    grid = np.full((len(rows) * high - GUTTER_PX, len(rows[0]) * wide - GUTTER_PX, 3), PAPER_RGB, np.uint8)
    for row_index, row in enumerate(rows):
        for column_index, picture in enumerate(row):
            top, left = row_index * high, column_index * wide
            grid[top : top + cell[0], left : left + cell[1]] = picture
    return grid


def captioned_grid(rows: Sequence[Sequence[np.ndarray]], *, captions: Sequence[str]) -> np.ndarray:
    """Return `stack_grid` with one caption above each column and a margin around, uint8 RGB."""
    grid = stack_grid(rows)
    cell_width_px = rows[0][0].shape[1] + GUTTER_PX
    paper = np.full(
        (grid.shape[0] + CAPTION_HEIGHT_PX + GUTTER_PX, grid.shape[1] + 2 * GUTTER_PX, 3), PAPER_RGB, np.uint8
    )
    paper[CAPTION_HEIGHT_PX : CAPTION_HEIGHT_PX + grid.shape[0], GUTTER_PX:-GUTTER_PX] = grid
    picture = Image.fromarray(paper)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    for column_index, caption in enumerate(captions):
        middle = GUTTER_PX + column_index * cell_width_px + (cell_width_px - GUTTER_PX) // 2
        draw.text((middle, CAPTION_HEIGHT_PX // 2), caption, fill=INK_RGB, font=font, anchor="mm")
    return np.array(picture)
