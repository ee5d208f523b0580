"""Figure 1 of the paper: a picture, what the VAE makes of it, and what it makes of a latent slightly off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcld.evaluation.crops import Square, square_around
from mcld.evaluation.figures import FigureCell, draw_figure, framed
from mcld.evaluation.pictures import fit
from mcld.evaluation.scores import REGIONS
from mcld.framing import resize_image, resize_labels

PROBE_ROWS = ("original", "reconstruction", "deviated")
CELL_HEIGHT_PX = 360
GAP_PX = 4
FRAME_PX = 3
FACE_RGB, GARMENT_RGB = (214, 48, 49), (9, 101, 200)
FACE_SHARE, GARMENT_SHARE = 1.1, 0.6  # of the region's longer side; a garment's middle, for its pattern

# Shapes: H W pixels that the VAE saw; h w an image's own size.


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedView:
    """One image of the figure: `pictures` by row, (H, W, 3) uint8 RGB, and what they scored."""

    pictures: Mapping[str, np.ndarray]
    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V
    image_hw: tuple[int, int]
    scores: Mapping[str, Mapping[str, float | None]]


def probe_figure(views: Sequence[ProbedView], *, deviation: float) -> np.ndarray:
    """Return a row a view, uint8 RGB: whole picture, face and garment of original and of what came back."""
    headings = ("original", "through the VAE", f"latent off by {deviation:g}")
    rows = [[_cell(view, row=row) for row in PROBE_ROWS] for view in views]
    width_px = max(cell.picture.shape[1] for cells in rows for cell in cells)
    sized = [
        [
            FigureCell(picture=fit(cell.picture, height_px=CELL_HEIGHT_PX, width_px=width_px), note=cell.note)
            for cell in cells
        ]
        for cells in rows
    ]
    return draw_figure(sized, headings=headings, rules_before=(1,))


def _cell(view: ProbedView, *, row: str) -> FigureCell:
    shape = _own_aspect(view)
    whole = resize_image(view.pictures[row], height_px=shape[0], width_px=shape[1])
    parts = resize_labels(view.iuv, height_px=shape[0], width_px=shape[1])[..., 0]
    face = square_around(np.isin(parts, REGIONS["head"]), share=FACE_SHARE)
    garment = square_around(np.isin(parts, REGIONS["torso"]), share=GARMENT_SHARE)
    return FigureCell(
        picture=_beside(whole, squares=((face, FACE_RGB), (garment, GARMENT_RGB))),
        note="" if row == "original" else _note(view.scores[row]),
    )


def _own_aspect(view: ProbedView) -> tuple[int, int]:
    """A size of the image's own aspect at which no side of what the VAE saw shrinks."""
    high, wide = view.iuv.shape[:2]
    scale = max(high / view.image_hw[0], wide / view.image_hw[1])
    return round(scale * view.image_hw[0]), round(scale * view.image_hw[1])


def _beside(whole: np.ndarray, *, squares: Sequence[tuple[Square, tuple[int, int, int]]]) -> np.ndarray:
    """The whole picture with its squares marked, and the squares, enlarged, in a column beside it."""
    width_px = round(CELL_HEIGHT_PX * whole.shape[1] / whole.shape[0])
    shown = resize_image(whole, height_px=CELL_HEIGHT_PX, width_px=width_px).copy()
    side_px = (CELL_HEIGHT_PX - GAP_PX * (len(squares) - 1)) // len(squares)
    cell = np.full((CELL_HEIGHT_PX, width_px + GAP_PX + side_px, 3), 255, np.uint8)
    for number, (square, colour) in enumerate(squares):
        _mark(shown, square=square, scale=CELL_HEIGHT_PX / whole.shape[0], colour=colour)
        detail = resize_image(square.of(whole), height_px=side_px, width_px=side_px)
        top = number * (side_px + GAP_PX)
        cell[top : top + side_px, width_px + GAP_PX :] = framed(detail, colour=colour, thickness_px=FRAME_PX)
    cell[:, :width_px] = shown
    return cell


def _mark(shown: np.ndarray, *, square: Square, scale: float, colour: tuple[int, int, int]) -> None:
    """Draw where a square lies, into the enlarged picture itself."""
    top, left = round(scale * square.top), round(scale * square.left)
    side = min(round(scale * square.side_px), shown.shape[0] - top, shown.shape[1] - left)
    inside = shown[top : top + side, left : left + side]
    inside[:] = framed(inside, colour=colour, thickness_px=2)


def _note(scores: Mapping[str, float | None]) -> str:
    """`PSNR 27.1 dB, SSIM .912` of the whole picture and of the face; equal pictures have no finite PSNR."""
    lines = [
        f"{place}: PSNR {_decibels(scores.get(f'{prefix}psnr'))}, SSIM {_number(scores.get(f'{prefix}ssim'))}"
        for place, prefix in (("all", ""), ("face", "face_"))
    ]
    return "\n".join(lines)


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
