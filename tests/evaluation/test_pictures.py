"""Coloured IUV maps and grids."""

from __future__ import annotations

import numpy as np

from mcld.evaluation.pictures import (
    BOX_RGB,
    CAPTION_HEIGHT_PX,
    GUTTER_PX,
    IUV_BACKGROUND_RGB,
    LABEL_HEIGHT_PX,
    captioned_grid,
    colour_iuv,
    draw_box,
    fit,
    labelled_rows,
    note,
    overlay_iuv,
    stack_grid,
)


def cell(value: int) -> np.ndarray:
    return np.full((30, 90, 3), value, np.uint8)


def test_every_part_has_its_own_colour_and_background_none_of_them() -> None:
    iuv = np.zeros((1, 25, 3), np.uint8)
    iuv[0, :, 0] = np.arange(25)
    picture = colour_iuv(iuv)
    assert tuple(picture[0, 0]) == IUV_BACKGROUND_RGB
    assert len(np.unique(picture[0], axis=0)) == 25


def test_shade_follows_u_and_v() -> None:
    iuv = np.array([[[1, 0, 0], [1, 255, 0], [1, 0, 255]]], np.uint8)
    assert len(np.unique(colour_iuv(iuv)[0], axis=0)) == 3


def test_grid_puts_cells_in_rows_with_gutters() -> None:
    grid = stack_grid([[cell(10), cell(20)], [cell(30), cell(40)]])
    assert grid.shape == (2 * 30 + GUTTER_PX, 2 * 90 + GUTTER_PX, 3)
    assert [grid[0, 0, 0], grid[0, -1, 0], grid[-1, 0, 0], grid[-1, -1, 0]] == [10, 20, 30, 40]
    assert grid[0, 91, 0] == 255


def test_captions_stand_above_their_columns_and_cover_no_picture() -> None:
    grid = captioned_grid([[cell(10), cell(20)]], captions=["source", "target"])
    assert (grid[CAPTION_HEIGHT_PX : CAPTION_HEIGHT_PX + 30, GUTTER_PX : GUTTER_PX + 90] == 10).all()
    caption = grid[:CAPTION_HEIGHT_PX] < 200
    assert caption[:, :94].any()
    assert caption[:, 98:].any()


def test_fit_keeps_the_whole_picture_and_its_aspect() -> None:
    wide = np.full((10, 40, 3), 7, np.uint8)
    fitted = fit(wide, height_px=20, width_px=20, margin_rgb=(1, 2, 3))
    assert fitted.shape == (20, 20, 3)
    assert (fitted[7:12] == 7).all()
    assert (fitted[:7] == (1, 2, 3)).all()


def test_an_overlay_tints_the_person_and_nothing_else() -> None:
    image = np.full((4, 6, 3), 200, np.uint8)
    iuv = np.zeros((4, 6, 3), np.uint8)
    iuv[:, :3, 0] = 1
    shown = overlay_iuv(image, iuv=iuv)
    assert (shown[:, 3:] == 200).all()
    assert (shown[:, :3] != 200).any(axis=-1).all()


def test_a_box_is_framed_where_it_is_and_the_photograph_stays_as_it_was() -> None:
    image = np.zeros((40, 30, 3), np.uint8)
    framed = draw_box(image, box_4=(5.2, 10.4, 20.0, 30.6))
    is_drawn = (framed == BOX_RGB).all(axis=-1)
    rows, columns = np.nonzero(is_drawn)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (5, 10, 20, 31)
    assert not is_drawn[11:31, 6:20].any()
    assert not image.any()


def test_rows_stand_under_their_labels_and_above_their_captions() -> None:
    sheet = labelled_rows([("one", [cell(10)]), ("two", [cell(30), cell(40)])], captions=[["a"], ["b", "c"]])
    top = GUTTER_PX + LABEL_HEIGHT_PX
    assert (sheet[top : top + 30, GUTTER_PX : GUTTER_PX + 90] == 10).all()
    second = top + 30 + CAPTION_HEIGHT_PX + GUTTER_PX + LABEL_HEIGHT_PX
    assert (sheet[second : second + 30, GUTTER_PX : GUTTER_PX + 90] == 30).all()
    assert (sheet[top + 30 : top + 30 + CAPTION_HEIGHT_PX, :94] < 200).any()


def test_a_note_is_words_on_a_sheet_of_the_size_asked_for() -> None:
    sheet = note("left out by densepose: no person detected", height_px=60, width_px=80)
    assert sheet.shape == (60, 80, 3)
    assert (sheet < 120).any()
