"""Which networks an evaluation of this workspace can use, and why it cannot use others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mcld.config import FaceParams, Params
from mcld.evaluation.frechet import MIN_IMAGES
from mcld.evaluation.networks import NetworkName, Networks, find_networks
from mcld.types import ImageRecord
from mcld.workspace import Workspace

_REMEDY = (
    "set face.recogniser to insightface, with an ArcFace pack and its detector, e.g. antelopev2 "
    "(non-commercial), in face.models_dir; or to opencv, with YuNet and SFace (free licences)"
)


def evaluation_networks(params: Params, *, workspace: Workspace) -> tuple[Networks, dict[NetworkName, str]]:
    """The networks whose files are there, and by name why others are lacking.

    Raises WeightsError for a file that is there and is not what it should be.
    """
    networks, lacking = find_networks(params.evaluate, root=workspace.root)
    reason = _why_no_faces(params.face, root=workspace.root)
    if reason is not None:
        lacking["face"] = reason
        return networks, lacking
    from mcld.stages.face_recogniser import find_face_models  # brings OpenCV and ONNX Runtime

    models = find_face_models(params.face, runtime=params.runtime, root=workspace.root)
    return networks.with_faces(models), lacking


def lacking_with(
    images: Iterable[ImageRecord], *, lacking: Mapping[NetworkName, str]
) -> dict[NetworkName, str]:
    """The same, and why a network that is there is of no use for a data set of these images."""
    num_train = sum(image.split == "train" for image in images)
    if num_train >= MIN_IMAGES or "inception" in lacking:
        return dict(lacking)
    reason = f"compares with the training images, at least {MIN_IMAGES}; the index has {num_train}"
    return {**lacking, "inception": reason}


def _why_no_faces(section: FaceParams, *, root: Path) -> str | None:
    """None where models that recognise faces are there."""
    if section.recogniser == "precomputed":
        return (
            "needs faces recognised in generated images, where face.recogniser is 'precomputed', which reads "
            f"vectors that came with the data set; {_REMEDY}"
        )
    if section.recogniser == "insightface":
        assert section.models_dir is not None  # checked by FaceParams
        pack_dir = root / section.models_dir / "models" / section.pack
        missing = [] if any(pack_dir.glob("*.onnx")) else [pack_dir]
    else:
        paths = (section.detector_path, section.recogniser_path)
        missing = [root / path for path in paths if path and not (root / path).is_file()]
    if missing:
        return f"needs the models of face.recogniser '{section.recogniser}': {missing[0]} is not there"
    return None
