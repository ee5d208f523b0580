"""The biggest face of every image of a set, as parts: an identity vector an image, zeros where there is none.

On the processor every worker looks for faces on one thread, since OpenCV's recogniser serves one at a time;
on a GPU threads read and find while it works, as in the stage `face`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.conditions.face import (
    FaceCrop,
    FaceModels,
    FaceRecogniser,
    biggest_face,
    embed_crops,
    load_recogniser,
)
from mcld.conditions.face.opencv_recogniser import one_opencv_thread
from mcld.errors import DataError
from mcld.stages.parts import PartOutput, PartWork
from mcld.stages.set_images import SetImage, SetImages, SetReader
from mcld.storage import atomic_path
from mcld.types import Exclusion

STAGE = "evaluate"
FACES = "faces"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSetWork(PartWork[SetImages]):
    """Writes an npz of `faces` (N, dim) float32. Each process loads the models at its first part."""

    suffix = ".npz"

    models: FaceModels
    reader: SetReader
    batch_size: int
    num_threads: int  # that read images, and look for faces in them
    uses_device: bool

    def inputs(self, payload: SetImages) -> object:
        """The hashes of every image."""
        return [image.hashes() for image in payload]

    def build(self, payload: SetImages, *, path: Path) -> PartOutput:
        """Write the part; images of the data set that cannot be decoded are excluded."""
        recogniser = load_recogniser(self.models)
        with one_opencv_thread():
            found = list(self._crops(payload, recogniser=recogniser))
            crops = [crop for crop in found if not isinstance(crop, str)]
            faces = self._embedded(crops, recogniser=recogniser)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{FACES: faces})
        exclusions = tuple(
            Exclusion(key=image.key, reason=reason, stage=STAGE)
            for image, reason in zip(payload, found, strict=True)
            if isinstance(reason, str)
        )
        return PartOutput(num_items=len(crops), exclusions=exclusions)

    def release(self) -> None:
        """Let go of the models."""
        load_recogniser.cache_clear()

    def settings(self) -> dict[str, object]:
        """What shapes the bytes besides the images."""
        models = self.models
        return {
            **self.reader.settings(),
            "batch_size": self.batch_size,
            "networks": [models.detector_sha256, models.recogniser_sha256],
            "det_size_px": models.det_size_px,
            "min_score": models.min_score,
        }

    def _crops(self, images: SetImages, *, recogniser: FaceRecogniser) -> Iterator[FaceCrop | str | None]:
        """For every image its biggest face, none, or why that cannot be told."""

        def crop(image: SetImage) -> FaceCrop | str | None:
            pixels = self.reader.image(image)
            if isinstance(pixels, str):
                return pixels
            try:
                return biggest_face(recogniser, bgr=np.ascontiguousarray(pixels[..., ::-1]))
            except DataError:  # no numbers, or points that span no face: as good as none
                return None

        with ThreadPoolExecutor(self.num_threads) as pool:
            yield from pool.map(crop, images)

    def _embedded(self, crops: list[FaceCrop | None], *, recogniser: FaceRecogniser) -> np.ndarray:
        """(N, dim) float32; zeros where there is no face, or no numbers come of it."""
        faces_ND = np.zeros((len(crops), self.models.dim), np.float32)
        lines = [index for index, crop in enumerate(crops) if crop is not None]
        found = embed_crops(
            recogniser, crops=[crop for crop in crops if crop is not None], batch_size=self.batch_size
        )
        for line, face in zip(lines, found, strict=True):
            if np.isfinite(face.embedding).all():
                faces_ND[line] = face.embedding
        return faces_ND
