"""Boxes move, are clipped and suppress each other as R-CNN defines it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose.boxes import clip_boxes, decode_boxes, is_filled, overlap, suppress_overlaps
from mcld.conditions.densepose.proposals import anchors_of

ANCHOR = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # 20 wide, 40 high, centre (20, 40)


def random_boxes(num_boxes: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(num_boxes, 2, generator=generator) * 60
    return torch.cat([corner, corner + torch.rand(num_boxes, 2, generator=generator) * 50], dim=1)


def greedy(boxes: Tensor, *, valid: Tensor, max_overlap: float) -> list[bool]:
    """Suppression as it is usually written: one box after another."""
    overlaps = overlap(boxes)
    stays: list[bool] = []
    for index in range(len(boxes)):
        is_free = all(
            not stays[earlier] or overlaps[index, earlier] <= max_overlap for earlier in range(index)
        )
        stays.append(bool(valid[index]) and is_free)
    return stays


def test_deltas_of_zero_give_the_anchor() -> None:
    assert torch.equal(
        decode_boxes(torch.zeros(1, 4), anchors_N4=ANCHOR, weights=(1.0, 1.0, 1.0, 1.0)), ANCHOR
    )


def test_a_centre_moves_by_shares_of_the_size_and_a_size_grows_by_its_logarithm() -> None:
    deltas = torch.tensor([[5.0, -2.5, 5 * math.log(2), 5 * math.log(0.5)]])
    box = decode_boxes(deltas, anchors_N4=ANCHOR, weights=(10.0, 10.0, 5.0, 5.0))
    # Centre (20 + 0.5 x 20, 40 - 0.25 x 40) = (30, 30), size 40 x 20.
    assert torch.allclose(box, torch.tensor([[10.0, 20.0, 50.0, 40.0]]), atol=1e-5)


def test_a_box_grows_to_62_times_its_anchor_and_no_further() -> None:
    box = decode_boxes(torch.full((1, 4), 100.0), anchors_N4=ANCHOR, weights=(1.0, 1.0, 1.0, 1.0))[0]
    assert float(box[2] - box[0]) == pytest.approx(20 * 62.5)
    assert float(box[3] - box[1]) == pytest.approx(40 * 62.5)


def test_clipped_boxes_end_at_the_border_and_may_be_left_empty() -> None:
    boxes = torch.tensor([[-5.0, 2.0, 30.0, 90.0], [40.0, 0.0, 50.0, 10.0], [1.0, 1.0, 2.0, math.nan]])
    clipped = clip_boxes(boxes, height_px=50, width_px=20)
    assert clipped[0].tolist() == [0.0, 2.0, 20.0, 50.0]
    assert is_filled(clipped).tolist() == [True, False, False]


def test_overlap_is_intersection_over_union() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [10.0, 10.0, 20.0, 20.0]])
    expected = torch.tensor([[1.0, 1 / 3, 0.0], [1 / 3, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.allclose(overlap(boxes), expected)


def test_a_box_that_is_removed_removes_no_other() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [8.0, 0.0, 18.0, 10.0]]])
    stays = suppress_overlaps(boxes, valid_GN=torch.ones(1, 3, dtype=torch.bool), max_overlap=0.4)
    assert stays.tolist() == [[True, False, True]]
    without_first = torch.tensor([[False, True, True]])
    stays = suppress_overlaps(boxes, valid_GN=without_first, max_overlap=0.4)
    assert stays.tolist() == [[False, True, False]]


@pytest.mark.parametrize("max_overlap", [0.1, 0.3, 0.5, 0.7])
def test_all_at_once_gives_what_one_by_one_gives(max_overlap: float) -> None:
    boxes = torch.stack([random_boxes(80, seed=seed) for seed in range(5)])
    valid = torch.rand(5, 80, generator=torch.Generator().manual_seed(9)) < 0.9
    stays = suppress_overlaps(boxes, valid_GN=valid, max_overlap=max_overlap)
    for group in range(5):
        expected = greedy(boxes[group], valid=valid[group], max_overlap=max_overlap)
        assert stays[group].tolist() == expected
    assert 0 < int(stays.sum()) < int(valid.sum())


def test_no_boxes_are_no_boxes() -> None:
    stays = suppress_overlaps(
        torch.zeros(2, 0, 4), valid_GN=torch.zeros(2, 0, dtype=torch.bool), max_overlap=0.5
    )
    assert stays.shape == (2, 0)


def test_anchors_are_centred_on_the_corners_of_cells_and_keep_their_area() -> None:
    anchors = anchors_of(torch.zeros(1, 8, 2, 3), stride=16, size_px=32)
    assert anchors.shape == (2 * 3 * 3, 4)
    assert anchors[1].tolist() == [-16.0, -16.0, 16.0, 16.0]  # first cell, ratio 1
    assert anchors[4].tolist() == [0.0, -16.0, 32.0, 16.0]  # one cell to the right
    assert anchors[10].tolist() == [-16.0, 0.0, 16.0, 32.0]  # one row down
    size = anchors[:, 2:] - anchors[:, :2]
    assert torch.allclose(size.prod(dim=1), torch.tensor(32.0**2))
    assert torch.allclose((size[:, 1] / size[:, 0])[:3], torch.tensor([0.5, 1.0, 2.0]))
