"""A user's photograph: bytes to pixels within bounds, with sentences for what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mcld.data.codec import decode_image_with_notes
from mcld.errors import DataError
from mcld.storage import sha256_of_bytes

MIN_SIDE_PX = 64
MAX_SIDE_PX = 2048  # of what is looked at: faces and garments need no more, and 40 megapixels take minutes

REMEDIES = {
    "zero-byte file": "the file is empty; choose another",
    "not an image": "this is not a picture that can be read; use a JPEG, PNG or WebP",
    "truncated or damaged image": "the picture is damaged or cut off; save or copy it again",
}
NOTES = {
    "EXIF-rotated": "turned upright, as the camera says it was held",
    "alpha": "its transparent parts were laid on white",
    "grey": "it is grey: the colours of the result are the model's guess",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """`pixels` (H, W, 3) uint8 RGB, upright, at most MAX_SIDE_PX a side; `notes` say what was converted."""

    pixels: np.ndarray
    name: str
    sha256: str
    notes: tuple[str, ...]


def read_photo(data: bytes, *, name: str) -> Photo:
    """Decode a JPEG, PNG, WebP, … that a user gave.

    Raises DataError, a sentence that begins with `name`: empty, no image, damaged, of too many pixels, or
    smaller than MIN_SIDE_PX.
    """
    try:
        decoded = decode_image_with_notes(data)
    except DataError as error:
        raise DataError(f"{name}: {sentence_of(error)}") from error
    height_px, width_px = decoded.pixels.shape[:2]
    if min(height_px, width_px) < MIN_SIDE_PX:
        raise DataError(
            f"{name}: {width_px} x {height_px} pixels are too few to see a person; give at least "
            f"{MIN_SIDE_PX} a side, better 500"
        )
    pixels, reduced = _reduced(decoded.pixels)
    notes = tuple(NOTES.get(note, f"converted from {note}") for note in decoded.notes)
    return Photo(pixels=pixels, name=name, sha256=sha256_of_bytes(data), notes=(*notes, *reduced))


def read_file(path: Path) -> bytes:
    """Raises DataError naming the file when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def sentence_of(error: DataError) -> str:
    """What is wrong with a picture's bytes, and what to do, from the decoder's reason."""
    return REMEDIES.get(str(error), f"{error}; make it smaller")


def _reduced(pixels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    height_px, width_px = pixels.shape[:2]
    if max(height_px, width_px) <= MAX_SIDE_PX:
        return pixels, ()
    scale = MAX_SIDE_PX / max(height_px, width_px)
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    smaller = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    return smaller, (f"reduced from {width_px} x {height_px} to {size[0]} x {size[1]} pixels",)
