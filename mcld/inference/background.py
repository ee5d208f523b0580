"""What stands behind the rendered person: what the model made, the target's photograph, or a colour."""

from __future__ import annotations

import cv2
import numpy as np

REACH = 0.03  # of the picture's height: hair and loose garments reach beyond the body that a pose shows
SOFT = 0.01  # of the same: how wide the edge is


def composed(picture: np.ndarray, *, iuv: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The person of `picture`, in the pose that `iuv` shows, before `behind`; all (h, w, 3) uint8."""
    weight = person_weight(iuv)[..., None]
    return np.asarray(np.rint(weight * picture + (1 - weight) * behind), np.uint8)


def plain(colour: str, *, like: np.ndarray) -> np.ndarray:
    """A background of one colour, #rrggbb, of the size of `like`, (h, w, 3) uint8."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return np.full_like(like, (red, green, blue))


def person_weight(iuv: np.ndarray) -> np.ndarray:
    """(h, w) float32, 1 on the person and a little around, falling to 0: how much of the picture is kept."""
    height_px = iuv.shape[0]
    reach_px, soft_px = max(1, round(REACH * height_px)), max(1, round(SOFT * height_px))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    grown = cv2.dilate((iuv[..., 0] > 0).astype(np.float32), kernel)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), soft_px), np.float32)
