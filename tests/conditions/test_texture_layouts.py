"""The atlas is cut and laid out without losing a texel."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.conditions.texture_layouts import part_size_of, to_atlas, to_tiles
from mcld.errors import DataError


@pytest.mark.parametrize("rest", [(), (3,)])
def test_cutting_undoes_laying_out(rest: tuple[int, ...]) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (24, 5, 5, *rest), dtype=np.uint8)
    atlas = to_atlas(tiles)
    assert atlas.shape == (30, 20, *rest)
    assert np.array_equal(to_tiles(atlas), tiles)


@pytest.mark.parametrize("part", [1, 6, 7, 24])
def test_tiles_stand_column_by_column(part: int) -> None:
    tiles = np.zeros((24, 10, 10), bool)
    tiles[part - 1] = True
    row, column = 10 * ((part - 1) % 6), 10 * ((part - 1) // 6)
    atlas = to_atlas(tiles)
    assert atlas[row : row + 10, column : column + 10].all()
    assert atlas.sum() == 100


def test_the_tiles_size_is_read_off_the_atlas() -> None:
    assert part_size_of(np.zeros((48, 32, 3), np.uint8)) == 8
    for wrong in (np.zeros((47, 32, 3), np.uint8), np.zeros((48, 32, 3)), np.zeros((0, 0, 3), np.uint8)):
        with pytest.raises(DataError, match=r"is not \(6 S, 4 S, 3\) uint8"):
            part_size_of(wrong)
