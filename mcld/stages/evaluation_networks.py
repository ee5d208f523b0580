"""Which networks an evaluation of this workspace can use, and why it cannot use others."""

from __future__ import annotations

from mcld.config import Params
from mcld.errors import WeightsError
from mcld.evaluation.networks import NetworkName, Networks, find_networks
from mcld.workspace import Workspace


def evaluation_networks(params: Params, *, workspace: Workspace) -> tuple[Networks, dict[NetworkName, str]]:
    """The networks whose files are there, and by name why others are lacking."""
    networks, lacking = find_networks(params.evaluate, root=workspace.root)
    section = params.face
    if section.recogniser == "precomputed":
        lacking["face"] = (
            "needs a network that finds and recognises faces in generated images, where face.recogniser is "
            "'precomputed'; set it to insightface (non-commercial) or opencv"
        )
        return networks, lacking
    from mcld.stages.face_recogniser import find_face_models  # brings OpenCV and ONNX Runtime

    try:
        faces = find_face_models(section, runtime=params.runtime, root=workspace.root)
    except WeightsError as error:
        lacking["face"] = f"needs the models of the section face: {error}"
        return networks, lacking
    return networks.with_faces(faces), lacking
