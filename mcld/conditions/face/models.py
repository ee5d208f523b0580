"""The door: find the model files of a recogniser, check them before any library reads them, and load them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from mcld.conditions.face.onnx_files import Signature, check_recogniser, fits, read_signature
from mcld.conditions.face.pack import find_networks, pack_files
from mcld.conditions.face.recogniser import ALIGNED_PX, FaceRecogniser, one_line
from mcld.errors import WeightsError
from mcld.storage import sha256_of_file

ZOO = "github.com/opencv/opencv_zoo"
YUNET_REMEDY = f"take face_detection_yunet_2023mar.onnx or a newer one from {ZOO} (MIT)"
SFACE_REMEDY = f"take face_recognition_sface_2021dec.onnx from {ZOO} (Apache-2.0)"
YUNET_OUTPUTS = {
    f"{name}_{stride}": (None, None, size)
    for name, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    for stride in (8, 16, 32)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceModels:
    """Two checked files and how to run them: plain values, so that every process can load its own."""

    library: Literal["insightface", "opencv"]
    detector_path: Path
    recogniser_path: Path
    detector_sha256: str
    recogniser_sha256: str
    dim: int  # of the embedding
    det_size_px: int  # what an image's longer side is brought to before faces are looked for
    min_score: float  # of a face
    device: Literal["cpu", "cuda"] = "cpu"
    must_use_device: bool = False  # whether it is an error when ONNX Runtime has no use of the GPU


def pack_models(
    models_dir: Path,
    *,
    pack: str,
    expected_sha256: Mapping[str, str],
    det_size_px: int,
    min_score: float,
    device: Literal["cpu", "cuda"] = "cpu",
    must_use_device: bool = False,
) -> FaceModels:
    """The models of `<models_dir>/models/<pack>/`.

    Raises WeightsError saying which file is missing or wrong, and the remedy.
    """
    files = pack_files(models_dir, pack=pack)
    _check_hashes(files, expected=expected_sha256)
    networks = find_networks(files, det_size_px=det_size_px)
    return FaceModels(
        library="insightface",
        detector_path=networks.detector.path,
        recogniser_path=networks.recogniser.path,
        detector_sha256=sha256_of_file(networks.detector.path),
        recogniser_sha256=sha256_of_file(networks.recogniser.path),
        dim=networks.dim,
        det_size_px=det_size_px,
        min_score=min_score,
        device=device,
        must_use_device=must_use_device,
    )


def opencv_models(
    detector_path: Path,
    *,
    recogniser_path: Path,
    expected_sha256: Mapping[str, str],
    det_size_px: int,
    min_score: float,
) -> FaceModels:
    """YuNet and SFace. Raises WeightsError saying what is wrong with which file, and the remedy."""
    for path, setting, remedy in (
        (detector_path, "detector_path", YUNET_REMEDY),
        (recogniser_path, "recogniser_path", SFACE_REMEDY),
    ):
        if not path.is_file():
            raise WeightsError(f"{path}: not found, but named in face.{setting}; {remedy}")
    _check_hashes({path.name: path for path in (detector_path, recogniser_path)}, expected=expected_sha256)
    _check_yunet(read_signature(detector_path, remedy=YUNET_REMEDY))
    return FaceModels(
        library="opencv",
        detector_path=detector_path,
        recogniser_path=recogniser_path,
        detector_sha256=sha256_of_file(detector_path),
        recogniser_sha256=sha256_of_file(recogniser_path),
        dim=check_recogniser(read_signature(recogniser_path, remedy=SFACE_REMEDY), remedy=SFACE_REMEDY),
        det_size_px=det_size_px,
        min_score=min_score,
    )


@lru_cache(maxsize=1)
def load_recogniser(models: FaceModels) -> FaceRecogniser:
    """The recogniser, kept in this process until `load_recogniser.cache_clear()`.

    It has passed a trial run. Raises WeightsError when it cannot be loaded or run, and ConfigError when it
    must use a GPU and cannot.
    """
    recogniser = _load(models)
    _try(recogniser, models=models)
    return recogniser


def _load(models: FaceModels) -> FaceRecogniser:
    if models.library == "insightface":
        from mcld.conditions.face.insightface_recogniser import load_insightface

        return load_insightface(
            detector_path=models.detector_path,
            recogniser_path=models.recogniser_path,
            dim=models.dim,
            det_size_px=models.det_size_px,
            min_score=models.min_score,
            device=models.device,
            must_use_device=models.must_use_device,
        )
    from mcld.conditions.face.opencv_recogniser import load_opencv

    return load_opencv(
        detector_path=models.detector_path,
        recogniser_path=models.recogniser_path,
        dim=models.dim,
        det_size_px=models.det_size_px,
        min_score=models.min_score,
    )


def _try(recogniser: FaceRecogniser, *, models: FaceModels) -> None:
    """Run both networks once on nothing: shapes that a file states need not be those that it gives."""
    blank = np.zeros((ALIGNED_PX, ALIGNED_PX, 3), np.uint8)
    path = models.detector_path
    try:
        recogniser.detect(blank)
        path = models.recogniser_path
        shape = recogniser.embed([blank, blank]).shape
    except Exception as error:  # the libraries' errors have no type in common
        raise WeightsError(f"{path}: fails on a blank image ({one_line(error)}); copy it again") from error
    if shape != (2, models.dim):
        raise WeightsError(f"{path}: two faces give {shape}, expected (2, {models.dim}); copy it again")


def _check_hashes(files: Mapping[str, Path], *, expected: Mapping[str, str]) -> None:
    for name, wanted in expected.items():
        if name not in files:
            raise WeightsError(
                f"face.expected_sha256: '{name}' is no file of the recogniser; those are "
                f"{', '.join(files)}: name one of them, or none"
            )
        found = sha256_of_file(files[name])
        if found != wanted:
            raise WeightsError(
                f"{files[name]}: sha256 is {found}, expected {wanted} by face.expected_sha256; the file is "
                "damaged or another one: copy it again"
            )


def _check_yunet(signature: Signature) -> None:
    outputs = signature.outputs
    is_yunet = outputs.keys() == YUNET_OUTPUTS.keys() and all(
        fits(outputs[name], wanted=shape) for name, shape in YUNET_OUTPUTS.items()
    )
    if not is_yunet or not fits(signature.input_shape, wanted=(1, 3, None, None)):
        raise WeightsError(
            f"{signature.path}: {signature}; expected YuNet, with outputs {', '.join(YUNET_OUTPUTS)}; "
            f"{YUNET_REMEDY}"
        )
