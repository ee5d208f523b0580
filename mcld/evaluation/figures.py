"""Figures as papers print them: a grid of pictures under headings, with numbers below and rules between.

    figure = draw_figure(rows, headings=("source", "target pose", "ours"), rules_before=(2,))

Sizes follow from the cells: text stays legible when a page shrinks the whole figure to its width.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mcld.evaluation.pictures import PAPER_RGB

INK_RGB = (20, 22, 26)
FAINT_RGB = (110, 114, 122)
RULE_RGB = (170, 174, 182)
MIN_FONT_SIZE_PX = 15
FONT_SHARE = 1 / 15  # of a cell's height
WIDTH_OF_LETTER = 0.58  # of the font's size, on average and a little more

# Shapes: H W pixels of one cell; R C rows and columns of a figure.


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureCell:
    """A picture, (H, W, 3) uint8 RGB, and what is said below it, if anything."""

    picture: np.ndarray
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where things lie, in pixels."""

    font_size: int
    gutter: int
    lefts: tuple[int, ...]  # of the columns
    widths: tuple[int, ...]
    tops: tuple[int, ...]  # of the rows
    heights: tuple[int, ...]
    headings: tuple[str, ...]  # broken into lines that fit their columns, as notes are
    notes: tuple[tuple[str, ...], ...]
    size: tuple[int, int]  # width, height


def draw_figure(
    rows: Sequence[Sequence[FigureCell]], *, headings: Sequence[str], rules_before: Sequence[int] = ()
) -> np.ndarray:
    """Return R rows of C cells as one picture, uint8 RGB.

    The cells of a column have one width, those of a row one height. A thin line stands left of the columns
    in `rules_before`: what was given on one side, what was made of it on the other.
    """
    assert all(len(row) == len(headings) for row in rows), "a heading a column"
    layout = _laid_out(rows, headings=headings, rules_before=rules_before)
    paper = Image.new("RGB", layout.size, PAPER_RGB)
    draw = ImageDraw.Draw(paper)
    font = ImageFont.load_default(size=layout.font_size)
    small = ImageFont.load_default(size=_small(layout.font_size))
    columns = list(zip(layout.lefts, layout.widths, strict=True))
    for (left, width), text in zip(columns, layout.headings, strict=True):
        place = (left + width // 2, layout.tops[0] - layout.gutter)
        draw.multiline_text(place, text, fill=INK_RGB, font=font, anchor="md", align="center")
    for row, notes, top, height in zip(rows, layout.notes, layout.tops, layout.heights, strict=True):
        for cell, note, (left, width) in zip(row, notes, columns, strict=True):
            assert cell.picture.shape == (height, width, 3), "cells of one size"
            paper.paste(Image.fromarray(cell.picture), (left, top))
            place = (left + width // 2, top + height + layout.gutter // 2)
            draw.multiline_text(place, note, fill=FAINT_RGB, font=small, anchor="ma", align="center")
    for column in rules_before:
        middle = (layout.lefts[column - 1] + layout.widths[column - 1] + layout.lefts[column]) // 2
        bottom = layout.tops[-1] + layout.heights[-1]
        draw.line(((middle, layout.tops[0]), (middle, bottom)), fill=RULE_RGB, width=1)
    return np.array(paper)


def framed(picture: np.ndarray, *, colour: tuple[int, int, int], thickness_px: int) -> np.ndarray:
    """Return the picture with its border painted, (H, W, 3) uint8 RGB."""
    painted = np.full_like(picture, colour)
    inner = (slice(thickness_px, -thickness_px), slice(thickness_px, -thickness_px))
    painted[inner] = picture[inner]
    return painted


def _laid_out(
    rows: Sequence[Sequence[FigureCell]], *, headings: Sequence[str], rules_before: Sequence[int]
) -> _Layout:
    """Places of everything, and all text broken into lines."""
    widths = tuple(cell.picture.shape[1] for cell in rows[0])
    heights = tuple(row[0].picture.shape[0] for row in rows)
    font_size = max(MIN_FONT_SIZE_PX, round(FONT_SHARE * heights[0]))
    gutter = max(4, font_size // 3)
    wrapped = _wrapped(headings, widths=widths, font_size=font_size)
    notes = tuple(
        _wrapped([cell.note for cell in row], widths=widths, font_size=_small(font_size)) for row in rows
    )
    lefts, left = [], gutter
    for column, width in enumerate(widths):
        left += 2 * gutter if column in rules_before else 0
        lefts.append(left)
        left += width + gutter
    note_height = _height_of([text for row in notes for text in row], font_size=_small(font_size))
    note_height += gutter if note_height else 0
    tops, top = [], 2 * gutter + _height_of(wrapped, font_size=font_size)
    for height in heights:
        tops.append(top)
        top += height + note_height + gutter
    return _Layout(
        font_size=font_size,
        gutter=gutter,
        lefts=tuple(lefts),
        widths=widths,
        tops=tuple(tops),
        heights=heights,
        headings=wrapped,
        notes=notes,
        size=(left, top),
    )


def _small(font_size: int) -> int:
    return max(13, round(0.85 * font_size))


def _height_of(texts: Sequence[str], *, font_size: int) -> int:
    """Of the one with the most lines."""
    return max(text.count("\n") + 1 if text else 0 for text in texts) * round(1.3 * font_size)


def _wrapped(texts: Sequence[str], *, widths: Sequence[int], font_size: int) -> tuple[str, ...]:
    """Each text in lines that fit its column; a word that is longer than a line is broken."""
    letters = [max(4, int(width / (WIDTH_OF_LETTER * font_size))) for width in widths]
    return tuple(
        "\n".join("\n".join(textwrap.wrap(line, width=most)) for line in text.splitlines())
        for text, most in zip(texts, letters, strict=True)
    )
