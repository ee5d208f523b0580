"""Squares cut out of a picture around a body region, for looking at details."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_SIDE_PX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A square of pixels inside a picture."""

    top: int
    left: int
    side_px: int

    @property
    def box_4(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom; the last two are the last pixels inside."""
        last = self.side_px - 1
        return self.left, self.top, self.left + last, self.top + last

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The pixels, (side_px, side_px, 3)."""
        return picture[self.top : self.top + self.side_px, self.left : self.left + self.side_px]


def square_around(mask: np.ndarray, *, share: float) -> Square:
    """Return a square centred on the bounding box of a mask, (H, W) bool with something in it.

    Its side is `share` times the box's longer side, and no more than the picture holds; at a border it is
    moved inwards.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longer = max(bottom - top, right - left)
    side = min(max(MIN_SIDE_PX, round(share * float(longer))), *mask.shape)
    return Square(
        top=_start((top + bottom) / 2, side=side, length=mask.shape[0]),
        left=_start((left + right) / 2, side=side, length=mask.shape[1]),
        side_px=side,
    )


def _start(centre: float, *, side: int, length: int) -> int:
    return min(max(0, round(centre - side / 2)), length - side)
