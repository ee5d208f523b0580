"""Where a head is, by its body parts, and the square picture of it that the face network is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.conditions.mannequins.networks import HEAD_PX
from mcld.framing import resize_image

HEAD_PARTS = (23, 24)
MIN_HEAD_PX = 8  # of a head's longer side: less shows nobody's face
LONGEST = 1.45  # height over width of a head without its hair; more of it hangs down, and shows nobody's face
SIDE, ABOVE = 1.15, 0.05  # of the square: over that height, and its room above the head


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A square of a picture, in its pixels; it may reach beyond the border."""

    left: int
    top: int
    side_px: int


def head_square(iuv: np.ndarray) -> Square | None:
    """The square around the head and not all of its hair, of (H, W, 3) uint8; None where it is too small."""
    is_head = np.isin(iuv[..., 0], HEAD_PARTS)
    rows, columns = np.flatnonzero(is_head.any(axis=1)), np.flatnonzero(is_head.any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height_px, width_px = int(bottom - top), int(right - left)
    if max(height_px, width_px) < MIN_HEAD_PX:
        return None
    side_px = max(1, round(SIDE * min(height_px, LONGEST * width_px)))
    left_px, top_px = int(left + right - side_px) // 2, int(top) - round(ABOVE * side_px)
    return Square(left=left_px, top=top_px, side_px=side_px)


def head_picture(photo: np.ndarray, *, square: Square) -> np.ndarray:
    """(64, 64, 3) uint8 of (H, W, 3): beyond the border its last pixels go on."""
    rows = np.clip(np.arange(square.top, square.top + square.side_px), 0, photo.shape[0] - 1)
    columns = np.clip(np.arange(square.left, square.left + square.side_px), 0, photo.shape[1] - 1)
    return resize_image(np.ascontiguousarray(photo[rows][:, columns]), height_px=HEAD_PX, width_px=HEAD_PX)
