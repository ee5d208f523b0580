"""Look at every raw image once: what it is, or why it is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.data.codec import MAX_IMAGE_BYTES, decode_image_with_notes
from mcld.data.deepfashion import ImageName
from mcld.errors import DataError
from mcld.storage import sha256_of_bytes
from mcld.types import Exclusion, ImageRecord

STAGE = "dataset"
FILE_NOT_FOUND = "file not found"
BLANK_LEVELS = (
    8  # a picture whose channels each span fewer grey levels shows nothing: JPEG noise spans two or three
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedImage:
    """Either a record with notes on what was converted, or an exclusion."""

    record: ImageRecord | None = None
    exclusion: Exclusion | None = None
    notes: tuple[str, ...] = ()


def scan_image(name: ImageName, *, root_dir: Path, split: str, part: int) -> ScannedImage:
    """Read and fully decode one image; damaged, blank and missing ones become exclusions."""
    path = root_dir / name.path
    try:
        data = _read(path)
        image = decode_image_with_notes(data)
        _check_not_blank(image.pixels)
    except DataError as error:
        return ScannedImage(exclusion=Exclusion(key=name.key, reason=str(error), stage=STAGE))
    height_px, width_px = image.pixels.shape[:2]
    record = ImageRecord(
        key=name.key,
        outfit_key=name.outfit_key,
        view=name.view,
        gender=name.gender,
        category=name.category,
        split=split,
        path=name.path,
        sha256=sha256_of_bytes(data),
        num_bytes=len(data),
        height_px=height_px,
        width_px=width_px,
        part=part,
    )
    return ScannedImage(record=record, notes=image.notes)


def check_siblings(folder: Path) -> None:
    """Raises DataError naming two files of a folder whose names differ by case or suffix alone."""
    seen: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        other = seen.setdefault(path.stem.casefold(), path.name)
        if other != path.name:
            raise DataError(f"{folder}: {other} and {path.name} are two files for one image; remove one")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise DataError(f"image file of more than {MAX_IMAGE_BYTES >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(FILE_NOT_FOUND) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from error


def _check_not_blank(pixels: np.ndarray) -> None:
    flat = pixels.reshape(-1, 3)
    if int((flat.max(axis=0).astype(int) - flat.min(axis=0)).max()) < BLANK_LEVELS:
        raise DataError("blank image")
