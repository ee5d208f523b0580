"""The stage `face` with its models: the biggest face of every image, recognised in batches.

On the processor every worker finds faces on one thread; on a GPU threads read and find while it works.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mcld.conditions.face import (
    FaceCrop,
    FaceModels,
    FaceRecogniser,
    FoundFace,
    biggest_face,
    embed_crops,
    load_recogniser,
    opencv_models,
    pack_models,
)
from mcld.conditions.face.opencv_recogniser import one_opencv_thread
from mcld.config import FaceParams, RuntimeParams, num_workers
from mcld.data.columns import write_part
from mcld.devices import pick_device, visible_device_ids
from mcld.errors import ConfigError, DataError
from mcld.stages.columns import Images, read_pixels
from mcld.stages.face import STAGE, FaceFacts, face_item
from mcld.stages.parts import PartOutput, PartWork
from mcld.types import Exclusion, ImageRecord

SCORE_DIGITS, BOX_DIGITS = 4, 2  # what is stored: a hundredth of a pixel says where a face is


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedFaces(PartWork[Images]):
    """Recognises the faces of a part. Holds paths: each process loads the models at its first part."""

    models: FaceModels  # their hashes are in the stage's settings
    root_dir: Path
    batch_size: int
    num_threads: int  # that find faces; each at an image of its own
    uses_device: bool

    def inputs(self, payload: Images) -> object:
        """Every image's hash."""
        return [[image.key, image.sha256] for image in payload]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part; images without a face keep their place, unreadable ones are excluded."""
        results = dict(zip([image.key for image in payload], self._recognise(payload), strict=True))
        kept = {key: result for key, result in results.items() if not isinstance(result, str)}
        faces = [face for face in kept.values() if face is not None]
        return PartOutput(
            num_items=write_part(path, items=((key, self._item(face)) for key, face in kept.items())),
            exclusions=tuple(
                Exclusion(key=key, reason=result, stage=STAGE)
                for key, result in results.items()
                if isinstance(result, str)
            ),
            counts={
                "no_face": len(kept) - len(faces),
                "images_with_several_faces": sum(face.num_faces > 1 for face in faces),
            },
        )

    def release(self) -> None:
        """Let go of the models."""
        load_recogniser.cache_clear()

    def _recognise(self, images: Images) -> list[FoundFace | str | None]:
        """For every image its biggest face, none, or why that cannot be told."""
        recogniser = load_recogniser(self.models)
        crop = partial(_crop, root_dir=self.root_dir, recogniser=recogniser)
        with one_opencv_thread(), ThreadPoolExecutor(self.num_threads) as pool:
            crops = list(pool.map(crop, images))
            faces = embed_crops(
                recogniser,
                crops=[found for found in crops if isinstance(found, FaceCrop)],
                batch_size=self.batch_size,
            )
            return [_checked(next(faces)) if isinstance(found, FaceCrop) else found for found in crops]

    def _item(self, face: FoundFace | None) -> dict[str, bytes]:
        if face is None:
            return face_item(np.zeros(self.models.dim, np.float32), facts=FaceFacts(face_found=False))
        facts = FaceFacts(
            face_found=True,
            score=round(face.score, SCORE_DIGITS),
            box=tuple(round(float(value), BOX_DIGITS) for value in face.box),
            num_faces=face.num_faces,
        )
        return face_item(face.embedding, facts=facts)


def recognised_faces(
    params: FaceParams, *, runtime: RuntimeParams, root: Path, image_dir: Path
) -> RecognisedFaces:
    """The work of the stage, its models checked and run once. Relative paths start at `root`.

    Raises WeightsError when a model is missing or not what it should be, and ConfigError when the embedding's
    length is not `face.dim` or a GPU is asked for that cannot be used.
    """
    models = find_face_models(params, runtime=runtime, root=root)
    if models.dim != params.dim:
        raise ConfigError(
            f"face.dim: {params.dim}, but {models.recogniser_path} gives {models.dim} numbers; set face.dim "
            f"to {models.dim}, or use a recogniser of {params.dim}"
        )
    uses_device = load_recogniser(models).uses_gpu
    return RecognisedFaces(
        models=models,
        root_dir=image_dir,
        batch_size=params.batch_size,
        num_threads=num_face_threads(runtime, uses_device=uses_device),
        uses_device=uses_device,
    )


def num_face_threads(runtime: RuntimeParams, *, uses_device: bool) -> int:
    """How many threads of a process look for faces: without a GPU processes are the parallelism."""
    return max(1, num_workers(runtime) // max(1, len(visible_device_ids()))) if uses_device else 1


def find_face_models(params: FaceParams, *, runtime: RuntimeParams, root: Path) -> FaceModels:
    """The models that the section names, checked. Raises WeightsError when one is missing or another one."""
    if params.recogniser == "opencv":
        assert params.detector_path is not None  # checked by FaceParams
        assert params.recogniser_path is not None
        return opencv_models(
            root / params.detector_path,
            recogniser_path=root / params.recogniser_path,
            expected_sha256=params.expected_sha256,
            det_size_px=params.det_size_px,
            min_score=params.min_score,
        )
    assert params.models_dir is not None
    return pack_models(
        root / params.models_dir,
        pack=params.pack,
        expected_sha256=params.expected_sha256,
        det_size_px=params.det_size_px,
        min_score=params.min_score,
        device="cuda" if pick_device(runtime.device).type == "cuda" else "cpu",
        must_use_device=runtime.device == "cuda",
    )


def _crop(image: ImageRecord, *, root_dir: Path, recogniser: FaceRecogniser) -> FaceCrop | str | None:
    """The biggest face, none, or the reason of an exclusion."""
    pixels = read_pixels(image, root_dir=root_dir)
    if isinstance(pixels, str):
        return pixels
    try:
        return biggest_face(recogniser, bgr=np.ascontiguousarray(pixels[..., ::-1]))
    except DataError as error:
        return f"face: {error}"


def _checked(face: FoundFace) -> FoundFace | str:
    """The face, or why its embedding is none: zeros stand for images without a face."""
    if not np.isfinite(face.embedding).all():
        return "face embedding: array holds NaN or Inf"
    return face if face.embedding.any() else "face embedding: nothing but zeros"
