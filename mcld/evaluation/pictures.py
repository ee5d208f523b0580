"""Pictures for a reader: IUV maps in colour, grids of images with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

GUTTER_PX = 4
CAPTION_HEIGHT_PX = 22
LABEL_HEIGHT_PX = 20
FONT_SIZE_PX = 13
OVERLAY_SHARE = 0.6  # of the IUV map's colour over the photograph
BOX_RGB = (255, 220, 0)
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
    """Return an IUV map, (H, W, 3) uint8, as an RGB picture: hue is the part, shade is U and V."""
    part_HW, u_HW, v_HW = (iuv[..., channel] for channel in range(3))
    hsv = np.empty(iuv.shape, np.uint8)
    hsv[..., 0] = np.concatenate([[0], _PART_HUES])[np.minimum(part_HW, len(_PART_HUES))]
    hsv[..., 1] = 110 + u_HW // 2
    hsv[..., 2] = 255 - v_HW // 3
    picture = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    picture[part_HW == 0] = IUV_BACKGROUND_RGB
    return picture


def overlay_iuv(image: np.ndarray, *, iuv: np.ndarray) -> np.ndarray:
    """Return the photograph, (H, W, 3) uint8 RGB, with the person tinted as in `colour_iuv`."""
    is_person = iuv[..., :1] > 0
    blended = (1 - OVERLAY_SHARE) * image + OVERLAY_SHARE * colour_iuv(iuv)
    return np.asarray(np.where(is_person, blended, image).astype(np.uint8))


def draw_box(image: np.ndarray, *, box_4: Sequence[float]) -> np.ndarray:
    """Return the photograph with a frame around a box of left, top, right, bottom in pixels."""
    thickness_px = max(1, round(min(image.shape[:2]) / 150))
    left, top, right, bottom = (round(side) for side in box_4)
    framed = cv2.rectangle(image.copy(), (left, top), (right, bottom), BOX_RGB, thickness_px)
    return np.asarray(framed)


def note(text: str, *, height_px: int, width_px: int) -> np.ndarray:
    """Return a picture that says `text`, (H, W, 3) uint8 RGB, for where there is none to show."""
    picture = Image.new("RGB", (width_px, height_px), (236, 237, 240))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=FONT_SIZE_PX)
    lines = textwrap.wrap(text, width=max(8, int(width_px / (0.55 * FONT_SIZE_PX)))) or [""]
    draw.multiline_text(
        (width_px // 2, height_px // 2),
        "\n".join(lines),
        fill=INK_RGB,
        font=font,
        anchor="mm",
        align="center",
    )
    return np.array(picture)


def labelled_rows(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]], *, captions: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return R rows of cells, each under its label, and every cell above its caption, uint8 RGB.

    Cells are (H, W, 3) uint8 of one size; rows may be of different lengths, and captions of several lines.
    """
    high, wide = rows[0][1][0].shape[:2]
    caption_height_px = CAPTION_HEIGHT_PX * max(1 + text.count("\n") for texts in captions for text in texts)
    row_height_px = LABEL_HEIGHT_PX + high + caption_height_px + GUTTER_PX
    columns = max(len(cells) for _, cells in rows)
    picture = Image.new(
        "RGB", (GUTTER_PX + columns * (wide + GUTTER_PX), GUTTER_PX + len(rows) * row_height_px), PAPER_RGB
    )
    draw = ImageDraw.Draw(picture)
    label_font = ImageFont.load_default(size=FONT_SIZE_PX + 1)
    font = ImageFont.load_default(size=FONT_SIZE_PX - 1)
    for row_index, ((label, cells), row_captions) in enumerate(zip(rows, captions, strict=True)):
        top = GUTTER_PX + row_index * row_height_px
        draw.text((GUTTER_PX, top + LABEL_HEIGHT_PX // 2), label, fill=INK_RGB, font=label_font, anchor="lm")
        for column_index, (cell, caption) in enumerate(zip(cells, row_captions, strict=True)):
            left = GUTTER_PX + column_index * (wide + GUTTER_PX)
            picture.paste(Image.fromarray(cell), (left, top + LABEL_HEIGHT_PX))
            middle = (left + wide // 2, top + LABEL_HEIGHT_PX + high + caption_height_px // 2)
            draw.multiline_text(middle, caption, fill=INK_RGB, font=font, anchor="mm", align="center")
    return np.array(picture)


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
    """Return one picture of R rows of C cells, each (H, W, 3) uint8 of one size, gutters between them."""
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
