"""A user's photograph: what is read, what is converted, and the sentences for what cannot be read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mcld.errors import DataError
from mcld.inference.photos.photo import MAX_SIDE_PX, read_photo


def _bytes(image: Image.Image, *, kind: str = "PNG", exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"exif": exif} if exif is not None else {}))
    return buffer.getvalue()


def test_a_png_comes_back_as_it_was() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    photo = read_photo(_bytes(Image.fromarray(pixels)), name="a.png")
    assert np.array_equal(photo.pixels, pixels)
    assert photo.notes == ()


def test_a_photograph_of_a_camera_held_on_its_side_is_turned_upright_and_says_so() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = read_photo(_bytes(Image.new("RGB", (120, 80)), kind="JPEG", exif=exif), name="a.jpg")
    assert photo.pixels.shape == (120, 80, 3)
    assert "upright" in photo.notes[0]


def test_transparent_parts_are_laid_on_white() -> None:
    photo = read_photo(_bytes(Image.new("RGBA", (64, 64), (255, 0, 0, 0))), name="a.png")
    assert (photo.pixels == 255).all()
    assert "white" in photo.notes[0]


def test_forty_megapixels_are_made_smaller_and_keep_their_aspect() -> None:
    photo = read_photo(_bytes(Image.new("RGB", (7300, 5480)), kind="JPEG"), name="a.jpg")
    assert max(photo.pixels.shape) == MAX_SIDE_PX
    assert photo.pixels.shape[1] / photo.pixels.shape[0] == pytest.approx(7300 / 5480, rel=0.01)
    assert "7300 x 5480" in photo.notes[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 nonsense", "not a picture"),
        (_bytes(Image.new("RGB", (900, 900)), kind="JPEG")[:2000], "damaged"),
        (_bytes(Image.new("RGB", (20, 200))), "20 x 200 pixels"),
        (_bytes(Image.new("1", (12000, 9000))), "million pixels"),
    ],
    ids=["empty", "no image", "cut off", "tiny", "bomb"],
)
def test_what_cannot_be_used_is_a_sentence_with_the_files_name(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        read_photo(data, name="holiday.jpg")
    assert str(raised.value).startswith("holiday.jpg: ")
