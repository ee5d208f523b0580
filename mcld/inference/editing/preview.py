"""What an edit did, as a picture to look at: no model is needed for it."""

from __future__ import annotations

import numpy as np

from mcld.framing import resize_image
from mcld.inference.photos.person import Person

MIN_HEIGHT_PX, MAX_HEIGHT_PX = 384, 1024
GAP_PX = 8
WHITE = 255


def preview(person: Person) -> np.ndarray:
    """The photograph as edited, and at its right the texture atlas, as high: (h, w, 3) uint8 RGB."""
    height_px = min(max(person.photo.shape[0], MIN_HEIGHT_PX), MAX_HEIGHT_PX)
    return _in_a_row([person.photo, person.atlas], height_px=height_px)


def side_by_side(before: Person, after: Person) -> np.ndarray:
    """Two previews, one above the other and as wide, (h, w, 3) uint8 RGB."""
    first, second = preview(before), preview(after)
    height_px = max(1, round(second.shape[0] * first.shape[1] / second.shape[1]))
    second = resize_image(second, height_px=height_px, width_px=first.shape[1])
    gap = np.full((GAP_PX, first.shape[1], 3), WHITE, np.uint8)
    return np.concatenate([first, gap, second])


def _in_a_row(pictures: list[np.ndarray], *, height_px: int) -> np.ndarray:
    """Pictures brought to one height, with white between."""
    gap = np.full((height_px, GAP_PX, 3), WHITE, np.uint8)
    row: list[np.ndarray] = []
    for picture in pictures:
        width_px = max(1, round(picture.shape[1] * height_px / picture.shape[0]))
        row += [resize_image(picture, height_px=height_px, width_px=width_px), gap]
    return np.concatenate(row[:-1], axis=1)
