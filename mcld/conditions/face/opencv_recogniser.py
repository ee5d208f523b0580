"""OpenCV's pair: YuNet finds faces, SFace recognises them. Both are free: MIT and Apache-2.0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from mcld.conditions.face.recogniser import Detections, is_too_thin, no_detections, one_line
from mcld.errors import DataError, WeightsError

NMS_THRESHOLD = 0.3  # how much two boxes may overlap (IoU); OpenCV's own value, as the next
MAX_CANDIDATES = 5000
ROW_LENGTH = 15  # x, y, width, height, five points, score


class OpencvRecogniser:
    """YuNet and SFace behind the seam; `dim` is the length of the embeddings. For one thread at a time."""

    uses_gpu = False  # the wheels of OpenCV are built without CUDA

    def __init__(
        self, *, detector: cv2.FaceDetectorYN, recogniser: cv2.FaceRecognizerSF, det_size_px: int, dim: int
    ) -> None:
        self._detector = detector
        self._recogniser = recogniser
        self._det_size_px = det_size_px
        self.dim = dim

    def detect(self, bgr: np.ndarray) -> Detections:
        """As `FaceRecogniser.detect`. The image's longer side is brought to the detector's size."""
        if is_too_thin(bgr, size_px=self._det_size_px):
            return no_detections()
        canvas, scale = letterbox(bgr, size_px=self._det_size_px)
        rows = cast("np.ndarray | None", self._detector.detect(canvas)[1])  # OpenCV's types know no None
        if rows is None:
            return no_detections()
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return Detections(
            boxes=corners / scale, scores=rows[:, 14], points=rows[:, 4:14].reshape(-1, 5, 2) / scale
        )

    def align(self, bgr: np.ndarray, *, points: np.ndarray) -> np.ndarray:
        """As `FaceRecogniser.align`; OpenCV reads the points alone of a detection."""
        if (np.ptp(points, axis=0) == 0).all():
            raise DataError("the five points of the face span no face")
        row = np.zeros((1, ROW_LENGTH), np.float32)
        row[0, 4:14] = points.reshape(-1)
        return self._recogniser.alignCrop(bgr, row)

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """As `FaceRecogniser.embed`; OpenCV takes one face at a time."""
        return np.concatenate([self._recogniser.feature(crop) for crop in crops])


def load_opencv(
    *, detector_path: Path, recogniser_path: Path, dim: int, det_size_px: int, min_score: float
) -> OpencvRecogniser:
    """Load two files that were checked. Raises WeightsError when OpenCV cannot load them."""
    try:
        with _errors_only():
            detector = cv2.FaceDetectorYN.create(
                str(detector_path), "", (det_size_px, det_size_px), min_score, NMS_THRESHOLD, MAX_CANDIDATES
            )
            recogniser = cv2.FaceRecognizerSF.create(str(recogniser_path), "")
    except cv2.error as error:
        raise WeightsError(
            f"OpenCV cannot load {detector_path} and {recogniser_path} ({one_line(error)}); copy them again"
        ) from error
    return OpencvRecogniser(detector=detector, recogniser=recogniser, det_size_px=det_size_px, dim=dim)


def letterbox(bgr: np.ndarray, *, size_px: int) -> tuple[np.ndarray, float]:
    """A square of `size_px` with the image in its top left corner, the rest black; and how much it shrank.

    One size for all images, as insightface has it, whatever sizes YuNet's file allows.
    """
    scale = size_px / max(bgr.shape[:2])
    height_px, width_px = (round(length * scale) for length in bgr.shape[:2])
    canvas = np.zeros((size_px, size_px, 3), np.uint8)
    canvas[:height_px, :width_px] = cv2.resize(bgr, (width_px, height_px))
    return canvas, scale


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Within it OpenCV computes on one thread: the same sums on every machine, beside other processes."""
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


@contextmanager
def _errors_only() -> Iterator[None]:
    """Without OpenCV's warning, at every load, that its new engine computes on the processor alone."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
