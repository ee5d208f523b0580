"""Attention maps to look at: as a grid, a row a step and a column a focal condition; or over a picture.

Public: `attention_grid(maps, row=0)`, with `maps` as a pipeline's call returns them, and `heat_over`.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

GAP_PX = 4
HEADING_PX = 16
HEAT_SHARE = 0.6  # of the map's colour over the picture


def attention_grid(
    maps: Mapping[int, Mapping[str, Tensor]], *, row: int = 0, cell_height_px: int = 160
) -> Image.Image:
    """RGB picture of one batch row; black is nothing, white the column's largest value, written above it.

    A column has one scale for all its steps, so that they can be compared.
    """
    names = list(next(iter(maps.values())))
    columns = {name: np.stack([step[name][row].float().numpy() for step in maps.values()]) for name in names}
    height, width = next(iter(columns.values())).shape[1:]
    cell = (round(cell_height_px * width / height), cell_height_px)
    size = (len(names) * (cell[0] + GAP_PX) - GAP_PX, HEADING_PX + len(maps) * (cell[1] + GAP_PX) - GAP_PX)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for number, (name, column) in enumerate(columns.items()):
        left = number * (cell[0] + GAP_PX)
        largest = float(column.max())
        draw.text((left, 2), f"{name} {largest:.2g}", fill="black")
        for index, values in enumerate(column):
            image = Image.fromarray(_heat(values / largest if largest > 0 else values))
            top = HEADING_PX + index * (cell[1] + GAP_PX)
            picture.paste(image.resize(cell, Image.Resampling.BILINEAR), (left, top))
    return picture


def heat_over(picture: np.ndarray, *, values: np.ndarray) -> np.ndarray:
    """A map, (H, W) in [0, 1], over a faded picture, both (H, W, 3) uint8 RGB: dark blue is 0, dark red 1."""
    colours = cv2.cvtColor(
        cv2.applyColorMap(np.round(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8), cv2.COLORMAP_TURBO),
        cv2.COLOR_BGR2RGB,
    )
    grey = picture.mean(axis=-1, keepdims=True)  # so that every colour is the map's
    blended = HEAT_SHARE * colours + (1.0 - HEAT_SHARE) * grey
    return np.asarray(np.round(blended).astype(np.uint8))


def _heat(values: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] to (H, W, 3) uint8: black, red, yellow, white."""
    channels = [np.clip(3.0 * values - start, 0.0, 1.0) for start in (0.0, 1.0, 2.0)]
    return np.round(255.0 * np.stack(channels, axis=-1)).astype(np.uint8)
