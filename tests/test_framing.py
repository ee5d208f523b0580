"""How images lie in the model's frame: squashed over all of it, or in their own aspect and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcld.framing import Framing, resize_image, resize_labels
from mcld.types import IuvResize

SIDE = st.integers(1, 90)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 25, (height, width, 3), dtype=np.uint8)


@given(height=SIDE, width=SIDE, frame_height=SIDE, frame_width=SIDE)
def test_a_padded_image_lies_centred_in_its_own_aspect_and_is_cut_out_again(
    height: int, width: int, frame_height: int, frame_width: int
) -> None:
    image, framing = noise(height, width), Framing(height_px=frame_height, width_px=frame_width, fit="pad")
    framed, box = framing.picture(image), framing.box((height, width))
    assert framed.shape == (frame_height, frame_width, 3)
    cut = framing.cut(framed, image_hw=(height, width))
    assert np.array_equal(cut, resize_image(image, height_px=box.height_px, width_px=box.width_px))
    # One side is filled; the other follows the aspect to half a pixel, if half a pixel there is.
    assert box.height_px == frame_height or box.width_px == frame_width
    scale = min(frame_height / height, frame_width / width)
    assert abs(box.height_px - scale * height) <= 0.5 or box.height_px == 1
    assert abs(box.width_px - scale * width) <= 0.5 or box.width_px == 1
    assert 0 <= frame_height - box.height_px - 2 * box.top <= 1
    assert 0 <= frame_width - box.width_px - 2 * box.left <= 1


def test_what_needs_no_scaling_comes_back_bit_for_bit() -> None:
    framing = Framing(height_px=40, width_px=40, fit="pad")
    for image in (noise(40, 23), noise(17, 40), noise(40, 40)):
        size = (image.shape[0], image.shape[1])
        assert np.array_equal(framing.cut(framing.picture(image), image_hw=size), image)


def test_around_a_padded_picture_is_white_and_around_its_map_background() -> None:
    framing = Framing(height_px=32, width_px=32, fit="pad")
    picture, iuv = (
        framing.picture(np.zeros((64, 32, 3), np.uint8)),
        framing.iuv(np.ones((64, 32, 3), np.uint8)),
    )
    assert (picture[:, :8] == 255).all()
    assert (picture[:, 24:] == 255).all()
    assert not picture[:, 8:24].any()
    assert np.array_equal(iuv == 0, picture == 255)


@pytest.mark.parametrize("resize", ["nearest", "bicubic"])
@given(scale=st.integers(1, 5), height=st.integers(1, 30), width=st.integers(1, 30))
def test_an_image_of_the_models_aspect_is_padded_as_it_is_squashed(
    resize: IuvResize, scale: int, height: int, width: int
) -> None:
    image = noise(2 * height * scale, 2 * width * scale)
    padded, squashed = (
        Framing(height_px=2 * height, width_px=2 * width, fit=fit) for fit in ("pad", "squash")
    )
    assert np.array_equal(padded.picture(image), squashed.picture(image))
    assert np.array_equal(padded.iuv(image, resize=resize), squashed.iuv(image, resize=resize))


def test_a_squashed_picture_is_all_of_the_frame_and_none_of_it_is_cut() -> None:
    framing = Framing(height_px=32, width_px=24)
    image = noise(50, 90)
    framed = framing.picture(image)
    assert np.array_equal(framed, resize_image(image, height_px=32, width_px=24))
    assert np.array_equal(framing.cut(framed, image_hw=(50, 90)), framed)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = noise(32, 24)
    assert resize_image(image, height_px=32, width_px=24) is image


def test_labels_are_resized_without_mixing() -> None:
    labels = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    half = resize_labels(labels, height_px=3, width_px=2)
    assert np.array_equal(half, labels[1::2, 1::2])
    assert np.array_equal(resize_labels(labels, height_px=6, width_px=4), labels)
    double = resize_labels(labels, height_px=12, width_px=8)
    assert np.array_equal(double, labels.repeat(2, axis=0).repeat(2, axis=1))


def test_intensities_blend_where_labels_do_not() -> None:
    iuv = np.zeros((8, 8, 3), dtype=np.uint8)
    iuv[:, 4:, 0] = 24
    framing = Framing(height_px=6, width_px=6)
    assert set(np.unique(framing.iuv(iuv)[..., 0])) == {0, 24}
    assert len(np.unique(framing.iuv(iuv, resize="bicubic")[..., 0])) > 2
