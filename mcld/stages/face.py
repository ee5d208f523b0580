"""Image to face embedding: read one that was made elsewhere, or recognise the biggest face.

`precomputed` takes vectors in the format of the authors' published conditions, `insightface` and `opencv` run
their models (`face_recogniser.py`). An image without a face keeps its place: zeros, and `face_found` false.
`no_face` counts them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mcld.config import Params
from mcld.data.codec import decode_npy, encode_npy
from mcld.data.columns import write_part
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, given_dir, images_dir, run_column
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import canonical_json, sha256_of_file
from mcld.types import Exclusion, ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "face"
FORMAT_VERSION = 2
FACE_MEMBER = "face.npy"  # (dim,) float32; zeros where no face was found
FACTS_MEMBER = "face.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFacts:
    """What face.json says of one image. Score and box are null where the embedding was given, or is none."""

    face_found: bool
    score: float | None = None  # 0..1, how sure the detector is
    box: tuple[float, ...] | None = None  # x0 y0 x1 y1 of the biggest face, in pixels of the image
    num_faces: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecomputedFaces(PartWork[Images]):
    """Copies given embeddings into a part after checking them."""

    face_dir: Path  # holds train_face/ and test_face/
    dim: int

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the embedding given for it."""
        return [[image.key, image.sha256, self._hash(image)] for image in payload]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part; embeddings that are not finite or not of the right size are excluded."""
        kept: dict[str, np.ndarray] = {}
        exclusions: list[Exclusion] = []
        for image in payload:
            try:
                kept[image.key] = self._embedding(image)
            except DataError as error:
                exclusions.append(Exclusion(key=image.key, reason=f"face embedding: {error}", stage=STAGE))
        num_items = write_part(path, items=_items(kept))
        no_face = sum(not face_found(embedding) for embedding in kept.values())
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions), counts={"no_face": no_face})

    def _embedding(self, image: ImageRecord) -> np.ndarray:
        """(dim,) float32; zeros where no file is given. Raises DataError on a bad vector."""
        path = self._path(image)
        if not path.is_file():
            return np.zeros(self.dim, np.float32)
        embedding = decode_npy(path.read_bytes())
        if embedding.size != self.dim:
            raise DataError(f"shape {embedding.shape}, expected ({self.dim},)")
        return embedding.reshape(self.dim).astype(np.float32)

    def _hash(self, image: ImageRecord) -> str:
        path = self._path(image)
        return sha256_of_file(path) if path.is_file() else "missing"

    def _path(self, image: ImageRecord) -> Path:
        return self.face_dir / f"{image.split}_face" / f"{parse_name(image.key).flat}.npy"


def face_found(embedding: np.ndarray) -> bool:
    """Whether a given embedding is of a face: no recogniser returns zeros, so zeros mean that none was."""
    return bool(embedding.any())


def face_item(embedding: np.ndarray, *, facts: FaceFacts) -> dict[str, bytes]:
    """The members of one image's item: (dim,) float32 and what is known of it."""
    return {FACE_MEMBER: encode_npy(embedding), FACTS_MEMBER: canonical_json(asdict(facts)).encode()}


def read_facts(item: Mapping[str, bytes]) -> FaceFacts:
    """What an item's face.json says. Raises DataError when it is missing or not as written here."""
    try:
        return FaceFacts(**json.loads(item[FACTS_MEMBER]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{STAGE}: {FACTS_MEMBER} of an image is missing or damaged ({error}); run the stage again"
        ) from error


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/face: the embedding of every image, zeros where there is no face."""
    section = params.face
    is_given = section.recogniser == "precomputed"
    work, settings = (_read if is_given else _recognise)(params, workspace=workspace)
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=work,
        settings={"recogniser": section.recogniser, "dim": section.dim, **settings},
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )


def _read(params: Params, *, workspace: Workspace) -> tuple[PartWork[Images], dict[str, object]]:
    section = params.face
    face_dir = given_dir(section.precomputed_dir, dataset=params.dataset, workspace=workspace)
    return PrecomputedFaces(face_dir=face_dir, dim=section.dim), {}


def _recognise(params: Params, *, workspace: Workspace) -> tuple[PartWork[Images], dict[str, object]]:
    """The work and what shapes its bytes: not where the models lie, but what they are."""
    from mcld.stages.face_recogniser import recognised_faces  # brings OpenCV and ONNX Runtime

    section = params.face
    work = recognised_faces(
        section,
        runtime=params.runtime,
        root=workspace.root,
        image_dir=images_dir(params.dataset, workspace=workspace),
    )
    return work, {
        "detector_sha256": work.models.detector_sha256,
        "recogniser_sha256": work.models.recogniser_sha256,
        "det_size_px": section.det_size_px,
        "min_score": section.min_score,
        "batch_size": section.batch_size,  # on a GPU the sums of a batch may be added in another order
    }


def _items(embeddings: dict[str, np.ndarray]) -> Iterator[tuple[str, dict[str, bytes]]]:
    for key, embedding in embeddings.items():
        found = face_found(embedding)
        yield key, face_item(embedding, facts=FaceFacts(face_found=found, num_faces=int(found)))
