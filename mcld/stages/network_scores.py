"""The metrics that networks give, of several rows of images of the same pairs.

    per pair     lpips_alex, lpips_squeeze, face_cosine_target, face_cosine_source
    of the set   fid_a, fid, clean_fid, kid

Every picture goes through each network once, at the size of the evaluation. Features and distances are made
on GPUs where there are any (`image_sets.py`), faces are compared in `face_scores.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

from mcld.config import Params, num_workers
from mcld.devices import visible_device_ids
from mcld.evaluation.frechet import FeatureStatistics
from mcld.evaluation.judge import NETWORK_OF, DistanceKind, FeatureKind
from mcld.evaluation.metrics import Metric
from mcld.evaluation.networks import Networks
from mcld.evaluation.set_scores import FEATURES_OF, RealImages, SetScore, kid_note, set_score, too_few
from mcld.stages.face_recogniser import num_face_threads
from mcld.stages.face_scores import COSINES, FaceScores, face_note, face_scores
from mcld.stages.face_sets import FaceSetWork
from mcld.stages.image_sets import Arrays, ImageSetWork, Wanted, judge_set
from mcld.stages.mapper import Mapper
from mcld.stages.real_images import seen_targets, train_statistics
from mcld.stages.set_images import JudgedPair, SetImage, SetReader
from mcld.types import ImageRecord
from mcld.workspace import REAL_IMAGES

STAGE = "evaluate"
TARGETS = "ground_truth"  # the row of the targets themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScores:
    """By row: `per_pair` one value a pair and metric, None where undefined; `sets` a number a metric.

    `skipped` counts, by metric and reason, the pairs of the first row without a value.
    """

    per_pair: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, SetScore]] = field(default_factory=dict)
    skipped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
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
        seen, faces = self._seen(), self._faces()
        per_pair = {row: {**self._distances(seen[row]), **faces.per_pair.get(row, {})} for row in self._rows}
        first = next(iter(self.files))
        return NetworkScores(
            per_pair=per_pair,
            sets=self._sets(seen),
            skipped=faces.skipped.get(first, {}),
            notes=self._notes(),
        )

    @property
    def _rows(self) -> tuple[str, ...]:
        return (TARGETS, *self.files)

    def _names(self) -> set[str]:
        return {metric.name for metric in self.metrics}

    def _seen(self) -> dict[str, Arrays]:
        """By row what the networks see, a line a pair."""
        wanted = self._wanted()
        if not (wanted.features or wanted.distances):
            return {row: {} for row in self._rows}
        images = tuple(
            SetImage(key=f"{row} {index:06d}", file=file, target=pair.target)
            for row, files in self.files.items()
            for index, (pair, file) in enumerate(zip(self.pairs, files, strict=True))
        )
        found, _ = judge_set(
            images, work=self._work(wanted), directory=self._directory("seen"), mapper=self.mapper
        )
        found.refuse_exclusions()
        arrays, size = found.arrays(), len(self.pairs)
        rows = {
            row: {name: lines[number * size : (number + 1) * size] for name, lines in arrays.items()}
            for number, row in enumerate(self.files)
        }
        return {TARGETS: self._targets(wanted), **rows}

    def _targets(self, wanted: Wanted) -> Arrays:
        return seen_targets(
            [pair.target for pair in self.pairs],
            work=self._real_work(wanted),
            directory=self.state_dir / REAL_IMAGES,
            mapper=self.mapper,
        )

    def _train(self) -> FeatureStatistics:
        return train_statistics(
            self.images,
            work=self._real_work(Wanted(features=("fid_a",))),
            directory=self.state_dir / REAL_IMAGES,
            mapper=self.mapper,
        )

    def _real_work(self, wanted: Wanted) -> ImageSetWork:
        """The same whether files are resized or not: real images always are."""
        work = self._work(wanted)
        return replace(work, reader=replace(work.reader, resizes=False))

    def _wanted(self) -> Wanted:
        names = self._names()
        kinds = {FEATURES_OF[name] for name in names if name in FEATURES_OF}
        return Wanted(
            features=tuple(kind for kind in get_args(FeatureKind) if kind in kinds),
            distances=tuple(kind for kind in get_args(DistanceKind) if kind in names),
        )

    def _work(self, wanted: Wanted) -> ImageSetWork:
        needed = {NETWORK_OF[kind] for kind in (*wanted.features, *wanted.distances)}
        files = tuple(files for files in self.networks.files if files.name in needed)
        runtime = self.params.runtime
        num_gpus = 0 if runtime.device == "cpu" else len(visible_device_ids())
        return ImageSetWork(
            networks=Networks(files=files),
            wanted=wanted,
            reader=self._reader(),
            batch_size=self.params.evaluate.batch_size,
            num_threads=max(1, num_workers(runtime) // max(1, num_gpus)),
            device=runtime.device,
        )

    def _reader(self) -> SetReader:
        section = self.params.generate
        return SetReader(
            image_dir=self.image_dir,
            height_px=section.height_px,
            width_px=section.width_px,
            resizes=self.resizes,
        )

    def _directory(self, kind: str) -> Path:
        return self.state_dir / STAGE / self.name / kind

    def _faces(self) -> FaceScores:
        models = self.networks.faces
        if models is None or not self._names() & set(COSINES):
            return FaceScores(per_pair={}, skipped={})
        from mcld.conditions.face import load_recogniser

        runtime = self.params.runtime
        uses_device = load_recogniser(models).uses_gpu
        work = FaceSetWork(
            models=models,
            reader=self._reader(),
            batch_size=self.params.face.batch_size,
            num_threads=num_face_threads(runtime, uses_device=uses_device),
            uses_device=uses_device,
        )
        return face_scores(
            self.pairs,
            files=self.files,
            targets_row=TARGETS,
            work=work,
            directory=self._directory("faces"),
            mapper=self.mapper,
        )

    def _distances(self, seen: Arrays) -> dict[str, Sequence[float | None]]:
        names = [name for name in get_args(DistanceKind) if name in self._names()]
        return {name: [float(value) for value in seen[name]] for name in names}

    def _sets(self, seen: Mapping[str, Arrays]) -> dict[str, dict[str, SetScore]]:
        names = [metric.name for metric in self.metrics if metric.is_of_set]
        train = self._train() if "fid_a" in names else None
        real = RealImages.of(seen[TARGETS], names=names, train=train)
        return {
            row: {name: set_score(name, arrays, real=real) for name in names} for row, arrays in seen.items()
        }

    def _notes(self) -> tuple[str, ...]:
        notes = []
        few = too_few(len(self.pairs))
        if few and self._names() & {"fid_a", "fid", "clean_fid"}:
            notes.append(few)
        if "kid" in self._names():
            notes.append(kid_note(len(self.pairs)))
        if self.networks.faces is not None and self._names() & set(COSINES):
            notes.append(face_note(self.networks.faces, pack=self.params.face.pack))
        return tuple(notes)
