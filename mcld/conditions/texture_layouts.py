"""The atlas: 24 square tiles, one a DensePose part, in 6 rows and 4 columns filled column by column.

Shapes: S texels a side of one tile.
"""

from __future__ import annotations

import numpy as np

from mcld.errors import DataError

NUM_PARTS = 24
ATLAS_ROWS = 6
ATLAS_COLUMNS = 4


def to_atlas(tiles: np.ndarray) -> np.ndarray:
    """Lay (24, S, S, ...) tiles out as a (6S, 4S, ...) atlas: part p at row (p-1) % 6, column (p-1) // 6."""
    size_px, rest = tiles.shape[1], tiles.shape[3:]
    grid = tiles.reshape(ATLAS_COLUMNS, ATLAS_ROWS, size_px, size_px, *rest)
    return np.ascontiguousarray(
        np.moveaxis(grid, (1, 2, 0, 3), (0, 1, 2, 3)).reshape(
            ATLAS_ROWS * size_px, ATLAS_COLUMNS * size_px, *rest
        )
    )


def to_tiles(atlas: np.ndarray) -> np.ndarray:
    """Cut a (6S, 4S, ...) atlas into its (24, S, S, ...) tiles in part order; the inverse of `to_atlas`."""
    size_px, rest = atlas.shape[0] // ATLAS_ROWS, atlas.shape[2:]
    grid = atlas.reshape(ATLAS_ROWS, size_px, ATLAS_COLUMNS, size_px, *rest)
    return np.moveaxis(grid, (2, 0, 1, 3), (0, 1, 2, 3)).reshape(NUM_PARTS, size_px, size_px, *rest)


def part_size_of(atlas: np.ndarray) -> int:
    """Return S of a (6S, 4S, 3) uint8 atlas; raises DataError on any other array."""
    size_px: int = atlas.shape[0] // ATLAS_ROWS
    if (
        atlas.dtype != np.uint8
        or size_px == 0
        or atlas.shape != (ATLAS_ROWS * size_px, ATLAS_COLUMNS * size_px, 3)
    ):
        raise DataError(
            f"texture: atlas {atlas.shape} {atlas.dtype} is not (6 S, 4 S, 3) uint8; make it with "
            "`texture.layout: atlas`"
        )
    return size_px
