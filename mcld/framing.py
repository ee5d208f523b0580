"""Bring pictures and IUV maps to the model's size, and generated pictures back to an image's own aspect.

`squash` stretches the whole picture over the model's frame, as the authors do. `pad` keeps its aspect: it
lies in the middle of the frame, on white; an IUV map likewise, on background.

Shapes: h w an image's own size, H W the frame's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mcld.types import Fit, IuvResize

WHITE = 255
NO_PERSON = 0  # part number, U and V of background


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where in the frame an image lies, in pixels of the frame."""

    top: int
    left: int
    height_px: int
    width_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """The size that the model works at, and how an image of any size is laid into it."""

    height_px: int
    width_px: int
    fit: Fit = "squash"

    def box(self, image_hw: tuple[int, int]) -> Box:
        """The part of the frame that shows an image of this height and width."""
        if self.fit == "squash":
            return Box(top=0, left=0, height_px=self.height_px, width_px=self.width_px)
        height, width = image_hw
        height_px = min(self.height_px, max(1, _ratio(height * self.width_px, width)))
        width_px = min(self.width_px, max(1, _ratio(width * self.height_px, height)))
        top, left = (self.height_px - height_px) // 2, (self.width_px - width_px) // 2
        return Box(top=top, left=left, height_px=height_px, width_px=width_px)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB to (H, W, 3)."""
        box = self.box(_size(image))
        resized = resize_image(image, height_px=box.height_px, width_px=box.width_px)
        return self._on_canvas(resized, box=box, value=WHITE)

    def iuv(self, iuv: np.ndarray, *, resize: IuvResize = "nearest") -> np.ndarray:
        """(h, w, 3) uint8, channels I U V, to (H, W, 3): laid where its picture is."""
        box = self.box(_size(iuv))
        resized = (resize_labels if resize == "nearest" else resize_image)(
            iuv, height_px=box.height_px, width_px=box.width_px
        )
        return self._on_canvas(resized, box=box, value=NO_PERSON)

    def cut(self, picture: np.ndarray, *, image_hw: tuple[int, int]) -> np.ndarray:
        """Undo `picture` but for its scale: what of (H, W, 3) shows an image of this height and width."""
        assert _size(picture) == (self.height_px, self.width_px), picture.shape
        box = self.box(image_hw)
        return picture[box.top : box.top + box.height_px, box.left : box.left + box.width_px]

    def _on_canvas(self, content: np.ndarray, *, box: Box, value: int) -> np.ndarray:
        if _size(content) == (self.height_px, self.width_px):
            return content
        canvas = np.full((self.height_px, self.width_px, 3), value, np.uint8)
        canvas[box.top : box.top + box.height_px, box.left : box.left + box.width_px] = content
        return canvas


def resize_image(image: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """Squash (h, w, 3) uint8 to the given size with antialiased bicubic, as the authors do.

    Of an IUV map this blends part numbers at borders: kept for their recipe.
    """
    if _size(image) == (height_px, width_px):
        return image
    resized = Image.fromarray(image).resize((width_px, height_px), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def resize_labels(labels: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """(h, w, …) to (height_px, width_px, …) by the nearest pixel centre: part ids are no intensities."""
    rows = ((np.arange(height_px) + 0.5) * labels.shape[0] / height_px).astype(np.int64)
    columns = ((np.arange(width_px) + 0.5) * labels.shape[1] / width_px).astype(np.int64)
    # Whole rows first: a quarter of the time of picking every pixel at once.
    return np.ascontiguousarray(labels[rows].take(columns, axis=1))


def _size(array: np.ndarray) -> tuple[int, int]:
    return array.shape[0], array.shape[1]


def _ratio(numerator: int, denominator: int) -> int:
    """Their quotient, rounded to the nearest whole number; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)
