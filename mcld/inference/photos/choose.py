"""The door: which networks find people and faces for a model, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mcld.devices import dtype_of
from mcld.errors import ConfigError
from mcld.inference.load import Finders, FindersFor
from mcld.inference.photos.finders import FaceFinder, PersonFinder
from mcld.inference.photos.preparation import Preparation
from mcld.types import Precision

if TYPE_CHECKING:
    from mcld.conditions.face import FaceModels

DENSEPOSE_FLAG, DENSEPOSE_VARIABLE = "--densepose", "MCLD_DENSEPOSE"
FACE_DIR_FLAG, YUNET_FLAG, SFACE_FLAG = "--face-dir", "--yunet", "--sface"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderSources:
    """Where a user's own networks lie, and where they run. What is None is not at hand."""

    densepose_path: Path | None = None  # what `mcld weights import-densepose` wrote
    face_dir: Path | None = None  # insightface's root: the folder with models/<pack>/*.onnx
    yunet_path: Path | None = None  # OpenCV's face detector, and
    sface_path: Path | None = None  # its recogniser
    device: torch.device
    precision: Precision = "float32"  # of DensePose


def finders_for(sources: FinderSources) -> FindersFor:
    """What finds people and faces for a model that was trained on pictures prepared so.

    The callable raises ConfigError when a network is missing or is not the training's, and WeightsError when
    a file is damaged.
    """

    def choose(preparation: Preparation) -> Finders:
        _check(sources, preparation=preparation)
        face_finder = _face_finder(sources, preparation=preparation)
        return _person_finder(sources, preparation=preparation), face_finder

    return choose


def _check(sources: FinderSources, *, preparation: Preparation) -> None:
    if sources.densepose_path is None and preparation.people == "photographs":
        raise ConfigError(
            f"{DENSEPOSE_FLAG}: this model was trained on photographs, and DensePose finds people in yours: "
            f"give {DENSEPOSE_FLAG} FILE, or set {DENSEPOSE_VARIABLE}, to what "
            "`mcld weights import-densepose` wrote"
        )
    if sources.face_dir is not None and (sources.yunet_path or sources.sface_path):
        raise ConfigError(
            f"{FACE_DIR_FLAG}: names insightface's models, but {YUNET_FLAG} or {SFACE_FLAG} OpenCV's; give "
            "the ones that the model was trained with"
        )
    if (sources.yunet_path is None) != (sources.sface_path is None):
        given, missing = (YUNET_FLAG, SFACE_FLAG) if sources.sface_path is None else (SFACE_FLAG, YUNET_FLAG)
        raise ConfigError(f"{given}: finds or recognises faces, but not both; give {missing} FILE, too")
    for flag, path in (
        (DENSEPOSE_FLAG, sources.densepose_path),
        (YUNET_FLAG, sources.yunet_path),
        (SFACE_FLAG, sources.sface_path),
    ):
        if path is not None and not path.is_file():
            raise ConfigError(f"{flag}: {path}: there is no such file")
    if sources.face_dir is not None and not sources.face_dir.is_dir():
        raise ConfigError(f"{FACE_DIR_FLAG}: {sources.face_dir}: there is no such folder")


def _person_finder(sources: FinderSources, *, preparation: Preparation) -> PersonFinder:
    if sources.densepose_path is None:
        from mcld.inference.photos.mannequin_finder import MannequinFinder  # ships, and needs no GPU

        return MannequinFinder.shipped()
    from mcld.conditions.densepose import load_densepose
    from mcld.inference.photos.densepose_finder import DensePoseFinder

    network = load_densepose(sources.densepose_path, device=sources.device, dtype=dtype_of(sources.precision))
    return DensePoseFinder(network=network, uv_overflow=preparation.uv_overflow)


def _face_finder(sources: FinderSources, *, preparation: Preparation) -> FaceFinder | None:
    if sources.face_dir is not None or sources.yunet_path is not None:
        return _recognised_face(sources, preparation=preparation)
    if preparation.people == "mannequins" and preparation.recogniser == "precomputed":
        from mcld.inference.photos.mannequin_finder import MannequinFace

        return MannequinFace.shipped()
    return None


def _recognised_face(sources: FinderSources, *, preparation: Preparation) -> FaceFinder:
    """Raises ConfigError when it is another model than the one whose vectors the training saw."""
    from mcld.conditions.face import load_recogniser  # brings ONNX Runtime
    from mcld.inference.photos.face_finder import RecognisedFace

    models = _face_models(sources, preparation=preparation)
    if models.dim != preparation.face_dim:
        raise ConfigError(
            f"{models.recogniser_path}: gives {models.dim} numbers for a face, but this model was trained "
            f"with {preparation.face_dim}; give the recogniser of its training"
        )
    known = preparation.recogniser_sha256
    if known is not None and models.recogniser_sha256 != known:
        raise ConfigError(
            f"{models.recogniser_path}: sha256 is {models.recogniser_sha256}, but this model was trained "
            f"with the recogniser {known}; another one's vectors mean nothing to it: give that one, or none"
        )
    return RecognisedFace(recogniser=load_recogniser(models))


def _face_models(sources: FinderSources, *, preparation: Preparation) -> FaceModels:
    from mcld.conditions.face import opencv_models, pack_models

    if sources.face_dir is not None:
        return pack_models(
            sources.face_dir,
            pack=preparation.face_pack,
            expected_sha256={},
            det_size_px=preparation.det_size_px,
            min_score=preparation.min_score,
            device="cuda" if sources.device.type == "cuda" else "cpu",
        )
    assert sources.yunet_path is not None
    assert sources.sface_path is not None  # checked by _check
    return opencv_models(
        sources.yunet_path,
        recogniser_path=sources.sface_path,
        expected_sha256={},
        det_size_px=preparation.det_size_px,
        min_score=preparation.min_score,
    )
