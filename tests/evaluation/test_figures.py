"""A figure holds its cells unchanged, in their places, under headings that fit."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.evaluation.figures import RULE_RGB, FigureCell, draw_figure, framed

HEIGHT_PX, WIDTH_PX = 60, 50


def cell(value: int, *, width_px: int = WIDTH_PX, note: str = "") -> FigureCell:
    return FigureCell(picture=np.full((HEIGHT_PX, width_px, 3), value, np.uint8), note=note)


def places_of(figure: np.ndarray, *, value: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the pixels of one grey; they must fill a rectangle."""
    rows, columns = np.nonzero((figure == value).all(axis=-1))
    height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    assert len(rows) == height * width
    return int(rows.min()), int(columns.min()), int(height), int(width)


def test_every_cell_lies_whole_in_its_row_and_column() -> None:
    rows = [[cell(1), cell(2, width_px=70)], [cell(3), cell(4, width_px=70)]]
    figure = draw_figure(rows, headings=("source", "ours"))
    found = {value: places_of(figure, value=value) for value in (1, 2, 3, 4)}
    assert [found[value][2:] for value in (1, 2, 3, 4)] == [(60, 50), (60, 70), (60, 50), (60, 70)]
    assert found[1][0] == found[2][0] < found[3][0] == found[4][0]
    assert found[1][1] == found[3][1] < found[2][1] == found[4][1]


def test_text_stands_above_and_below_and_nothing_is_cut_off() -> None:
    plain = draw_figure([[cell(9)]], headings=("x",))
    noted = draw_figure([[cell(9, note="PSNR 27.1 dB\nSSIM .9")]], headings=("x",))
    long = draw_figure([[cell(9)]], headings=("a method with a long name",))
    assert noted.shape[0] > plain.shape[0]  # lines below
    assert long.shape[0] > plain.shape[0]  # the heading is broken into lines
    assert long.shape[1] == plain.shape[1]
    for figure in (plain, noted, long):
        border = np.concatenate([figure[0], figure[-1], figure[:, 0], figure[:, -1]])
        assert (border == 255).all()
        assert (figure[: places_of(figure, value=9)[0]] < 128).any()  # the heading's ink


def test_a_rule_parts_what_was_given_from_what_was_made() -> None:
    rows = [[cell(1), cell(2)]]
    assert not (draw_figure(rows, headings=("a", "b")) == RULE_RGB).all(axis=-1).any()
    figure = draw_figure(rows, headings=("a", "b"), rules_before=(1,))
    _, left, _, width = _line(figure)
    assert width == 1
    assert places_of(figure, value=1)[1] + WIDTH_PX <= left < places_of(figure, value=2)[1]


def _line(figure: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((figure == RULE_RGB).all(axis=-1))
    return int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_cells_of_a_row_must_share_their_height() -> None:
    low = FigureCell(picture=np.zeros((HEIGHT_PX - 1, WIDTH_PX, 3), np.uint8))
    with pytest.raises(AssertionError, match="one size"):
        draw_figure([[cell(1), low]], headings=("a", "b"))


def test_a_frame_covers_the_border_alone() -> None:
    picture = np.zeros((8, 9, 3), np.uint8)
    painted = framed(picture, colour=(1, 2, 3), thickness_px=2)
    assert (painted[2:-2, 2:-2] == 0).all()
    assert (painted[:2] == (1, 2, 3)).all()
    assert (painted[:, -2:] == (1, 2, 3)).all()
    assert picture.max() == 0
