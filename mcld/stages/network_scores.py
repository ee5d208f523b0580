"""The metrics that networks give, of several rows of images of the same pairs.

    per pair     lpips_alex, lpips_squeeze, face_cosine_target, face_cosine_source
    of the set   fid_a, fid, clean_fid, kid

Every image goes through each network once. Targets and sources are looked at as the rows are: at the size of
the evaluation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np

from mcld.config import Params, num_workers
from mcld.devices import visible_device_ids
from mcld.errors import DataError
from mcld.evaluation.frechet import FeatureStatistics
from mcld.evaluation.judge import NETWORK_OF, DistanceKind, FeatureKind, cosine
from mcld.evaluation.metrics import Metric
from mcld.evaluation.networks import Networks
from mcld.evaluation.set_scores import FEATURES_OF, SetScore, set_score, too_few
from mcld.stages.image_sets import FACES, Arrays, ImageSetWork, SetImage, SetImages, Wanted, judge_set
from mcld.stages.mapper import Mapper
from mcld.stages.train_statistics import train_statistics
from mcld.types import ImageRecord

STAGE = "evaluate"
TARGETS, SOURCES, TRAIN = "ground_truth", "sources", "train"  # sets of the data set's own images
FACE_METRICS = ("face_cosine_target", "face_cosine_source")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """A pair of the data set. Rows have a file a pair."""

    source: ImageRecord
    target: ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScores:
    """By row: `per_pair` one value a pair and metric, None where undefined; `sets` a number a metric.

    `skipped` counts, by metric, the pairs of the first row without a value, with the reason.
    """

    per_pair: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, SetScore]] = field(default_factory=dict)
    skipped: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def plain_sets(self) -> dict[str, dict[str, dict[str, float]]]:
        """`sets` as plain data, without what is not there."""
        return {
            row: {
                name: {key: value for key, value in asdict(score).items() if value is not None}
                for name, score in scores.items()
            }
            for row, scores in self.sets.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScoring:
    """What is scored, with what, and where parts are kept."""

    pairs: Sequence[JudgedPair]
    files: Mapping[str, Sequence[Path]]  # by row, in the order of `pairs`
    metrics: Sequence[Metric]  # whose networks are there
    networks: Networks
    params: Params
    image_dir: Path  # of the data set's images
    images: Collection[ImageRecord]  # of the data set: fid_a compares with those for training
    state_dir: Path  # of the workspace
    name: str  # of the folder in it that keeps the rows' parts
    mapper: Mapper
    resizes: bool = False

    def run(self) -> NetworkScores:
        """Score all rows and, as one of them, the targets themselves."""
        found = {row: self._row(row) for row in (TARGETS, *self.files)}
        train = self._train() if "fid_a" in self._names() else None
        per_pair = {row: self._per_pair(arrays, found=found) for row, arrays in found.items()}
        sets = {row: self._sets(arrays, targets=found[TARGETS], train=train) for row, arrays in found.items()}
        first = next(iter(self.files))
        return NetworkScores(
            per_pair=per_pair, sets=sets, skipped=self._skipped(per_pair[first]), notes=self._notes()
        )

    def _names(self) -> set[str]:
        return {metric.name for metric in self.metrics}

    def _row(self, row: str) -> Arrays:
        files: Sequence[Path | None] = self.files.get(row, [None] * len(self.pairs))
        images = tuple(
            SetImage(key=f"{index:06d}", file=file, record=pair.target, target=pair.target)
            for index, (pair, file) in enumerate(zip(self.pairs, files, strict=True))
        )
        return self._judged(images, wanted=self._wanted(), name=row)

    def _wanted(self) -> Wanted:
        names = self._names()
        kinds = {FEATURES_OF[name] for name in names if name in FEATURES_OF}
        return Wanted(
            features=tuple(kind for kind in get_args(FeatureKind) if kind in kinds),
            distances=tuple(kind for kind in get_args(DistanceKind) if kind in names),
            faces=bool(names & set(FACE_METRICS)),
        )

    def _judged(self, images: SetImages, *, wanted: Wanted, name: str) -> Arrays:
        found, _ = judge_set(
            images,
            work=self._work(wanted),
            directory=self.state_dir / STAGE / self.name / name,
            mapper=self.mapper,
        )
        if found.exclusions:
            first = found.exclusions[0]
            raise DataError(
                f"evaluate: {len(found.exclusions)} images of the row {name} cannot be decoded (first: "
                f"{first.reason}); run the stage 'dataset' again"
            )
        return found.arrays()

    def _work(self, wanted: Wanted) -> ImageSetWork:
        needed = {NETWORK_OF[kind] for kind in (*wanted.features, *wanted.distances)}
        networks = replace(
            self.networks,
            files=tuple(files for files in self.networks.files if files.name in needed),
            faces=self.networks.faces if wanted.faces else None,
        )
        runtime, section = self.params.runtime, self.params.generate
        num_gpus = 0 if runtime.device == "cpu" else len(visible_device_ids())
        return ImageSetWork(
            networks=networks,
            wanted=wanted,
            image_dir=self.image_dir,
            height_px=section.height_px,
            width_px=section.width_px,
            resizes=self.resizes,
            batch_size=self.params.evaluate.batch_size,
            num_threads=max(1, num_workers(runtime) // max(1, num_gpus)),
            device=runtime.device,
        )

    def _train(self) -> FeatureStatistics:
        return train_statistics(
            self.images,
            work=self._work(Wanted(features=("fid_a",))),
            directory=self.state_dir / STAGE / TRAIN,
            mapper=self.mapper,
        )

    def _per_pair(self, arrays: Arrays, *, found: Mapping[str, Arrays]) -> dict[str, Sequence[float | None]]:
        scores: dict[str, Sequence[float | None]] = {}
        for metric in self.metrics:
            if metric.name in get_args(DistanceKind):
                scores[metric.name] = [float(value) for value in arrays[metric.name]]
            elif metric.name == "face_cosine_target":
                scores[metric.name] = _cosines(arrays[FACES], found[TARGETS][FACES])
            elif metric.name == "face_cosine_source":
                scores[metric.name] = _cosines(arrays[FACES], self._source_faces())
        return scores

    def _source_faces(self) -> np.ndarray:
        """(N, dim) float32, a line a pair; every source is looked at once."""
        records = {pair.source.key: pair.source for pair in self.pairs}
        images = tuple(SetImage(key=key, record=record) for key, record in sorted(records.items()))
        faces = self._judged(images, wanted=Wanted(faces=True), name=SOURCES)[FACES]
        lines = {image.key: index for index, image in enumerate(images)}
        chosen: np.ndarray = faces[[lines[pair.source.key] for pair in self.pairs]]
        return chosen

    def _sets(
        self, arrays: Arrays, *, targets: Arrays, train: FeatureStatistics | None
    ) -> dict[str, SetScore]:
        return {
            metric.name: set_score(metric.name, arrays, targets=targets, train=train)
            for metric in self.metrics
            if metric.is_of_set
        }

    def _skipped(self, scores: Mapping[str, Sequence[float | None]]) -> dict[str, Mapping[str, object]]:
        counts = {
            name: sum(value is None for value in scores[name]) for name in FACE_METRICS if name in scores
        }
        return {
            name: {"count": count, "reason": f"no face found in the image or in its {name.split('_')[-1]}"}
            for name, count in counts.items()
            if count
        }

    def _notes(self) -> tuple[str, ...]:
        notes = []
        few = too_few(len(self.pairs))
        if few and any(name in self._names() for name in ("fid_a", "fid", "clean_fid")):
            notes.append(few)
        if self._names() & set(FACE_METRICS):
            notes.append(self._face_note())
        return tuple(notes)

    def _face_note(self) -> str:
        faces = self.networks.faces
        assert faces is not None
        pack = f", pack {self.params.face.pack}" if faces.library == "insightface" else ""
        return (
            f"face_cosine_*: the biggest face by {faces.library}{pack}, {faces.detector_path.name} "
            f"({faces.detector_sha256[:8]}) and {faces.recogniser_path.name} ({faces.recogniser_sha256[:8]})"
        )


def _cosines(faces_ND: np.ndarray, others_ND: np.ndarray) -> list[float | None]:
    pairs = zip(faces_ND, others_ND, strict=True)
    return [cosine(_present(face), _present(other)) for face, other in pairs]


def _present(face: np.ndarray) -> np.ndarray | None:
    return face if face.any() else None
