"""The biggest face of an image, and embeddings of the faces of several images at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcld.conditions.face.recogniser import Detections, FaceRecogniser
from mcld.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCrop:
    """The biggest face of one image, cut out. Box and points are in pixels of the image."""

    box: np.ndarray  # (4,) float32; x0 y0 x1 y1
    score: float  # 0..1
    points: np.ndarray  # (5, 2) float32; x y
    num_faces: int  # of the image, this one included
    aligned: np.ndarray  # (112, 112, 3) uint8 BGR


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFace:
    """The biggest face of one image and its identity vector, as the network gives it."""

    box: np.ndarray  # (4,) float32; x0 y0 x1 y1, in pixels of the image
    score: float  # 0..1
    points: np.ndarray  # (5, 2) float32; x y
    num_faces: int  # of the image, this one included
    embedding: np.ndarray  # (dim,) float32, not normalised


def biggest_face(
    recogniser: FaceRecogniser, *, bgr: np.ndarray, within: np.ndarray | None = None
) -> FaceCrop | None:
    """The face with the largest box of an image, (H, W, 3) uint8 BGR; None where there is no face.

    Of equally large ones the surer. With `within`, (4,) x0 y0 x1 y1, only faces whose middle lies there.
    Raises DataError when the detector gives no numbers, or points that span no face.
    """
    found = recogniser.detect(bgr)
    if len(found) and not (np.isfinite(found.boxes).all() and np.isfinite(found.points).all()):
        raise DataError("the detector gives NaN or Inf")
    if within is not None:
        found = _in_the_middle(found, box=within)
    if not len(found):
        return None
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    order = np.lexsort((found.scores, sizes[:, 0] * sizes[:, 1]))
    row = int(order[-1])
    return FaceCrop(
        box=found.boxes[row],
        score=float(found.scores[row]),
        points=found.points[row],
        num_faces=len(found),
        aligned=recogniser.align(bgr, points=found.points[row]),
    )


def _in_the_middle(found: Detections, *, box: np.ndarray) -> Detections:
    """The faces whose middle lies in a box."""
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    rows = ((middles >= box[:2]) & (middles <= box[2:])).all(axis=1)
    return Detections(boxes=found.boxes[rows], scores=found.scores[rows], points=found.points[rows])


def embed_crops(
    recogniser: FaceRecogniser, *, crops: Sequence[FaceCrop], batch_size: int
) -> Iterator[FoundFace]:
    """Faces with their embeddings, `batch_size` of them through the network at once."""
    for start in range(0, len(crops), batch_size):
        batch = crops[start : start + batch_size]
        embeddings = recogniser.embed([crop.aligned for crop in batch])
        for crop, embedding in zip(batch, embeddings, strict=True):
            yield FoundFace(
                box=crop.box,
                score=crop.score,
                points=crop.points,
                num_faces=crop.num_faces,
                embedding=embedding,
            )


def find_faces(
    recogniser: FaceRecogniser, *, images: Sequence[np.ndarray], batch_size: int
) -> list[FoundFace | None]:
    """The biggest face of every image, each (H, W, 3) uint8 BGR of its own size; None where there is none.

    Raises DataError as `biggest_face` does.
    """
    crops = [biggest_face(recogniser, bgr=bgr) for bgr in images]
    faces = embed_crops(recogniser, crops=[crop for crop in crops if crop is not None], batch_size=batch_size)
    return [None if crop is None else next(faces) for crop in crops]
