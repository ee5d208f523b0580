"""The seam between the face condition and the libraries that recognise faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

ALIGNED_PX = 112  # side of an aligned face, of ArcFace as of SFace
MIN_SIDE_PX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """The N faces of one image, in pixels of that image; boxes may reach beyond its border.

    The points are, as the viewer sees them: left eye, right eye, nose, left and right corner of the mouth.
    """

    boxes: np.ndarray  # (N, 4) float32; x0 y0 x1 y1
    scores: np.ndarray  # (N,) float32, 0..1
    points: np.ndarray  # (N, 5, 2) float32; x y

    def __len__(self) -> int:
        return len(self.boxes)


class FaceRecogniser(Protocol):
    """Finds faces and turns them into vectors; close vectors are one person."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def uses_gpu(self) -> bool:
        """Whether the models really run on a GPU."""
        ...

    def detect(self, bgr: np.ndarray) -> Detections:
        """The faces of an image, (H, W, 3) uint8 BGR, of any size."""
        ...

    def align(self, bgr: np.ndarray, *, points: np.ndarray) -> np.ndarray:
        """The face with these points, (5, 2), upright: (112, 112, 3) uint8 BGR.

        Raises DataError when the points span no face.
        """
        ...

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(N, dim) float32 of N > 0 aligned faces: as the network gives it, not normalised."""
        ...


def no_detections() -> Detections:
    """Nobody."""
    return Detections(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        points=np.zeros((0, 5, 2), np.float32),
    )


def is_too_thin(bgr: np.ndarray, *, size_px: int) -> bool:
    """Whether nothing is left of the shorter side when the longer one is brought to `size_px`."""
    height_px, width_px = bgr.shape[:2]
    return bool(min(height_px, width_px) * size_px < MIN_SIDE_PX * max(height_px, width_px))


def one_line(error: Exception) -> str:
    """A library's error as part of a sentence of ours."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
