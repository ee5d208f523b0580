"""ROIAlign gives what its definition, written out loop by loop, gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose.roi_align import roi_align


def bilinear(feature_CHW: Tensor, *, y: float, x: float) -> Tensor:
    """One sample: neighbours weighted by nearness; zero more than a cell outside."""
    height, width = feature_CHW.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(len(feature_CHW))
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = feature_CHW[:, top, left] * (1 - (x - left)) + feature_CHW[:, top, right] * (x - left)
    lower = feature_CHW[:, bottom, left] * (1 - (x - left)) + feature_CHW[:, bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def one_by_one(feature_CHW: Tensor, *, box: Tensor, stride: int, size: int) -> Tensor:
    """A box's (C, S, S): each cell the mean of four samples."""
    x1, y1, x2, y2 = (float(value) / stride for value in box)
    width, height = max(x2 - x1, 1.0) / size, max(y2 - y1, 1.0) / size
    result = torch.zeros(len(feature_CHW), size, size)
    for row in range(size):
        for column in range(size):
            samples = [
                bilinear(feature_CHW, y=y1 + (row + share_y) * height, x=x1 + (column + share_x) * width)
                for share_y in (0.25, 0.75)
                for share_x in (0.25, 0.75)
            ]
            result[:, row, column] = torch.stack(samples).mean(dim=0)
    return result


def pool(feature_CHW: Tensor, *, box: tuple[float, float, float, float], size: int) -> Tensor:
    """One box of one image of one level with cells of a pixel."""
    zero = torch.zeros(1, dtype=torch.long)
    pooled = roi_align(
        [feature_CHW[None]],
        strides=[1],
        boxes_R4=torch.tensor([box]),
        image_index_R=zero,
        level_R=zero,
        size=size,
    )
    return pooled[0]


def ramp(height: int, width: int) -> Tensor:
    """(1, H, W): 10 y + x."""
    return (10.0 * torch.arange(height)[:, None] + torch.arange(width))[None]


def test_on_a_ramp_a_cell_reads_its_own_middle() -> None:
    # 4 x 4 pixels in 2 x 2 cells: middles at 3 and 5 across, 2 and 4 down; no shift by half a pixel.
    pooled = pool(ramp(20, 20), box=(2.0, 1.0, 6.0, 5.0), size=2)
    assert torch.allclose(pooled, torch.tensor([[[23.0, 25.0], [43.0, 45.0]]]))


def test_a_box_smaller_than_a_cell_is_one_cell_wide() -> None:
    pooled = pool(ramp(20, 20), box=(2.0, 1.0, 2.1, 1.1), size=1)
    assert torch.allclose(pooled, torch.tensor([[[10 * 1.5 + 2.5]]]))


def test_outside_the_map_the_border_goes_on_for_one_cell_and_then_there_is_nothing() -> None:
    ones = torch.ones(1, 4, 4)
    assert pool(ones, box=(-0.9, 0.0, 0.1, 1.0), size=1).item() == pytest.approx(1.0)
    assert pool(ones, box=(-3.0, 0.0, -2.0, 1.0), size=1).item() == 0.0
    assert pool(ones, box=(-1.5, 0.0, -0.5, 1.0), size=1).item() == pytest.approx(0.5)  # half the samples


@pytest.mark.parametrize("size", [1, 3, 7])
def test_boxes_of_several_images_and_levels_are_each_as_if_alone(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    features = [torch.randn(3, 5, *hw, generator=generator) for hw in ((16, 24), (8, 12), (4, 6))]
    strides = (4, 8, 16)
    corner = torch.rand(40, 2, generator=generator) * torch.tensor([100.0, 70.0]) - 10
    boxes = torch.cat([corner, corner + torch.rand(40, 2, generator=generator) * 60], dim=1)
    image_index = torch.randint(3, (40,), generator=generator)
    level = torch.randint(3, (40,), generator=generator)
    pooled = roi_align(
        features, strides=strides, boxes_R4=boxes, image_index_R=image_index, level_R=level, size=size
    )
    for row, box in enumerate(boxes):
        feature = features[level[row]][image_index[row]]
        expected = one_by_one(feature, box=box, stride=strides[level[row]], size=size)
        assert torch.allclose(pooled[row], expected, atol=1e-5), row


def test_no_boxes_give_nothing() -> None:
    none = torch.zeros(0, dtype=torch.long)
    pooled = roi_align(
        [torch.ones(1, 5, 4, 4)],
        strides=[4],
        boxes_R4=torch.zeros(0, 4),
        image_index_R=none,
        level_R=none,
        size=7,
    )
    assert pooled.shape == (0, 5, 7, 7)
