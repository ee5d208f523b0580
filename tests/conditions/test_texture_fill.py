"""What missing texels are filled with, and how far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcld.conditions.texture_fill import fill_nearest, fill_telea, near

SIZE_PX = 40


def tiles_with(*texels: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Tiles with single texels (part index, row, column) of colours of their own, and which those are."""
    tiles = np.zeros((24, SIZE_PX, SIZE_PX, 3), np.uint8)
    visible = np.zeros(tiles.shape[:3], bool)
    for number, texel in enumerate(texels):
        tiles[texel], visible[texel] = 255 - 60 * number, True
    return tiles, visible


def test_the_margin_is_an_even_square() -> None:
    visible = np.zeros((SIZE_PX, SIZE_PX), bool)
    visible[20, 20] = True
    rows, columns = np.nonzero(near(visible, margin_px=5))
    assert (len(rows), rows.max() - rows.min(), columns.max() - columns.min()) == (100, 9, 9)


def test_telea_keeps_to_the_margin_and_the_chart_beyond_which_all_is_black() -> None:
    tiles, visible = tiles_with()
    tiles[3, 18:23, 18:23], visible[3, 18:23, 18:23] = 200, True
    charts = np.ones_like(visible)
    charts[3, :, 24:] = False
    filled = fill_telea(tiles, visible=visible, margin_px=4, charts=charts)
    inside = near(visible[3], margin_px=4) & charts[3]
    assert (filled[3, 18:23, 18:23] == 200).all()
    assert (filled[3, 18:23, 17] > 190).all()
    assert (filled[3, 18:23, 23] < 190).all()  # as in the authors' textures, the outline's black flows in
    assert not filled[3][~inside].any()
    assert not np.delete(filled, 3, axis=0).any()


def test_telea_without_charts_fills_the_whole_margin() -> None:
    tiles, visible = tiles_with((0, 20, 20))
    filled = fill_telea(tiles, visible=visible, margin_px=5, charts=None)
    assert np.array_equal(filled[0].any(axis=-1), near(visible[0], margin_px=5))
    assert (filled[0][near(visible[0], margin_px=5)] == 255).all()


def test_telea_loses_a_level_at_most() -> None:
    rng = np.random.default_rng(0)
    tiles = rng.integers(3, 230, (24, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    visible = rng.random(tiles.shape[:3]) < 0.3
    tiles[~visible] = 0
    filled = fill_telea(tiles, visible=visible, margin_px=3, charts=None)
    lost = tiles[visible].astype(int) - filled[visible]
    assert lost.min() >= 0
    assert lost.max() <= 1


@pytest.mark.parametrize("colour", [0, 90])
def test_telea_of_one_colour_and_nothing_missing_is_that_colour(colour: int) -> None:
    tiles = np.full((24, 8, 8, 3), colour, np.uint8)
    visible = np.ones(tiles.shape[:3], bool)
    assert np.array_equal(fill_telea(tiles, visible=visible, margin_px=2, charts=None), tiles)


@pytest.mark.parametrize(("fill", "more"), [(fill_nearest, {}), (fill_telea, {"charts": None})])
def test_a_margin_beyond_the_tile_fills_the_tile_and_no_other(fill: Any, more: dict[str, None]) -> None:
    tiles, visible = tiles_with((7, 0, 0), (7, 39, 39))
    filled = fill(tiles, visible=visible, margin_px=10_000, **more)
    assert filled[7].all()
    assert not np.delete(filled, 7, axis=0).any()


@pytest.mark.parametrize(("fill", "more"), [(fill_nearest, {}), (fill_telea, {"charts": None})])
def test_no_margin_and_no_person_change_nothing(fill: Any, more: dict[str, None]) -> None:
    tiles, visible = tiles_with((7, 3, 3))
    assert np.array_equal(fill(tiles, visible=visible, margin_px=0, **more), tiles)
    empty = np.zeros_like(tiles)
    assert not fill(empty, visible=np.zeros_like(visible), margin_px=4, **more).any()
