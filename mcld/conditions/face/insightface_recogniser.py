"""insightface's detector and recogniser of one pack. The only module that knows the library.

Its code is MIT; its models are for non-commercial research.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import insightface.app  # before ONNX Runtime, whose reports to its makers it turns off
import numpy as np
import onnxruntime
from insightface.utils.face_align import arcface_dst
from skimage.transform import SimilarityTransform

from mcld.conditions.face.recogniser import ALIGNED_PX, Detections, is_too_thin, no_detections, one_line
from mcld.errors import ConfigError, DataError, WeightsError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Full precision, and no search for the fastest algorithm, whose winner differs from run to run.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
TASKS = {"detection": "detector", "recognition": "recogniser"}

logger = logging.getLogger(__name__)


class InsightfaceRecogniser:
    """A prepared `FaceAnalysis` behind the seam; `dim` is the length of its embeddings."""

    def __init__(self, app: insightface.app.FaceAnalysis, *, dim: int) -> None:
        self._app = app
        self._network = app.models["recognition"]
        self.dim = dim
        self.uses_gpu = all(CUDA in model.session.get_providers() for model in app.models.values())

    def detect(self, bgr: np.ndarray) -> Detections:
        """As `FaceRecogniser.detect`. The image's longer side is brought to the detector's size."""
        if is_too_thin(bgr, size_px=self._app.det_size[0]):
            return no_detections()
        rows, points = self._app.det_model.detect(bgr)
        return Detections(boxes=rows[:, :4], scores=rows[:, 4], points=points)

    def align(self, bgr: np.ndarray, *, points: np.ndarray) -> np.ndarray:
        """As insightface's `norm_crop`, without the call that scikit-image is about to remove."""
        transform = SimilarityTransform.from_estimate(points, arcface_dst)
        if not transform:
            raise DataError("the five points of the face span no face")
        return cv2.warpAffine(bgr, transform.params[:2], (ALIGNED_PX, ALIGNED_PX), borderValue=0.0)

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """As `FaceRecogniser.embed`. A network made for one face at a time gets them so."""
        step = 1 if self._network.input_shape[0] == 1 else len(crops)
        batches = [list(crops[start : start + step]) for start in range(0, len(crops), step)]
        return np.concatenate([self._network.get_feat(batch) for batch in batches])


def load_insightface(
    *,
    detector_path: Path,
    recogniser_path: Path,
    dim: int,
    det_size_px: int,
    min_score: float,
    device: Literal["cpu", "cuda"],
    must_use_device: bool,
) -> InsightfaceRecogniser:
    """Load a pack that was checked (`pack.py`): the folder that both files lie in.

    Where ONNX Runtime cannot use the GPU asked for, that is logged, or with `must_use_device` a ConfigError.
    Raises WeightsError when the library cannot load the pack, or takes other files of it.
    """
    pack_dir = detector_path.parent.resolve()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # processes, or threads that each detect, are the parallelism
    options.use_deterministic_compute = True  # a repeated run gives the same bytes
    try:
        app = insightface.app.FaceAnalysis(
            # A folder: a name would be looked for in the current folder, and downloaded if not found.
            name=str(pack_dir),
            root=str(pack_dir.parents[1]),
            allowed_modules=list(TASKS),
            static_shape_sessions=False,  # else a second copy of the detector is made for its size
            providers=_providers(device),
            sess_options=options,
        )
    except Exception as error:  # ONNX Runtime's errors have no type in common
        raise WeightsError(
            f"{pack_dir}: insightface cannot load this pack ({one_line(error)}); copy it again"
        ) from error
    _check_files(app, expected={"detection": detector_path, "recognition": recogniser_path})
    app.prepare(0, det_thresh=min_score, det_size=(det_size_px, det_size_px))  # without a size it takes two
    recogniser = InsightfaceRecogniser(app, dim=dim)
    if device == "cuda" and not recogniser.uses_gpu:
        _say_no_gpu(must_use_device=must_use_device)
    return recogniser


def _providers(device: Literal["cpu", "cuda"]) -> list[str | tuple[str, dict[str, str]]]:
    """Where to compute, best first; a GPU only where this build knows of any."""
    has_cuda = device == "cuda" and CUDA in onnxruntime.get_available_providers()
    return [(CUDA, CUDA_OPTIONS), CPU] if has_cuda else [CPU]


def _check_files(app: insightface.app.FaceAnalysis, *, expected: dict[str, Path]) -> None:
    for task, path in expected.items():
        taken = app.models[task].model_file if task in app.models else "nothing"
        if taken != str(path.parent.resolve() / path.name):  # as the library spells it
            raise WeightsError(
                f"{path}: is the {TASKS[task]} by its shapes, but insightface takes {taken}; leave one "
                f"{TASKS[task]} in the folder"
            )


def _say_no_gpu(*, must_use_device: bool) -> None:
    """Raises ConfigError where the GPU is a must."""
    found = ", ".join(onnxruntime.get_available_providers())
    message = (
        f"ONNX Runtime cannot use the GPU for faces: this build has {found}; "
        "install onnxruntime-gpu in the place of onnxruntime, for this machine's CUDA"
    )
    if must_use_device:
        raise ConfigError(f"runtime.device: 'cuda' is asked for, but {message}, or use 'auto' or 'cpu'")
    logger.warning("%s; faces are found on the processor", message)
