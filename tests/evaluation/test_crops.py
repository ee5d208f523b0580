"""A square lies around its region, inside the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mcld.evaluation.crops import Square, square_around


def mask_of(*, shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def test_a_square_is_centred_on_its_region_and_as_large_as_asked_for() -> None:
    mask = mask_of(shape=(100, 80), rows=slice(20, 40), columns=slice(30, 40))
    assert square_around(mask, share=1.0) == Square(top=20, left=25, side_px=20)
    assert square_around(mask, share=1.5) == Square(top=15, left=20, side_px=30)


def test_a_square_at_a_border_is_moved_inwards_and_holds_no_more_than_the_picture() -> None:
    corner = mask_of(shape=(100, 80), rows=slice(0, 20), columns=slice(70, 80))
    assert square_around(corner, share=1.0) == Square(top=0, left=60, side_px=20)
    everything = mask_of(shape=(100, 80), rows=slice(0, 100), columns=slice(0, 80))
    assert square_around(everything, share=1.3) == Square(top=10, left=0, side_px=80)


@given(
    shape=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    share=st.floats(0.1, 2.0),
)
def test_a_square_lies_inside_whatever_the_region(
    shape: tuple[int, int], corner: tuple[float, float], share: float
) -> None:
    top, left = int(corner[0] * shape[0]), int(corner[1] * shape[1])
    square = square_around(
        mask_of(shape=shape, rows=slice(top, top + 9), columns=slice(left, left + 5)), share=share
    )
    picture = np.zeros((*shape, 3), np.uint8)
    assert square.of(picture).shape == (square.side_px, square.side_px, 3)
