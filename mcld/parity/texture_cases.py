"""Read a folder of recorded textures: photographs, IUV maps, and what the authors' code made of them.

Layout: a `NAME.json` a case, with its size and a few figures, and beside it `NAME_image.png`, `NAME_iuv.png`
and the recorded `NAME_atlas.png`, `NAME_mask.png` (what of it may be filled) and `NAME_normal.png` (the SMPL
layout). `normal2atlas`, `render` and `render_from_normal` may be there too. What else there is is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mcld.conditions.texture_layouts import ATLAS_COLUMNS, ATLAS_ROWS
from mcld.conditions.texture_smpl import PART_SIZE_PX, SMPL_SIZE_PX
from mcld.data.codec import decode_image, decode_iuv
from mcld.errors import DataError
from mcld.parity.settings import REMEDY, Settings, read_settings

RECORDED = ("atlas", "mask", "normal")
PERHAPS_RECORDED = ("normal2atlas", "render", "render_from_normal")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureCase:
    """One image, its IUV map, and the recorded pictures by kind, all (height, width, 3) uint8 RGB."""

    name: str
    settings: Settings
    image: np.ndarray
    iuv: np.ndarray  # channels I U V
    recorded: Mapping[str, np.ndarray]


def read_cases(directory: Path) -> tuple[TextureCase, ...]:
    """Read every case, by name. Raises DataError naming the file, the value and a remedy."""
    if not directory.is_dir():
        raise DataError(f"{directory}: no such folder; give one that holds recorded textures")
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise DataError(f"{directory}: no case in it, which would be a NAME.json; {REMEDY}")
    return tuple(_read_case(path) for path in paths)


def _read_case(path: Path) -> TextureCase:
    settings = read_settings(path)
    height_px, width_px = settings.integer("H"), settings.integer("W")
    kinds = (*RECORDED, *(kind for kind in PERHAPS_RECORDED if _path(path, kind=kind).exists()))
    pictures = {kind: _read(_path(path, kind=kind), decode=decode_image) for kind in kinds}
    image = _read(_path(path, kind="image"), decode=decode_image)
    iuv = _read(_path(path, kind="iuv"), decode=partial(decode_iuv, height_px=height_px, width_px=width_px))
    for kind, picture in {"image": image, **pictures}.items():
        expected = _shape_of(kind, image=iuv)
        if picture.shape != expected:
            raise DataError(
                f"{_path(path, kind=kind)}: has shape {picture.shape}, where {expected} is needed; {REMEDY}"
            )
    return TextureCase(name=path.stem, settings=settings, image=image, iuv=iuv, recorded=pictures)


def _shape_of(kind: str, *, image: np.ndarray) -> tuple[int, ...]:
    """The shape that a picture of this kind must have, beside an image."""
    if kind in ("image", "render", "render_from_normal"):
        return image.shape
    if kind == "normal":
        return (SMPL_SIZE_PX, SMPL_SIZE_PX, 3)
    return (ATLAS_ROWS * PART_SIZE_PX, ATLAS_COLUMNS * PART_SIZE_PX, 3)


def _path(path: Path, *, kind: str) -> Path:
    return path.with_name(f"{path.stem}_{kind}.png")


def _read(path: Path, *, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); {REMEDY}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}; {REMEDY}") from error
