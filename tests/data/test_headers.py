"""Headers say what decoding would say, and nothing but a DataError comes of bytes from nowhere."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mcld.data.codec import decode_image_with_notes
from mcld.data.headers import image_facts
from mcld.errors import DataError

FORMATS = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "L", "RGBA", "LA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "L", "CMYK"),
    "BMP": ("RGB", "L"),
    "GIF": ("P", "L"),
}
KINDS = [(file_format, mode) for file_format, modes in FORMATS.items() for mode in modes]
TURNABLE = ("JPEG", "PNG", "WEBP", "TIFF")


def encoded(
    *,
    file_format: str,
    mode: str,
    width_px: int = 24,
    height_px: int = 16,
    orientation: int = 1,
    seed: int = 0,
) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    if orientation != 1 and file_format in TURNABLE:
        image.save(buffer, file_format, exif=exif)
    else:
        image.save(buffer, file_format)
    return buffer.getvalue()


JPEG = encoded(file_format="JPEG", mode="RGB")
PNG = encoded(file_format="PNG", mode="RGB")


@settings(deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    width_px=st.integers(1, 70),
    height_px=st.integers(1, 70),
    orientation=st.integers(0, 9),
    padding=st.integers(0, 9),
)
def test_headers_agree_with_the_decoder(
    kind: tuple[str, str], width_px: int, height_px: int, orientation: int, padding: int
) -> None:
    file_format, mode = kind
    data = encoded(
        file_format=file_format, mode=mode, width_px=width_px, height_px=height_px, orientation=orientation
    )
    data += bytes(padding)
    decoded = decode_image_with_notes(data)
    facts = image_facts(data)
    assert (facts.height_px, facts.width_px) == decoded.pixels.shape[:2]
    assert facts.notes == decoded.notes


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["JPEG", "PNG"])
def test_a_cut_file_is_told_at_every_length(data: bytes) -> None:
    for length in range(len(data)):
        try:
            decode_image_with_notes(data[:length])
        except DataError as error:
            with pytest.raises(DataError, match=f"^{error}$"):
                image_facts(data[:length])


@pytest.mark.parametrize("chunk_after_pixels", [True, False])
def test_a_png_that_is_turned_behind_its_pixels_is_seen(chunk_after_pixels: bool) -> None:
    data = encoded(file_format="PNG", mode="RGB", orientation=6)
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4])]
    without = data.replace(chunk, b"")
    place = len(without) - 12 if chunk_after_pixels else start
    turned = without[:place] + chunk + without[place:]
    facts = image_facts(turned)
    assert (facts.height_px, facts.width_px) == (24, 16)


@settings(deadline=None, max_examples=300)
@given(
    data=st.sampled_from([JPEG, PNG, encoded(file_format="JPEG", mode="L", orientation=6)]),
    places=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=4),
    cut=st.integers(0, 30),
)
def test_damaged_bytes_give_facts_or_a_data_error(
    data: bytes, places: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data)
    for place, bits in places:
        damaged[place % len(damaged)] ^= bits
    try:
        image_facts(bytes(damaged[: len(damaged) - cut]))
    except DataError as error:
        assert str(error)


@given(st.binary(max_size=200))
def test_any_bytes_give_facts_or_a_data_error(data: bytes) -> None:
    for prefix in (b"", b"\xff\xd8\xff\xe0", PNG[:8], PNG[:33]):
        try:
            image_facts(prefix + data)
        except DataError as error:
            assert str(error)


def test_a_header_that_promises_too_many_pixels_is_refused_unread() -> None:
    huge = bytearray(PNG)
    huge[16:24] = (100_000).to_bytes(4) + (100_000).to_bytes(4)
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4)
    with pytest.raises(DataError, match="million pixels"):
        image_facts(bytes(huge))


def test_pixels_are_not_decoded() -> None:
    middle = len(JPEG) // 2
    damaged = JPEG[: middle - 20] + JPEG[middle + 20 :]
    assert image_facts(damaged) == image_facts(JPEG)
