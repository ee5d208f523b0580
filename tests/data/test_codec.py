"""Bytes to arrays: known answers, conversions, and bytes from nowhere."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mcld.data.codec import (
    decode_image,
    decode_image_with_notes,
    decode_iuv,
    decode_npy,
    encode_iuv,
    encode_npy,
    encode_png,
)
from mcld.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)


def image_bytes(image: Image.Image, *, file_format: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    if exif is None:
        image.save(buffer, file_format)
    else:
        image.save(buffer, file_format, exif=exif)
    return buffer.getvalue()


def test_png_round_trip_is_exact_and_repeatable() -> None:
    assert np.array_equal(decode_image(encode_png(RGB)), RGB)
    assert encode_png(RGB) == encode_png(RGB.copy())


@pytest.mark.parametrize(
    ("mode", "file_format", "note"),
    [
        ("CMYK", "JPEG", "CMYK"),
        ("L", "JPEG", "grey"),
        ("L", "PNG", "grey"),
        ("P", "PNG", "palette"),
        ("RGBA", "PNG", "alpha"),
        ("I;16", "PNG", "16-bit"),
    ],
)
def test_other_modes_become_rgb_and_are_noted(mode: str, file_format: str, note: str) -> None:
    if mode == "I;16":
        source = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    else:
        source = Image.fromarray(RGB).convert(mode)
    decoded = decode_image_with_notes(image_bytes(source, file_format=file_format))
    assert (decoded.pixels.shape, decoded.notes) == ((24, 16, 3), (note,))
    assert decoded.pixels.dtype == np.uint8


def test_16_bit_values_are_scaled_not_clipped() -> None:
    source = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    decoded = decode_image(image_bytes(source, file_format="PNG"))
    assert np.array_equal(decoded[..., 0], RGB[..., 0])


def test_transparency_is_laid_on_white() -> None:
    transparent = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert (decode_image(image_bytes(transparent, file_format="PNG")) == 255).all()


def test_exif_rotation_is_applied_and_noted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows of the file are columns of the scene
    decoded = decode_image_with_notes(image_bytes(Image.fromarray(RGB), file_format="JPEG", exif=exif))
    assert (decoded.pixels.shape, decoded.notes) == ((16, 24, 3), ("EXIF-rotated",))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero-byte file"),
        (b"<html>404</html>", "not an image"),
        (encode_png(RGB)[:300], "truncated or damaged image"),
        (image_bytes(Image.fromarray(RGB), file_format="JPEG")[:400], "truncated or damaged image"),
    ],
)
def test_damaged_bytes_say_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode_image(data)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
    )
    with pytest.raises(DataError, match="80 million pixels"):
        decode_image(bomb)
    with pytest.raises(DataError):
        decode_iuv(bomb)


@settings(max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 700), st.integers(0, 255))
def test_fuzzed_images_decode_or_are_data_errors(noise: bytes, position: int, value: int) -> None:
    for whole in (encode_png(RGB), image_bytes(Image.fromarray(RGB), file_format="JPEG")):
        changed = bytearray(whole)
        changed[position % len(changed)] = value
        for data in (noise, bytes(changed), whole[:position]):
            for decode in (decode_image, decode_iuv):
                try:
                    assert decode(data).dtype == np.uint8
                except DataError as error:
                    assert str(error)


IUVS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))).map(
    lambda array: np.stack([array[..., 0] % 25, array[..., 1], array[..., 2]], axis=-1)
)


@given(IUVS)
def test_iuv_round_trip_is_exact_and_opencv_sees_i_u_v(iuv: np.ndarray) -> None:
    data = encode_iuv(iuv)
    assert np.array_equal(decode_iuv(data, height_px=iuv.shape[0], width_px=iuv.shape[1]), iuv)
    opencv_sees = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert opencv_sees is not None
    assert np.array_equal(opencv_sees, iuv)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255), st.sampled_from(["bgr", "rgb"]))
def test_fuzzed_iuv_maps_decode_or_are_data_errors(
    noise: bytes, position: int, value: int, order: Literal["bgr", "rgb"]
) -> None:
    whole = encode_iuv(np.full((9, 7, 3), 20, np.uint8))
    altered = bytearray(whole)
    altered[position % len(altered)] = value
    for data in (noise, bytes(altered), whole[: position % len(whole)], whole + noise):
        try:
            iuv = decode_iuv(data, order=order)
        except DataError:
            continue
        assert iuv.ndim == 3
        assert iuv.dtype == np.uint8
        assert iuv[..., 0].max() <= 24


def test_wrong_iuv_says_shape_and_range() -> None:
    iuv = np.full((8, 6, 3), 24, np.uint8)
    with pytest.raises(DataError, match=r"shape \(8, 6, 3\); expected \(8, 7, 3\)"):
        decode_iuv(encode_iuv(iuv), height_px=8, width_px=7)
    with pytest.raises(DataError, match=r"parts 200\.\.200; expected .* parts 0\.\.24"):
        decode_iuv(encode_png(np.full((8, 6, 3), 200, np.uint8)))
    with pytest.raises(DataError, match="mode L; expected RGB"):
        decode_iuv(encode_png(iuv[..., 0]))


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.int64, np.uint8]),
        hnp.array_shapes(max_dims=3, max_side=5),
    )
)
def test_npy_round_trip_is_exact(array: np.ndarray) -> None:
    decoded = decode_npy(encode_npy(array), shape=array.shape, finite=False)
    assert decoded.dtype == array.dtype
    assert decoded.tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.filterwarnings("ignore:invalid")  # NumPy parses headers as Python literals
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_fuzzed_npy_decodes_or_is_a_data_error(noise: bytes, position: int, value: int) -> None:
    whole = bytearray(encode_npy(np.arange(6, dtype=np.float32)))
    whole[position % len(whole)] = value
    for data in (noise, bytes(whole), bytes(whole[:position])):
        try:
            decode_npy(data)
        except DataError as error:
            assert str(error)


def test_npy_with_objects_is_refused_without_unpickling() -> None:
    class Boom:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("unpickled",))

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with pytest.raises(DataError):
        decode_npy(buffer.getvalue() + pickle.dumps(Boom()))


def test_npy_header_that_promises_terabytes_allocates_nothing() -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(DataError, match="is not the 4 bytes that follow"):
        decode_npy(buffer.getvalue() + bytes(4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_npy_that_is_not_finite_or_of_another_shape_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="NaN or Inf"):
        decode_npy(encode_npy(np.array([1.0, value])))
    with pytest.raises(DataError, match=r"shape \(2,\); expected \(3,\)"):
        decode_npy(encode_npy(np.ones(2)), shape=(3,))
