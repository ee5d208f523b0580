"""One picture of somebody else's folder: as it must be to be scored, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mcld.data.codec import read_photograph
from mcld.errors import DataError
from mcld.evaluation.protocols import resize

_PNG_DEPTH_OFFSET = 24  # of the byte in a PNG's header that says how many bits a channel has
SIDE_BY_SIDE = "pictures side by side"
_PNG, _JPEG = "PNG", "JPEG"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignImage:
    """`pixels` (H, W, 3) uint8 RGB at evaluation size, and what is to be said of them."""

    pixels: np.ndarray
    is_jpeg: bool
    is_resized: bool


def read_foreign_image(data: bytes, *, height_px: int, width_px: int, resizes: bool) -> ForeignImage:
    """Decode an 8-bit RGB PNG, or a JPEG, of that size; with `resizes` of any size but that of a strip.

    Nothing else is converted: what the file holds is what its makers published. Raises DataError whose text
    is the reason of an exclusion: damaged, no PNG or JPEG, not 8-bit RGB, of another size, or several
    pictures side by side.
    """

    def read(image: Image.Image) -> ForeignImage:
        _check_kind(image, data=data)
        is_resized = image.size != (width_px, height_px)
        if is_resized:
            _check_size(image, height_px=height_px, width_px=width_px, resizes=resizes)
        pixels = resize(np.array(image), height_px=height_px, width_px=width_px)
        return ForeignImage(pixels=pixels, is_jpeg=image.format == _JPEG, is_resized=is_resized)

    return read_photograph(data, read=read)


def _check_kind(image: Image.Image, *, data: bytes) -> None:
    if image.format not in (_PNG, _JPEG):
        raise DataError(f"{image.format} file, expected PNG")
    if image.mode != "RGB":
        raise DataError(f"mode {image.mode}, expected 8-bit RGB")
    # Pillow calls 16-bit colour RGB too, and drops the lower half.
    if image.format == _PNG and data[_PNG_DEPTH_OFFSET] != 8:
        raise DataError(f"{data[_PNG_DEPTH_OFFSET]} bits a channel, expected 8-bit RGB")


def _check_size(image: Image.Image, *, height_px: int, width_px: int, resizes: bool) -> None:
    said = f"{image.width} x {image.height} px, expected {width_px} x {height_px}"
    num_pictures, rest = divmod(image.width * height_px, image.height * width_px)
    if num_pictures > 1 and rest == 0:  # to squash them into one would score none of them
        raise DataError(f"{said}: {num_pictures} {SIDE_BY_SIDE}")
    if not resizes:
        raise DataError(said)
