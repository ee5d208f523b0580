"""Look at every raw image once: what it is, or why it is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mcld.data.codec import MAX_IMAGE_BYTES, TOO_MANY_BYTES, decode_image_with_notes
from mcld.data.deepfashion import ImageName
from mcld.data.headers import ImageFacts, image_facts
from mcld.errors import DataError
from mcld.storage import sha256_of_bytes
from mcld.types import Exclusion, ImageRecord

STAGE = "dataset"
FILE_NOT_FOUND = "file not found"
BLANK_LEVELS = (
    8  # a picture whose channels each span fewer grey levels shows nothing: JPEG noise spans two or three
)
_SAMPLE_STRIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRules:
    """How closely to look: `headers` decodes no pixels. Images with a shorter side are left out."""

    check: Literal["decode", "headers"]
    min_side_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """An image's bytes and their sha256, or the problem that kept it from being read."""

    name: ImageName
    split: str
    data: bytes = b""
    sha256: str = ""
    problem: str | None = None

    @property
    def digest(self) -> str:
        """What was found, in a word: equal finds have equal ones."""
        return self.problem or self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedImage:
    """Either a record with notes on what was converted, or an exclusion."""

    record: ImageRecord | None = None
    exclusion: Exclusion | None = None
    notes: tuple[str, ...] = ()


def read_image_file(root_dir: Path, *, name: ImageName, split: str) -> RawImage:
    """Read an image from its place below `root_dir`."""
    path = root_dir / name.path
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            return RawImage(name=name, split=split, problem=TOO_MANY_BYTES)
        return raw_image(path.read_bytes(), name=name, split=split)
    except FileNotFoundError:
        return RawImage(name=name, split=split, problem=FILE_NOT_FOUND)
    except OSError as error:
        return RawImage(name=name, split=split, problem=f"cannot be read ({error.strerror})")


def raw_image(found: bytes | str, *, name: ImageName, split: str) -> RawImage:
    """Of an image's bytes, or of the reason why there are none."""
    if isinstance(found, str):
        return RawImage(name=name, split=split, problem=found)
    return RawImage(name=name, split=split, data=found, sha256=sha256_of_bytes(found))


def scan_image(raw: RawImage, *, path: str, part: int, rules: ScanRules) -> ScannedImage:
    """Look at one image, which later stages will find at `path`; unusable ones become exclusions."""
    name = raw.name
    try:
        facts = _facts(raw, rules=rules)
    except DataError as error:
        return ScannedImage(exclusion=Exclusion(key=name.key, reason=str(error), stage=STAGE))
    record = ImageRecord(
        key=name.key,
        outfit_key=name.outfit_key,
        view=name.view,
        gender=name.gender,
        category=name.category,
        split=raw.split,
        path=path,
        sha256=raw.sha256,
        num_bytes=len(raw.data),
        height_px=facts.height_px,
        width_px=facts.width_px,
        part=part,
    )
    return ScannedImage(record=record, notes=facts.notes)


def check_siblings(folder: Path) -> None:
    """Raises DataError naming two files of a folder whose names differ by case or suffix alone."""
    seen: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        other = seen.setdefault(path.stem.casefold(), path.name)
        if other != path.name:
            raise DataError(f"{folder}: {other} and {path.name} are two files for one image; remove one")


def _facts(raw: RawImage, *, rules: ScanRules) -> ImageFacts:
    if raw.problem is not None:
        raise DataError(raw.problem)
    facts = image_facts(raw.data) if rules.check == "headers" else _facts_of_pixels(raw.data)
    if min(facts.height_px, facts.width_px) < rules.min_side_px:
        raise DataError(
            f"image of {facts.width_px} x {facts.height_px} pixels, smaller than "
            f"dataset.min_side_px = {rules.min_side_px}"
        )
    return facts


def _facts_of_pixels(data: bytes) -> ImageFacts:
    image = decode_image_with_notes(data)
    # Nearly always the sample decides; the whole takes longer than decoding did.
    if _is_blank(image.pixels[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE]) and _is_blank(image.pixels):
        raise DataError("blank image")
    height_px, width_px = image.pixels.shape[:2]
    return ImageFacts(height_px=height_px, width_px=width_px, notes=image.notes)


def _is_blank(pixels: np.ndarray) -> bool:
    flat = pixels.reshape(-1, 3)
    return bool((np.ptp(flat, axis=0) < BLANK_LEVELS).all())
