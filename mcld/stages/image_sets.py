"""Sets of images through the networks of the metrics, as parts: features, distances and faces of every image.

A part is an .npz of arrays with a line an image: `fid_a`, `fid`, `clean_fid` (N, 2048) float32; `lpips_alex`,
`lpips_squeeze` (N,) float32; `faces` (N, dim) float32, zeros where there is no face. Parts lie in the
workspace's own state, not among what DVC keeps: they are made again wherever they are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mcld.devices import fitting_in_memory, pick_device
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.foreign_image import read_foreign_image
from mcld.evaluation.judge import NETWORK_OF, DistanceKind, FeatureKind, Judge, load_judge
from mcld.evaluation.networks import NetworkName, Networks
from mcld.stages.ahead import ahead
from mcld.stages.columns import read_pixels
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.storage import atomic_path, sha256_of_file
from mcld.types import Exclusion, ImageRecord

if TYPE_CHECKING:
    from mcld.conditions.face import FaceCrop

STAGE = "evaluate"
FORMAT_VERSION = 1
IMAGES_PER_PART = 256
FACES = "faces"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetImage:
    """An image of a set: a generated `file`, or the data set's `record`. `target` is for distances."""

    key: str
    file: Path | None = None
    record: ImageRecord | None = None
    target: ImageRecord | None = None


SetImages = tuple[SetImage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of every image."""

    features: tuple[FeatureKind, ...] = ()
    distances: tuple[DistanceKind, ...] = ()
    faces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An image as it goes into the networks: (H, W, 3) uint8 RGB, and the biggest face in it."""

    pixels: np.ndarray
    target: np.ndarray | None
    crop: FaceCrop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSetWork(PartWork[SetImages]):
    """Puts the images of a part through the networks. The data set's may be excluded: damaged."""

    suffix = ".npz"
    uses_device = True

    networks: Networks
    wanted: Wanted
    image_dir: Path
    height_px: int
    width_px: int
    resizes: bool  # whether files of another size are brought to this one
    batch_size: int
    num_threads: int  # that read images, and look for faces in them
    device: Literal["auto", "cpu", "cuda"]

    def inputs(self, payload: SetImages) -> object:
        """The hashes of every image and its target."""
        return [[image.key, _hash(image), image.target and image.target.sha256] for image in payload]

    def build(self, payload: SetImages, *, path: Path) -> PartOutput:
        """Write the part's arrays."""
        judge = load_judge(self.networks, device=pick_device(self.device))
        exclusions: list[Exclusion] = []
        lines: dict[str, list[np.ndarray]] = {}
        crops: list[FaceCrop | None] = []
        for read in self._batches(payload, exclusions=exclusions):
            crops += [image.crop for image in read]
            with fitting_in_memory("evaluate.batch_size", value=self.batch_size):
                for name, values in self._judged(judge, read=read).items():
                    lines.setdefault(name, []).append(values)
        arrays = {name: np.concatenate(values) for name, values in lines.items()}
        if self.wanted.faces:
            arrays[FACES] = self._faces(crops)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return PartOutput(num_items=len(crops), exclusions=tuple(exclusions))

    def release(self) -> None:
        """Let go of the networks."""
        load_judge.cache_clear()
        if self.networks.faces is not None:
            from mcld.conditions.face import load_recogniser

            load_recogniser.cache_clear()

    def settings(self) -> dict[str, object]:
        """What shapes the bytes besides the images."""
        kinds: tuple[FeatureKind | DistanceKind, ...] = (*self.wanted.features, *self.wanted.distances)
        wanted: list[tuple[str, NetworkName]] = [(kind, NETWORK_OF[kind]) for kind in kinds]
        if self.wanted.faces:
            wanted.append((FACES, "face"))
        return {
            "height_px": self.height_px,
            "width_px": self.width_px,
            "resizes": self.resizes,
            "batch_size": self.batch_size,  # on a GPU the sums of a batch may be added in another order
            "networks": {kind: self.networks.fingerprint_of(network) for kind, network in wanted},
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
        pixels = self._of_file(image.file) if image.file is not None else self._of_record(image.record)
        if isinstance(pixels, str):
            return pixels
        target = self._of_record(image.target) if self.wanted.distances else None
        if isinstance(target, str):
            return target
        return _Read(pixels=pixels, target=target, crop=self._crop(pixels) if self.wanted.faces else None)

    def _of_file(self, path: Path) -> np.ndarray:
        try:
            found = read_foreign_image(
                path.read_bytes(), height_px=self.height_px, width_px=self.width_px, resizes=self.resizes
            )
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return found.pixels

    def _of_record(self, record: ImageRecord | None) -> np.ndarray | str:
        """The image at the size of the evaluation, or why it cannot be decoded."""
        assert record is not None
        pixels = read_pixels(record, root_dir=self.image_dir)
        if isinstance(pixels, str):
            return pixels
        return protocols.resize(pixels, height_px=self.height_px, width_px=self.width_px)

    def _crop(self, pixels: np.ndarray) -> FaceCrop | None:
        from mcld.conditions.face import biggest_face, load_recogniser

        assert self.networks.faces is not None
        recogniser = load_recogniser(self.networks.faces)
        return biggest_face(recogniser, bgr=np.ascontiguousarray(pixels[..., ::-1]))

    def _faces(self, crops: Sequence[FaceCrop | None]) -> np.ndarray:
        """(N, dim) float32, zeros where there is no face."""
        from mcld.conditions.face import embed_crops, load_recogniser

        assert self.networks.faces is not None
        recogniser = load_recogniser(self.networks.faces)
        found = embed_crops(
            recogniser, crops=[crop for crop in crops if crop is not None], batch_size=self.batch_size
        )
        faces = np.zeros((len(crops), self.networks.faces.dim), np.float32)
        for index, crop in enumerate(crops):
            if crop is not None:
                faces[index] = next(found).embedding
        return faces


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """A set's parts, read one by one: the features of all training images need not fit into memory."""

    directory: Path
    part_names: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]

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
    images: SetImages, *, work: ImageSetWork, directory: Path, mapper: Mapper
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


def _hash(image: SetImage) -> str:
    if image.file is not None:
        return sha256_of_file(image.file)
    assert image.record is not None
    return image.record.sha256
