"""What of a photograph the model gets to see: all of it, or a rectangle of the usual aspect around a person.

Models learn from pictures that one person fills. A holiday photograph, squeezed to such a size whole, would
show a thin small person in the middle.
"""

from __future__ import annotations

import numpy as np

from mcld.inference.photos.person import Window

USUAL_ASPECT = 1.25  # times or divided by: so near the training's aspect, a photograph is squeezed unnoticed
FILLED = 0.4  # of the photograph's height or width by the person's box: it is a picture of that person
ROOM = 0.08  # of the window on every side of a person who is cut out


def window_of(
    box: tuple[int, int, int, int],  # left, top, right, bottom of the person, in pixels
    *,
    photo_hw: tuple[int, int],
    aspect: float,
) -> Window:
    """The whole photograph if it is of the training's kind, else a rectangle of `aspect` around the person.

    `aspect` is width by height. The rectangle is kept within the photograph where it fits.
    """
    height_px, width_px = photo_hw
    left, top, right, bottom = box
    is_usual = 1 / USUAL_ASPECT <= (width_px / height_px) / aspect <= USUAL_ASPECT
    if is_usual and max((bottom - top) / height_px, (right - left) / width_px) >= FILLED:
        return Window(left=0, top=0, width_px=width_px, height_px=height_px)
    share = 1 - 2 * ROOM
    window_height = max(1, round(max((bottom - top) / share, (right - left) / share / aspect)))
    window_width = max(1, round(window_height * aspect))
    return Window(
        left=_placed((left + right) / 2, length=window_width, available=width_px),
        top=_placed((top + bottom) / 2, length=window_height, available=height_px),
        width_px=window_width,
        height_px=window_height,
    )


def cut_out(photo: np.ndarray, *, window: Window) -> np.ndarray:
    """(H, W, 3) to (h, w, 3): beyond the border its last pixels go on."""
    rows = np.clip(np.arange(window.top, window.top + window.height_px), 0, photo.shape[0] - 1)
    columns = np.clip(np.arange(window.left, window.left + window.width_px), 0, photo.shape[1] - 1)
    return np.ascontiguousarray(photo[rows][:, columns])


def cut_out_labels(iuv: np.ndarray, *, window: Window) -> np.ndarray:
    """(H, W, 3) uint8 to (h, w, 3): beyond the border there is nobody."""
    cut = np.zeros((window.height_px, window.width_px, 3), np.uint8)
    top, left = max(0, -window.top), max(0, -window.left)
    seen = iuv[
        max(0, window.top) : max(0, window.top + window.height_px),
        max(0, window.left) : max(0, window.left + window.width_px),
    ]
    cut[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return cut


def paste(photo: np.ndarray, *, picture: np.ndarray, window: Window) -> np.ndarray:
    """The photograph (H, W, 3) with `picture` (h, w, 3) in its window, as far as that lies within it."""
    pasted = photo.copy()
    top, left = max(0, window.top), max(0, window.left)
    bottom = min(photo.shape[0], window.top + window.height_px)
    right = min(photo.shape[1], window.left + window.width_px)
    pasted[top:bottom, left:right] = picture[
        top - window.top : bottom - window.top, left - window.left : right - window.left
    ]
    return pasted


def _placed(middle: float, *, length: int, available: int) -> int:
    """Where a stretch around `middle` begins: moved inside where it fits, else centred over all of it."""
    if length >= available:
        return -((length - available) // 2)
    return min(max(0, round(middle - length / 2)), available - length)
