"""What of a photograph the model gets to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcld.inference.photos.person import Window
from mcld.inference.photos.window import cut_out, cut_out_labels, paste, window_of

ASPECT = 176 / 256


def test_a_photograph_of_the_usual_kind_is_seen_whole() -> None:
    window = window_of((30, 20, 140, 250), photo_hw=(256, 176), aspect=ASPECT)
    assert window == Window(left=0, top=0, width_px=176, height_px=256)


def test_a_small_person_of_a_wide_photograph_fills_a_window_of_the_usual_aspect() -> None:
    window = window_of((700, 300, 800, 600), photo_hw=(1000, 2000), aspect=ASPECT)
    assert window.width_px / window.height_px == pytest.approx(ASPECT, rel=0.01)
    assert window.left <= 700 - 10
    assert window.left + window.width_px >= 800 + 10
    assert 0.8 < 300 / window.height_px < 0.9


@given(
    size=st.tuples(st.integers(64, 600), st.integers(64, 600)),
    corner=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    share=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
)
def test_the_person_is_always_in_the_window_and_it_in_the_photograph_where_it_fits(
    size: tuple[int, int], corner: tuple[float, float], share: tuple[float, float]
) -> None:
    height, width = size
    left, top = int(corner[0] * width), int(corner[1] * height)
    right = min(width, left + max(1, int(share[0] * width)))
    bottom = min(height, top + max(1, int(share[1] * height)))
    window = window_of((left, top, right, bottom), photo_hw=size, aspect=ASPECT)
    assert window.left <= left
    assert window.top <= top
    assert window.left + window.width_px >= right
    assert window.top + window.height_px >= bottom
    if window.width_px <= width:
        assert 0 <= window.left <= width - window.width_px
    if window.height_px <= height:
        assert 0 <= window.top <= height - window.height_px


def test_beyond_the_border_pixels_go_on_and_nobody_is() -> None:
    photo = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    window = Window(left=-2, top=-1, width_px=9, height_px=6)
    cut, labels = cut_out(photo, window=window), cut_out_labels(photo, window=window)
    assert np.array_equal(cut[1:5, 2:7], photo)
    assert (cut[:, 0] == cut[:, 2]).all()
    assert np.array_equal(labels[1:5, 2:7], photo)
    assert labels.sum() == photo.sum()


@pytest.mark.parametrize(
    "window",
    [
        Window(left=1, top=2, width_px=3, height_px=2),
        Window(left=-2, top=-1, width_px=9, height_px=6),
        Window(left=3, top=1, width_px=6, height_px=2),
    ],
)
def test_what_was_cut_out_is_pasted_back_where_it_was(window: Window) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert np.array_equal(paste(photo, picture=cut_out(photo, window=window), window=window), photo)
