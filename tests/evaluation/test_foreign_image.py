"""A picture is scored as its makers published it, or not at all, with the reason."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mcld.errors import DataError
from mcld.evaluation.foreign_image import ForeignImage, read_foreign_image
from mcld.evaluation.protocols import resize

HEIGHT_PX, WIDTH_PX = 32, 22
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray = PIXELS, *, kind: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def read(data: bytes, *, resizes: bool = False) -> ForeignImage:
    return read_foreign_image(data, height_px=HEIGHT_PX, width_px=WIDTH_PX, resizes=resizes)


def test_a_png_of_that_size_is_taken_as_it_is() -> None:
    found = read(encoded())
    assert np.array_equal(found.pixels, PIXELS)
    assert (found.is_jpeg, found.is_resized) == (False, False)


def test_a_jpeg_is_noticed_whatever_its_name() -> None:
    assert read(encoded(kind="JPEG")).is_jpeg


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero-byte file"),
        (b"no image", "not an image"),
        (encoded()[:-300], "truncated or damaged image"),
        (encoded(mode="L"), "mode L, expected 8-bit RGB"),
        (encoded(mode="RGBA"), "mode RGBA, expected 8-bit RGB"),
        (encoded(mode="P"), "mode P, expected 8-bit RGB"),
        (encoded(kind="WEBP"), "WEBP file, expected PNG"),
        (cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes(), "16 bits a channel"),
        (encoded(PIXELS[1:]), "22 x 31 px, expected 22 x 32"),
        (encoded(np.tile(PIXELS, (1, 3, 1))), "66 x 32 px, expected 22 x 32: 3 pictures side by side"),
    ],
)
def test_what_cannot_be_scored_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(data)


def test_resizing_is_the_protocols_own_and_noticed() -> None:
    square = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = read(encoded(square), resizes=True)
    assert found.is_resized
    assert np.array_equal(found.pixels, resize(square, height_px=HEIGHT_PX, width_px=WIDTH_PX))


def test_pictures_side_by_side_are_never_squashed_into_one() -> None:
    with pytest.raises(DataError, match="2 pictures side by side"):
        read(encoded(np.tile(PIXELS, (1, 2, 1))), resizes=True)
