"""Is the generated person the target's, and the source's? Cosines of the biggest faces' identity vectors.

All pictures are looked at as they are scored, at the size of the evaluation, and each of the data set's once.
A pair without a face in one of its two pictures has no score, and is counted by where the face is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.conditions.face import FaceModels
from mcld.evaluation.judge import cosine
from mcld.stages.face_sets import FACES, FaceSetWork
from mcld.stages.image_sets import judge_set
from mcld.stages.mapper import Mapper
from mcld.stages.set_images import JudgedPair, SetImage

# Metric to what a row's picture is compared with.
COSINES = {"face_cosine_target": "target", "face_cosine_source": "source"}
NO_FACE = "no face found in the"

Faces = Mapping[str, np.ndarray]  # (dim,) float32 by the key of an image, zeros where there is no face


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceScores:
    """By row and metric: one value a pair, None without a face; and how many those are, by reason."""

    per_pair: Mapping[str, Mapping[str, Sequence[float | None]]]
    skipped: Mapping[str, Mapping[str, Mapping[str, int]]]


def face_scores(
    pairs: Sequence[JudgedPair],
    *,
    files: Mapping[str, Sequence[Path]],
    targets_row: str,
    work: FaceSetWork,
    directory: Path,
    mapper: Mapper,
) -> FaceScores:
    """Compare the pictures of all rows, `files` by row in the pairs' order; `targets_row` are the targets.

    Raises DataError for a picture that cannot be read.
    """
    faces = _faces(pairs, files=files, work=work, directory=directory, mapper=mapper)
    own = {row: [_key(row, index=index) for index in range(len(pairs))] for row in files}
    own[targets_row] = [pair.target.key for pair in pairs]
    others = {
        "target": [pair.target.key for pair in pairs],
        "source": [pair.source.key for pair in pairs],
    }
    found = {
        row: {
            metric: [
                _compared(faces[key], other=faces[other_key], name=other)
                for key, other_key in zip(keys, others[other], strict=True)
            ]
            for metric, other in COSINES.items()
        }
        for row, keys in own.items()
    }
    return FaceScores(
        per_pair={row: {name: _values(v) for name, v in scores.items()} for row, scores in found.items()},
        skipped={row: {name: _reasons(v) for name, v in scores.items()} for row, scores in found.items()},
    )


def face_note(models: FaceModels, *, pack: str) -> str:
    """By what faces are compared: a cosine means nothing without it."""
    who = f"insightface, pack {pack}" if models.library == "insightface" else "OpenCV's YuNet and SFace"
    note = (
        f"face_cosine_*: {who}: detector {models.detector_path.name} ({models.detector_sha256[:8]}), "
        f"recogniser {models.recogniser_path.name} ({models.recogniser_sha256[:8]}); the biggest face, "
        f"looked for at {models.det_size_px} px, with a score of {models.min_score:g} at least"
    )
    if models.library == "opencv":
        note += "; SFace is not the ArcFace that papers use: not comparable with theirs"
    return note


def _faces(
    pairs: Sequence[JudgedPair],
    *,
    files: Mapping[str, Sequence[Path]],
    work: FaceSetWork,
    directory: Path,
    mapper: Mapper,
) -> Faces:
    records = {record.key: record for pair in pairs for record in (pair.source, pair.target)}
    images = [SetImage(key=key, record=record) for key, record in sorted(records.items())]
    images += [
        SetImage(key=_key(row, index=index), file=path)
        for row, paths in files.items()
        for index, path in enumerate(paths)
    ]
    found, _ = judge_set(tuple(images), work=work, directory=directory, mapper=mapper)
    found.refuse_exclusions()
    return dict(zip((image.key for image in images), found.arrays()[FACES], strict=True))


def _key(row: str, *, index: int) -> str:
    return f"row {row}, pair {index:06d}"  # no image's key has a blank in it


def _compared(face: np.ndarray, *, other: np.ndarray, name: str) -> float | str:
    """Their cosine, or why there is none."""
    if not face.any():
        return f"{NO_FACE} picture"
    if not other.any():
        return f"{NO_FACE} {name}"
    return cosine(face, other)


def _values(found: Sequence[float | str]) -> list[float | None]:
    return [None if isinstance(value, str) else value for value in found]


def _reasons(found: Sequence[float | str]) -> dict[str, int]:
    return dict(Counter(value for value in found if isinstance(value, str)))
