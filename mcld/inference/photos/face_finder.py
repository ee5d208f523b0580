"""The face of the person whose pose was found, recognised by the model that the training used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.conditions.face import FaceRecogniser, biggest_face
from mcld.errors import DataError

HEAD_PARTS = (23, 24)
ROOM = 0.25  # of the head's box on every side: a detector's box need not lie in the middle of a head


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedFace:
    """A `FaceFinder`: the biggest face that lies on the person's head."""

    recogniser: FaceRecogniser

    def embed(self, photo: np.ndarray, *, iuv: np.ndarray) -> np.ndarray | None:
        """As `FaceFinder.embed`. Raises DataError when the models give NaN, or nothing but zeros."""
        head = head_box(iuv)
        if head is None:
            return None
        # All of the picture is searched, as in training: whether a face is seen depends on its size in it.
        bgr = np.ascontiguousarray(photo[..., ::-1])
        face = biggest_face(self.recogniser, bgr=bgr, within=head)
        if face is None:
            return None
        embedding: np.ndarray = self.recogniser.embed([face.aligned])[0]
        if not np.isfinite(embedding).all():
            raise DataError("the face model gives NaN or Inf for this face; use another photograph")
        if not embedding.any():
            raise DataError("the face model gives nothing but zeros for this face; use another photograph")
        return embedding


def head_box(iuv: np.ndarray) -> np.ndarray | None:
    """(4,) x0 y0 x1 y1 around the head of (h, w, 3) uint8, with some room; None where there is no head."""
    is_head = np.isin(iuv[..., 0], HEAD_PARTS)
    rows, columns = np.flatnonzero(is_head.any(axis=1)), np.flatnonzero(is_head.any(axis=0))
    if not len(rows):
        return None
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    room = ROOM * np.tile(box[2:] - box[:2], 2)
    return box + room * np.array([-1, -1, 1, 1], np.float32)
