"""A picture to be printed on clothes: decoded within bounds, transparency kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from mcld.data.codec import read_photograph
from mcld.errors import DataError
from mcld.inference.photos.photo import MAX_SIDE_PX, sentence_of
from mcld.storage import sha256_of_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`pixels` (H, W, 4) uint8 RGBA, upright, at most MAX_SIDE_PX a side."""

    pixels: np.ndarray
    name: str
    sha256: str  # of the file's bytes
    has_alpha: bool


def read_picture(data: bytes, *, name: str) -> Picture:
    """Decode a PNG, WebP, JPEG, … that a user gave. Raises DataError, a sentence that begins with `name`."""
    try:
        pixels, has_alpha = read_photograph(data, read=_to_rgba)
    except DataError as error:
        raise DataError(f"{name}: {sentence_of(error)}") from error
    return Picture(pixels=pixels, name=name, sha256=sha256_of_bytes(data), has_alpha=has_alpha)


def _to_rgba(image: Image.Image) -> tuple[np.ndarray, bool]:
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    upright = ImageOps.exif_transpose(image).convert("RGBA")
    upright.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.BOX)
    return np.array(upright), has_alpha
