"""What the model sees of a person, as pictures to look at: PNG, at most VIEW_SIDE_PX a side."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from mcld.conditions.texture import Layout, in_layout
from mcld.framing import resize_image, resize_labels
from mcld.inference.photos.person import Person, Pose

View = Literal["photo", "iuv", "texture", "face", "overlay"]
VIEW_SIDE_PX = 1024
HEAD_PARTS = (23, 24)  # of DensePose
FACE_MARGIN = 0.15  # of the head's box, on every side
MIN_HEAD_PX = 4
OVER = 0.5  # of the map's colour over the photograph


def view_of(what: View, *, pose: Pose, person: Person | None, layout: Layout) -> np.ndarray | None:
    """(h, w, 3) uint8 RGB; None for the face where no head shows. A texture needs the person."""
    if what == "texture":
        assert person is not None, "a texture is of a person"
        return texture_view(person, layout=layout)
    return {"photo": photo_view, "iuv": map_view, "overlay": overlay_view, "face": face_view}[what](pose)


def photo_view(pose: Pose) -> np.ndarray:
    """(h, w, 3) uint8: the part of the photograph that the model sees."""
    return _shown(pose.photo)


def map_view(pose: Pose) -> np.ndarray:
    """(h, w, 3) uint8: a colour a body part, darker where U and brighter where V is large, on white."""
    size = _size(pose.iuv)
    labels = resize_labels(pose.iuv, height_px=size[0], width_px=size[1])
    return np.where(labels[..., :1] > 0, map_colours(labels), np.uint8(255))


def overlay_view(pose: Pose) -> np.ndarray:
    """(h, w, 3) uint8: the photograph with the map's colours half over it."""
    photo = photo_view(pose)
    labels = resize_labels(pose.iuv, height_px=photo.shape[0], width_px=photo.shape[1])
    blended = np.rint((1 - OVER) * photo + OVER * map_colours(labels)).astype(np.uint8)
    return np.where(labels[..., :1] > 0, blended, photo)


def face_view(pose: Pose) -> np.ndarray | None:
    """(h, w, 3) uint8: the head and a little around; None where no head shows."""
    head = np.isin(pose.iuv[..., 0], HEAD_PARTS)
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    if len(rows) < MIN_HEAD_PX or len(columns) < MIN_HEAD_PX:
        return None
    top, bottom = _with_margin(rows, length=head.shape[0])
    left, right = _with_margin(columns, length=head.shape[1])
    return _shown(np.ascontiguousarray(pose.photo[top:bottom, left:right]))


def texture_view(person: Person, *, layout: Layout) -> np.ndarray:
    """(h, w, 3) uint8: the texture that the model sees."""
    return _shown(in_layout(person.atlas, layout=layout))


def map_colours(iuv: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, channels I U V, to RGB: hue by part, saturation by U, brightness by V."""
    hue = iuv[..., 0].astype(np.uint16) * 7 * 180 // 24 % 180  # neighbouring numbers get far hues
    saturation = 110 + iuv[..., 1].astype(np.uint16) * 110 // 255
    value = 130 + iuv[..., 2].astype(np.uint16) * 125 // 255
    colours = np.stack([hue, saturation, value], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB), np.uint8)


def _shown(picture: np.ndarray) -> np.ndarray:
    size = _size(picture)
    return resize_image(picture, height_px=size[0], width_px=size[1])


def _size(picture: np.ndarray) -> tuple[int, int]:
    """Height and width at which it is shown."""
    scale = min(1.0, VIEW_SIDE_PX / max(picture.shape[:2]))
    return max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))


def _with_margin(indices: np.ndarray, *, length: int) -> tuple[int, int]:
    margin = round(FACE_MARGIN * len(indices))
    return max(0, int(indices[0]) - margin), min(length, int(indices[-1]) + 1 + margin)
