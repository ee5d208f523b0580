"""From a person's charts to the IUV map of the image.

Shapes: H W image, h w the person's box in whole pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mcld.conditions.densepose.chart_head import Charts

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
    coarse, fine = (
        F.interpolate(chart[row : row + 1].float(), (height, width), mode="bilinear", align_corners=False)[0]
        for chart in (charts.coarse, charts.fine)
    )
    # max: on a processor it takes a third of the time of argmax, for the same first index.
    part = fine.max(dim=0).indices * (coarse[1] > coarse[0])
    u, v = (_interpolate_at(part, chart_PSS=chart[row].float()) for chart in (charts.u, charts.v))
    person = torch.stack(
        [part.to(torch.uint8), *(_to_bytes(value, part_hw=part, overflow=uv_overflow) for value in (u, v))]
    )
    canvas = np.zeros((*image_hw, 3), dtype=np.uint8)
    target = canvas[y : y + height, x : x + width]
    target[:] = person.permute(1, 2, 0).cpu().numpy()[: target.shape[0], : target.shape[1]]
    return canvas


def _interpolate_at(part_hw: Tensor, *, chart_PSS: Tensor) -> Tensor:
    """A chart at each pixel's own part (h, w), as if all 25 parts were interpolated to (h, w)."""
    top, bottom, down = _neighbours(part_hw.shape[0], like=chart_PSS)
    left, right, across = _neighbours(part_hw.shape[1], like=chart_PSS)
    size = chart_PSS.shape[-1]
    upper = (part_hw * size + top[:, None]) * size
    lower = (part_hw * size + bottom[:, None]) * size
    above = torch.lerp(chart_PSS.take(upper + left), chart_PSS.take(upper + right), across)
    below = torch.lerp(chart_PSS.take(lower + left), chart_PSS.take(lower + right), across)
    return torch.lerp(above, below, down[:, None])


def _neighbours(length: int, *, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each pixel along an axis: the cells before and after its middle, and the share of the latter."""
    size = like.shape[-1]
    position = (torch.arange(length, device=like.device) + 0.5) * (size / length) - 0.5
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
