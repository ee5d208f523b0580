"""Bytes to arrays and back, trusting no byte: bounded, validated, no pickle.

Equal arrays give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mcld.errors import DataError

MAX_IMAGE_PIXELS = (
    80_000_000  # 240 MB as RGB: a 50-megapixel photograph passes, a decompression bomb does not
)
MAX_IMAGE_BYTES = 256 << 20
TOO_MANY_BYTES = f"image file of more than {MAX_IMAGE_BYTES >> 20} MiB"
NUM_PARTS = 24
_EXIF_ORIENTATION = 0x0112
_PNG_COMPRESSION = 3  # of zlib's 9: a quarter of the time of the default for a few per cent more bytes
_WEBP_METHOD, _WEBP_EFFORT = 1, 0  # of 0..6 and 0..100: a quarter of the time for a sixth more bytes
_NPY_VERSION = (1, 0)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """`pixels` (H, W, 3) uint8 RGB, and `notes`: what had to be converted, e.g. `CMYK`."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def decode_image(data: bytes) -> np.ndarray:
    """Decode a photograph to (H, W, 3) uint8 RGB. Raises DataError saying what is wrong with the bytes."""
    return decode_image_with_notes(data).pixels


def decode_image_with_notes(data: bytes) -> DecodedImage:
    """Decode a photograph; CMYK, grey, 16-bit, palette, alpha and EXIF rotation are converted and noted.

    Raises DataError as `read_photograph`.
    """
    return read_photograph(data, read=_to_rgb)


def read_photograph(data: bytes, *, read: Callable[[Image.Image], T]) -> T:
    """What `read` makes of an image that is opened, bounded, and not decoded yet.

    Raises DataError: `zero-byte file`, `not an image`, `truncated or damaged image`, or `image of … pixels`.
    """
    if not data:
        raise DataError("zero-byte file")
    if len(data) > MAX_IMAGE_BYTES:
        raise DataError(TOO_MANY_BYTES)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return read(_bounded(image))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(
            "not an image" if isinstance(error, UnidentifiedImageError) else _TOO_LARGE
        ) from error
    except MemoryError as error:
        raise DataError(_TOO_LARGE) from error
    except Exception as error:  # Pillow raises nearly any type on damaged bytes
        if isinstance(error, DataError):
            raise
        raise DataError("truncated or damaged image") from error


def orientation_of(image: Image.Image) -> int:
    """How the camera was held, as EXIF numbers it: 1 is upright, from 5 on height and width change places."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def notes_of(mode: str, *, orientation: int) -> tuple[str, ...]:
    """What has to be converted in an image of a Pillow mode and an EXIF orientation."""
    names = {"L": "grey", "1": "grey", "LA": "alpha", "RGBA": "alpha", "PA": "alpha", "P": "palette"}
    note = "16-bit" if mode.startswith("I") else names.get(mode, mode)
    return (*(["EXIF-rotated"] if orientation != 1 else []), *([note] if mode != "RGB" else []))


def encode_png(image: np.ndarray) -> bytes:
    """Encode (H, W, 3) or (H, W) uint8, RGB, as PNG."""
    assert image.dtype == np.uint8, image.dtype
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def decode_iuv(
    data: bytes,
    *,
    height_px: int | None = None,
    width_px: int | None = None,
    order: Literal["bgr", "rgb"] = "bgr",
) -> np.ndarray:
    """Decode an IUV PNG to (H, W, 3) uint8 with channels I, U, V.

    On disk blue, green and red are I, U and V, as OpenCV writes them, so Pillow's RGB is (V, U, I); with
    `order` "rgb" red, green and blue are.
    Raises DataError with shape and range when size, channels or part numbers are wrong.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "RGB":
                raise DataError(
                    f"IUV image has mode {image.mode}; expected RGB, 8 bits, with B, G, R = I, U, V"
                )
            channels = np.asarray(_bounded(image))
            iuv = np.ascontiguousarray(channels[..., ::-1] if order == "bgr" else channels)
    except DataError:
        raise
    except Exception as error:  # as in decode_image_with_notes
        raise DataError(f"not a whole PNG image ({type(error).__name__})") from error
    check_iuv(iuv, height_px=height_px, width_px=width_px)
    return iuv


def check_iuv(iuv: np.ndarray, *, height_px: int | None = None, width_px: int | None = None) -> None:
    """Raises DataError unless `iuv` is (H, W, 3) uint8 of the given size with parts 0..24."""
    expected = f"({height_px or 'H'}, {width_px or 'W'}, 3) uint8, parts 0..{NUM_PARTS}"
    if iuv.ndim != 3 or iuv.shape[2] != 3 or iuv.dtype != np.uint8:
        raise DataError(f"IUV has shape {iuv.shape} {iuv.dtype}; expected {expected}")
    if iuv.shape[:2] != (height_px or iuv.shape[0], width_px or iuv.shape[1]):
        raise DataError(f"IUV has shape {iuv.shape}; expected {expected}, the size of its image")
    if iuv[..., 0].max(initial=0) > NUM_PARTS:
        parts = f"{iuv[..., 0].min()}..{iuv[..., 0].max()}"
        raise DataError(
            f"IUV has shape {iuv.shape} and parts {parts}; expected {expected}; are the channels swapped?"
        )


def encode_iuv(iuv: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 with channels I, U, V as an IUV PNG (OpenCV reads it back in that order)."""
    check_iuv(iuv)
    return encode_png(iuv[..., ::-1])


def encode_pose(iuv: np.ndarray) -> bytes:
    """Encode an IUV map, (H, W, 3) uint8, as lossless WebP: red, green, blue are I, U, V.

    Beside PNG half the bytes and half the time to open, which training does for every pair.
    """
    check_iuv(iuv)
    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(iuv))
    picture.save(buffer, "WEBP", lossless=True, method=_WEBP_METHOD, quality=_WEBP_EFFORT)
    return buffer.getvalue()


def decode_pose(data: bytes, *, height_px: int, width_px: int) -> np.ndarray:
    """Undo `encode_pose`. Raises DataError when it is no such picture, or of another size."""
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            if image.mode != "RGB":
                raise DataError(f"IUV image has mode {image.mode}; expected RGB, 8 bits")
            iuv = np.asarray(_bounded(image))
    except DataError:
        raise
    except Exception as error:  # as in decode_image_with_notes
        raise DataError(f"not a whole WebP image ({type(error).__name__})") from error
    check_iuv(iuv, height_px=height_px, width_px=width_px)
    return iuv


def encode_npy(array: np.ndarray) -> bytes:
    """Encode a plain array as .npy; never pickles."""
    assert not array.dtype.hasobject, array.dtype
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=_NPY_VERSION, allow_pickle=False)
    return buffer.getvalue()


def decode_npy(
    data: bytes, *, shape: tuple[int | None, ...] | None = None, finite: bool = True
) -> np.ndarray:
    """Decode a .npy of a real, plain dtype; `shape` may leave axes open with None. The result is read-only.

    Raises DataError on damaged bytes, a wrong shape, or (when `finite`) NaN or Inf. The header is checked
    against the number of bytes there are before anything is allocated.
    """
    try:
        stream = io.BytesIO(data)
        if np.lib.format.read_magic(stream) != _NPY_VERSION:
            raise DataError("npy file of another version than 1.0; save it with numpy.save")
        found, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except DataError:
        raise
    except (
        Exception
    ) as error:  # NumPy's header reader raises ValueError, SyntaxError, TypeError, struct.error…
        raise DataError(f"not an npy file ({type(error).__name__})") from error
    array = _array_of(data[stream.tell() :], shape=found, dtype=dtype, is_fortran=is_fortran)
    if shape is not None and not _fits(array.shape, wanted=shape):
        raise DataError(f"array has shape {array.shape}; expected {shape}")
    if finite and not np.isfinite(array).all():
        raise DataError("array holds NaN or Inf")
    return array


_TOO_LARGE = f"image of more than {MAX_IMAGE_PIXELS // 1_000_000} million pixels"


def _bounded(image: Image.Image) -> Image.Image:
    """Refuse by the header, before any pixel is decoded."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise DataError(_TOO_LARGE)
    return image


def _to_rgb(image: Image.Image) -> DecodedImage:
    orientation = orientation_of(image)
    if image.format == "JPEG":
        image.load()
    upright = ImageOps.exif_transpose(image)
    notes = notes_of(upright.mode, orientation=orientation)
    if upright.mode != "RGB":
        upright = _convert(upright)
    return DecodedImage(pixels=np.array(upright), notes=notes)


def _convert(image: Image.Image) -> Image.Image:
    """Any mode to RGB: 16 bits are scaled, transparency is laid on white."""
    if image.mode.startswith("I"):
        depth16 = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return Image.fromarray((depth16 // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _array_of(data: bytes, *, shape: tuple[int, ...], dtype: np.dtype, is_fortran: bool) -> np.ndarray:
    if dtype.hasobject or dtype.kind not in "biuf":
        raise DataError(f"array of dtype {dtype}; expected plain numbers")
    num_bytes = dtype.itemsize
    for length in shape:
        num_bytes *= length
    if any(length < 0 for length in shape) or num_bytes != len(data):
        raise DataError(f"npy header says {shape} {dtype}, which is not the {len(data)} bytes that follow")
    array = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape, order="F" if is_fortran else "C")


def _fits(shape: tuple[int, ...], *, wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (None, have) for have, want in zip(shape, wanted, strict=True)
    )
