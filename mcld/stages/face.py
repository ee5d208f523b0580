"""Image to face embedding. `precomputed` takes vectors in the format of the authors' published conditions.

An image without a face keeps its place: zeros, and `face_found` false. `no_face` counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.config import Params
from mcld.data.codec import decode_npy, encode_npy
from mcld.data.columns import write_part
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, images_dir, run_column
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "face"
FORMAT_VERSION = 1
FACE_MEMBER = "face.npy"


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
    """Whether an embedding is of a face: no recogniser returns zeros, so zeros mean that none was found."""
    return bool(embedding.any())


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/face: the embedding of every image, zeros where there is no face."""
    section = params.face
    given_dir = workspace.root / section.precomputed_dir if section.precomputed_dir else None
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=PrecomputedFaces(
            face_dir=given_dir or images_dir(params.dataset, workspace=workspace), dim=section.dim
        ),
        settings={"recogniser": section.recogniser, "dim": section.dim},
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )


def _items(embeddings: dict[str, np.ndarray]) -> Iterator[tuple[str, dict[str, bytes]]]:
    for key, embedding in embeddings.items():
        yield key, {FACE_MEMBER: encode_npy(embedding)}
