"""ROIAlign (He et al. 2017): what lies in a box of a feature map, resampled to a fixed grid.

The original variant, `aligned=False`: a cell's centre is at its whole-numbered coordinate, with no shift by
half a cell, and a box is at least one cell wide. Every output cell averages 2 x 2 bilinear samples, so it is
a weighted sum of 16 feature cells. `embedding_bag` computes just that: all boxes, levels and images in one
call, and no sample is kept.

Shapes: R boxes, B images, C channels, H W feature map, S output size, T taps of an output cell along an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLES = 2  # of an output cell along an axis
TAPS = 2 * SAMPLES  # a sample lies between two feature cells


def roi_align(
    features: Sequence[Tensor],  # maps (B, C, H, W), finest first; each has H and W of its own
    *,
    strides: Sequence[int],  # image pixels of a cell of each map
    boxes_R4: Tensor,  # image pixels
    image_index_R: Tensor,  # long: which image a box is of
    level_R: Tensor,  # long: which map it is taken from
    size: int,
) -> Tensor:
    """What lies in each box, (R, C, S, S) float32. A sample more than a cell outside its map counts as 0."""
    num_channels = features[0].shape[1]
    table = torch.cat([level.float().permute(0, 2, 3, 1).flatten(0, 2) for level in features])
    height_R, width_R, stride_R, first_R = _level_numbers(features, strides=strides, like=level_R)[:, level_R]
    box_R4 = boxes_R4.float() / stride_R[:, None]
    row, row_weight = _taps(box_R4[:, 1], end_R=box_R4[:, 3], length_R=height_R, size=size)
    column, column_weight = _taps(box_R4[:, 0], end_R=box_R4[:, 2], length_R=width_R, size=size)
    # Rows and columns meet as (R, S, S, T, T).
    row = (first_R + image_index_R * height_R * width_R)[:, None, None] + row * width_R[:, None, None]
    cell = row[:, :, None, :, None] + column[:, None, :, None, :]
    weight = row_weight[:, :, None, :, None] * column_weight[:, None, :, None, :]
    pooled = F.embedding_bag(
        cell.reshape(-1, TAPS * TAPS),
        table,
        mode="sum",
        per_sample_weights=weight.reshape(-1, TAPS * TAPS),
    )
    return pooled.view(-1, size, size, num_channels).permute(0, 3, 1, 2)


def _level_numbers(features: Sequence[Tensor], *, strides: Sequence[int], like: Tensor) -> Tensor:
    """(4, levels) long: height, width, stride and, with all maps' cells in a row, where the map begins."""
    heights, widths = ([level.shape[axis] for level in features] for axis in (2, 3))
    num_cells = [len(level) * level.shape[2] * level.shape[3] for level in features]
    starts = list(accumulate(num_cells, initial=0))[:-1]
    return like.new_tensor([heights, widths, list(strides), starts])


def _taps(start_R: Tensor, *, end_R: Tensor, length_R: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Along one axis: which cells an output cell reads, (R, S, T) long, and their weights, which sum to 1."""
    step_R = (end_R - start_R).clamp(min=1) / (size * SAMPLES)
    offset = torch.arange(size * SAMPLES, device=start_R.device) + 0.5
    position = start_R[:, None] + offset * step_R[:, None]
    last = length_R[:, None] - 1
    is_inside = (position >= -1) & (position <= last + 1)
    position = torch.minimum(position.clamp(min=0), last)
    below = position.floor().long()
    above = torch.minimum(below + 1, last)
    share = position - below
    cell = torch.stack([below, above], dim=-1)
    weight = torch.stack([1 - share, share], dim=-1) * (is_inside[..., None] / SAMPLES)
    return cell.view(-1, size, TAPS), weight.view(-1, size, TAPS)
