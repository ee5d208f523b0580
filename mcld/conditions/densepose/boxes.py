"""Boxes: decode them from anchors, clip them, and keep the best of those that overlap.

A box is (x1, y1, x2, y2) in pixels, with x2 and y2 outside it, float32.
Shapes: G groups (an image, or an image's level), N boxes of each, … any number of axes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_GROWTH = math.log(1000 / 16)  # a box may grow to 62.5 times its anchor: exp() must not overflow

Weights = tuple[float, float, float, float]


def decode_boxes(deltas_N4: Tensor, *, anchors_N4: Tensor, weights: Weights) -> Tensor:
    """Move and scale anchors, (…, 4): centres by dx, dy of their size, sizes by exp(dw), exp(dh).

    `weights` divide the deltas, as in R-CNN (Girshick et al. 2014).
    """
    anchors, deltas = anchors_N4.float(), deltas_N4.float()
    size = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + 0.5 * size
    weight = deltas.new_tensor(weights)
    new_centre = deltas[..., :2] / weight[:2] * size + centre
    half_size = (deltas[..., 2:] / weight[2:]).clamp(max=MAX_LOG_GROWTH).exp() * size * 0.5
    return torch.cat([new_centre - half_size, new_centre + half_size], dim=-1)


def clip_boxes(boxes_N4: Tensor, *, height_px: int, width_px: int) -> Tensor:
    """Boxes (…, 4) cut off at the border of the image."""
    x1, y1, x2, y2 = boxes_N4.unbind(-1)
    return torch.stack(
        [x1.clamp(0, width_px), y1.clamp(0, height_px), x2.clamp(0, width_px), y2.clamp(0, height_px)], dim=-1
    )


def is_filled(boxes_N4: Tensor) -> Tensor:
    """Which boxes (…, 4) have an area and are numbers; (…) bool."""
    x1, y1, x2, y2 = boxes_N4.unbind(-1)
    return (x2 > x1) & (y2 > y1) & boxes_N4.isfinite().all(-1)


def overlap(boxes_N4: Tensor) -> Tensor:
    """Intersection over union of every two boxes of (…, N, 4); (…, N, N). NaN where both are empty."""
    first, second = boxes_N4[..., :, None, :], boxes_N4[..., None, :, :]
    corner = torch.maximum(first[..., :2], second[..., :2])
    size = (torch.minimum(first[..., 2:], second[..., 2:]) - corner).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    area = (boxes_N4[..., 2] - boxes_N4[..., 0]) * (boxes_N4[..., 3] - boxes_N4[..., 1])
    return shared / (area[..., :, None] + area[..., None, :] - shared)


def suppress_overlaps(boxes_GN4: Tensor, *, valid_GN: Tensor, max_overlap: float) -> Tensor:
    """Which boxes stay when each removes the later ones that it overlaps by more than `max_overlap`.

    Boxes stand best first; those that are not valid neither stay nor remove others. Returns (G, N) bool.

    Greedy non-maximum suppression goes through the boxes one by one. Its result is the only set in which a
    box stays exactly if no earlier one that stays overlaps it. Here every box is asked at once until nothing
    changes: after k rounds the first k boxes are right, but chains of removals are short, and so are the
    rounds. All groups go together, and on a GPU nothing waits for the CPU but the question whether to stop.
    """
    earlier = overlap(boxes_GN4).gt_(max_overlap).tril_(diagonal=-1)  # row: is removed by; column: removes
    stays = valid_GN
    while True:
        removed = torch.bmm(earlier, stays.to(earlier.dtype)[..., None])[..., 0] > 0
        stays_now = valid_GN & ~removed
        if torch.equal(stays_now, stays):
            return stays
        stays = stays_now
