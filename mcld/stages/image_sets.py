"""Sets of images through the networks of the metrics, as parts: features and distances of every image.

A part is an .npz of arrays with a line an image: `fid_a`, `fid`, `clean_fid` (N, 2048) float32; `lpips_alex`,
`lpips_squeeze` (N,) float32. Faces have parts of their own (`face_sets.py`). Parts lie in the workspace's own
state, not among what DVC keeps: they are made again wherever they are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mcld.devices import fitting_in_memory, pick_device
from mcld.errors import DataError
from mcld.evaluation.judge import NETWORK_OF, DistanceKind, FeatureKind, Judge, load_judge
from mcld.evaluation.networks import Networks
from mcld.stages.ahead import ahead
from mcld.stages.face_sets import FaceSetWork
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.stages.set_images import SetImage, SetImages, SetReader
from mcld.storage import atomic_path
from mcld.types import Exclusion

STAGE = "evaluate"
FORMAT_VERSION = 1
IMAGES_PER_PART = 256
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of every image."""

    features: tuple[FeatureKind, ...] = ()
    distances: tuple[DistanceKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An image as it goes into the networks, and its target: (H, W, 3) uint8 RGB."""

    pixels: np.ndarray
    target: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSetWork(PartWork[SetImages]):
    """Puts the images of a part through the networks. The data set's may be excluded: damaged."""

    suffix = ".npz"
    uses_device = True

    networks: Networks
    wanted: Wanted
    reader: SetReader
    batch_size: int
    num_threads: int  # that read images
    device: Literal["auto", "cpu", "cuda"]

    def inputs(self, payload: SetImages) -> object:
        """The hashes of every image and its target."""
        return [image.hashes() for image in payload]

    def build(self, payload: SetImages, *, path: Path) -> PartOutput:
        """Write the part's arrays."""
        judge = load_judge(self.networks, device=pick_device(self.device))
        exclusions: list[Exclusion] = []
        lines: dict[str, list[np.ndarray]] = {}
        num_items = 0
        for read in self._batches(payload, exclusions=exclusions):
            num_items += len(read)
            with fitting_in_memory("evaluate.batch_size", value=self.batch_size):
                for name, values in self._judged(judge, read=read).items():
                    lines.setdefault(name, []).append(values)
        arrays = {name: np.concatenate(values) for name, values in lines.items()}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions))

    def release(self) -> None:
        """Let go of the networks."""
        load_judge.cache_clear()

    def settings(self) -> dict[str, object]:
        """What shapes the bytes besides the images."""
        kinds: tuple[FeatureKind | DistanceKind, ...] = (*self.wanted.features, *self.wanted.distances)
        return {
            **self.reader.settings(),
            "batch_size": self.batch_size,  # on a GPU the sums of a batch may be added in another order
            "networks": {kind: self.networks.sha256_of(NETWORK_OF[kind]) for kind in kinds},
        }

    def _batches(self, images: SetImages, *, exclusions: list[Exclusion]) -> Iterator[list[_Read]]:
        """Batches of images, read ahead; what cannot be read goes to `exclusions`."""
        starts = range(0, len(images), self.batch_size)
        batches = (images[start : start + self.batch_size] for start in starts)
        with ThreadPoolExecutor(self.num_threads) as pool:
            for batch, found in ahead(batches, read=self._read, pool=pool):
                readable = [read for read in found if isinstance(read, _Read)]
                exclusions += [
                    Exclusion(key=image.key, reason=reason, stage=STAGE)
                    for image, reason in zip(batch, found, strict=True)
                    if isinstance(reason, str)
                ]
                if readable:
                    yield readable

    def _judged(self, judge: Judge, *, read: Sequence[_Read]) -> Arrays:
        images_BHWC = np.stack([image.pixels for image in read])
        found: Arrays = {kind: judge.features(images_BHWC, kind=kind) for kind in self.wanted.features}
        if self.wanted.distances:
            targets_BHWC = np.stack([image.target for image in read if image.target is not None])
            for kind in self.wanted.distances:
                found[kind] = judge.distances(images_BHWC, targets_BHWC, kind=kind)
        return found

    def _read(self, image: SetImage) -> _Read | str:
        pixels = self.reader.image(image)
        if isinstance(pixels, str):
            return pixels
        target = self.reader.record(image.target) if self.wanted.distances else None
        return target if isinstance(target, str) else _Read(pixels=pixels, target=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """A set's parts, read one by one: the features of all training images need not fit into memory."""

    directory: Path
    part_names: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]

    def refuse_exclusions(self) -> None:
        """Raises DataError when an image was left out: the others' lines would be taken for its."""
        if self.exclusions:
            first = self.exclusions[0]
            raise DataError(
                f"evaluate: {len(self.exclusions)} images of test pairs cannot be decoded (first: "
                f"{first.key}: {first.reason}); run the stage 'dataset' again"
            )

    def parts(self) -> Iterator[Arrays]:
        """The arrays of every part, in order."""
        for name in self.part_names:
            with np.load(self.directory / name, allow_pickle=False) as file:
                yield {key: file[key] for key in file.files}

    def arrays(self) -> Arrays:
        """All parts as one."""
        parts = list(self.parts())
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def judge_set(
    images: SetImages, *, work: ImageSetWork | FaceSetWork, directory: Path, mapper: Mapper
) -> tuple[JudgedSet, int]:
    """Put a set through the networks; what is there already is reused. Returns how many parts were."""
    starts = range(0, len(images), IMAGES_PER_PART)
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=directory,
        settings=work.settings(),
        format_version=FORMAT_VERSION,
        plans=[
            PartPlan(index=index, name=part_name(index), payload=images[start : start + IMAGES_PER_PART])
            for index, start in enumerate(starts)
        ],
        work=work,
        mapper=mapper,
    )
    finish(manifest, out_dir=directory)
    names = tuple(record.path for record in manifest.parts)
    return JudgedSet(directory=directory, part_names=names, exclusions=manifest.exclusions), num_reused
