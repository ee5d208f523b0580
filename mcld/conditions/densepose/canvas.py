"""From a person's charts to the IUV map of the image.

Shapes: H W image, h w the person's box in whole pixels, S cells a side of a chart, C P its channels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.densepose.chart_head import Charts

PIXELS_AT_ONCE = 1 << 19  # charts at all of 40 megapixels at once would be 4 GB

# What becomes of U and V outside 0..1: the nearest byte, or the byte that is left when higher bits are lost.
UvOverflow = Literal["clamp", "wrap"]


def whole_box(box_4: Tensor) -> tuple[int, int, int, int]:
    """x, y, w, h of a box (x1, y1, x2, y2) in whole pixels: each of the four is truncated, none is empty."""
    x1, y1, x2, y2 = box_4.float().cpu()
    return int(x1), int(y1), max(int(x2 - x1), 1), max(int(y2 - y1), 1)


def paint_iuv(
    charts: Charts, *, row: int, box_4: Tensor, image_hw: tuple[int, int], uv_overflow: UvOverflow
) -> np.ndarray:
    """The IUV map (H, W, 3) uint8 of an image with this one person; `box_4` in pixels of the image."""
    x, y, width, height = whole_box(box_4)
    canvas = np.zeros((*image_hw, 3), dtype=np.uint8)
    target = canvas[y : y + height, x : x + width]
    rows_at_once = max(1, PIXELS_AT_ONCE // width)
    for start in range(0, height, rows_at_once):
        rows = range(start, min(start + rows_at_once, height))
        person = _paint_rows(charts, row=row, rows=rows, size=(height, width), uv_overflow=uv_overflow)
        painted = person.permute(1, 2, 0).cpu().numpy()
        block = target[rows.start : rows.stop]
        block[:] = painted[: block.shape[0], : block.shape[1]]
    return canvas


def _paint_rows(
    charts: Charts, *, row: int, rows: range, size: tuple[int, int], uv_overflow: UvOverflow
) -> Tensor:
    """I, U, V of some rows of the box (3, rows, w), uint8."""
    coarse, fine, u, v = (chart[row].float() for chart in (charts.coarse, charts.fine, charts.u, charts.v))
    coarse, fine = (_interpolate_rows(chart, rows=rows, size=size) for chart in (coarse, fine))
    # max: on a processor it takes a third of the time of argmax, for the same first index.
    part = fine.max(dim=0).indices * (coarse[1] > coarse[0])
    values = (_interpolate_at(part, chart_PSS=chart, rows=rows, size=size) for chart in (u, v))
    return torch.stack(
        [part.to(torch.uint8), *(_to_bytes(value, part_hw=part, overflow=uv_overflow) for value in values)]
    )


def _interpolate_rows(chart_CSS: Tensor, *, rows: range, size: tuple[int, int]) -> Tensor:
    """Some rows of a chart brought to (C, h, w) bilinearly, (C, rows, w)."""
    top, bottom, down = _neighbours(size[0], positions=rows, like=chart_CSS)
    left, right, across = _neighbours(size[1], positions=range(size[1]), like=chart_CSS)
    needed = chart_CSS[:, top[0] : bottom[-1] + 1]
    wide = torch.lerp(needed[..., left], needed[..., right], across)
    return torch.lerp(wide[:, top - top[0]], wide[:, bottom - top[0]], down[:, None])


def _interpolate_at(part_rw: Tensor, *, chart_PSS: Tensor, rows: range, size: tuple[int, int]) -> Tensor:
    """A chart at each pixel's own part (rows, w), as if all 25 parts were interpolated to (h, w)."""
    top, bottom, down = _neighbours(size[0], positions=rows, like=chart_PSS)
    left, right, across = _neighbours(size[1], positions=range(size[1]), like=chart_PSS)
    side = chart_PSS.shape[-1]
    upper = (part_rw * side + top[:, None]) * side
    lower = (part_rw * side + bottom[:, None]) * side
    above = torch.lerp(chart_PSS.take(upper + left), chart_PSS.take(upper + right), across)
    below = torch.lerp(chart_PSS.take(lower + left), chart_PSS.take(lower + right), across)
    return torch.lerp(above, below, down[:, None])


def _neighbours(length: int, *, positions: range, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For some pixels of an axis of `length`: the cells before and after their middle, the latter's share."""
    size = like.shape[-1]
    pixel = torch.arange(positions.start, positions.stop, device=like.device)
    position = (pixel + 0.5) * (size / length) - 0.5
    position = position.clamp(min=0)
    before = position.floor().long()
    return before, (before + 1).clamp(max=size - 1), position - before


def _to_bytes(value_hw: Tensor, *, part_hw: Tensor, overflow: UvOverflow) -> Tensor:
    """U or V as bytes (h, w): 0..1 becomes 0..255, background 0."""
    value = (value_hw * 255).masked_fill(part_hw == 0, 0)
    if overflow == "clamp":
        return value.clamp(0, 255).to(torch.uint8)
    # By way of int64: what a conversion of numbers outside 0..255 gives differs between processors.
    return value.trunc().long().remainder(256).to(torch.uint8)
