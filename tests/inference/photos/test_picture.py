"""Pictures to print: transparency is kept."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from mcld.errors import DataError
from mcld.inference.photos.photo import MAX_SIDE_PX
from mcld.inference.photos.picture import read_picture


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_transparency_is_kept_and_a_picture_without_is_opaque() -> None:
    clear = read_picture(_png(Image.new("RGBA", (30, 20), (10, 20, 30, 40))), name="a.png")
    assert clear.has_alpha
    assert clear.pixels[0, 0].tolist() == [10, 20, 30, 40]
    opaque = read_picture(_png(Image.new("RGB", (30, 20), (10, 20, 30))), name="a.png")
    assert not opaque.has_alpha
    assert opaque.pixels[0, 0].tolist() == [10, 20, 30, 255]


def test_a_large_picture_is_made_smaller() -> None:
    picture = read_picture(_png(Image.new("RGB", (3 * MAX_SIDE_PX, 30))), name="a.png")
    assert picture.pixels.shape[1] == MAX_SIDE_PX


def test_what_is_no_picture_is_a_sentence_with_the_files_name() -> None:
    with pytest.raises(DataError, match=r"^logo\.png: this is not a picture that can be read"):
        read_picture(b"<svg/>", name="logo.png")
