"""From body parts of pixels to bodies: connected, big enough, with a trunk; and hands go to their owners."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.conditions.mannequins.heads import head_picture, head_square
from mcld.conditions.mannequins.networks import STRIDE_PX
from mcld.conditions.mannequins.people import LOOK_AREA_PX, bodies, look_size


def body(labels: np.ndarray, *, left: int, top: int = 10) -> None:
    """Paint a head, a torso and two legs, 20 pixels wide and 80 high."""
    labels[top : top + 20, left + 5 : left + 15] = 23
    labels[top + 20 : top + 50, left : left + 20] = 2
    labels[top + 50 : top + 80, left : left + 10] = 9
    labels[top + 50 : top + 80, left + 10 : left + 20] = 10


@pytest.fixture
def labels() -> np.ndarray:
    return np.zeros((120, 160), np.uint8)


def test_nobody_is_nobody(labels: np.ndarray) -> None:
    assert bodies(labels) == []


def test_people_apart_are_each_their_own(labels: np.ndarray) -> None:
    body(labels, left=10)
    body(labels, left=100)
    found = bodies(labels)
    assert len(found) == 2
    assert all(is_person.sum() == 20 * 10 + 60 * 20 for is_person in found)
    assert not (found[0] & found[1]).any()
    assert ((found[0] | found[1]) == (labels > 0)).all()


def test_a_hand_that_something_cuts_off_belongs_to_the_body_in_whose_box_it_lies(labels: np.ndarray) -> None:
    body(labels, left=10)
    body(labels, left=100)
    labels[12:14, 11:13] = 3  # beside the first one's head
    first, second = bodies(labels)
    assert first[12, 11]
    assert not second[12, 11]


def test_crumbs_and_loose_parts_are_nobody(labels: np.ndarray) -> None:
    labels[10:14, 10:14] = 2  # too few pixels
    labels[40:80, 40:80] = 2  # a torso alone
    labels[40:60, 100:110], labels[60:80, 100:110], labels[80:100, 100:110] = 9, 7, 5  # a leg without a body
    assert bodies(labels) == []


@pytest.mark.parametrize("photo_hw", [(256, 176), (176, 256), (500, 500), (2048, 1365), (64, 64), (64, 2048)])
def test_photographs_are_seen_at_one_area_and_nearly_their_aspect(photo_hw: tuple[int, int]) -> None:
    height_px, width_px = look_size(photo_hw)
    assert height_px % STRIDE_PX == width_px % STRIDE_PX == 0
    assert 0.6 < height_px * width_px / LOOK_AREA_PX < 1.7
    if max(photo_hw) / min(photo_hw) < 2:
        assert 0.9 < (height_px / width_px) / (photo_hw[0] / photo_hw[1]) < 1.12


def test_a_heads_square_has_it_in_the_middle_and_goes_on_beyond_the_border() -> None:
    iuv = np.zeros((100, 80, 3), np.uint8)
    iuv[0:20, 30:40, 0], iuv[0:20, 40:46, 0] = 23, 24
    square = head_square(iuv)
    assert square is not None
    assert square.side_px == 23
    assert (square.left, square.top) == (26, -1)
    photo = np.full((100, 80, 3), 7, np.uint8)
    assert (head_picture(photo, square=square) == 7).all()


def test_hair_that_hangs_down_makes_no_square_larger() -> None:
    short, long = np.zeros((2, 100, 80, 3), np.uint8)
    short[10:39, 30:50, 0] = 23
    long[10:80, 30:50, 0] = 23
    assert head_square(short) == head_square(long)


def test_without_a_head_or_with_a_tiny_one_there_is_no_square() -> None:
    iuv = np.zeros((100, 80, 3), np.uint8)
    assert head_square(iuv) is None
    iuv[10:17, 10:14, 0] = 24
    assert head_square(iuv) is None
