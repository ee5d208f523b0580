"""A workspace as it stands before `evaluate`, of any size: few rendered people, under many names.

Every picture is read, decoded and resized as if it were another; on disk they are few (generated ones are
hard links), so that reading comes from memory. Weights are random, in the published layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.face_stand_in import write_stand_in
from mcld.config import DatasetParams, EvaluateParams, FaceParams, GenerateParams, Params, RuntimeParams
from mcld.data.codec import decode_image, encode_png
from mcld.data.columns import Column, write_part
from mcld.data.index import DatasetIndex, read_index, write_index
from mcld.data.manifest import read_manifest, write_manifest
from mcld.evaluation.protocols import ROWS, generated_path, resize
from mcld.stages import dataset, densepose
from mcld.stages.columns import images_dir
from mcld.stages.mapper import local_mapper
from mcld.stages.parts import part_name
from mcld.storage import sha256_of_file, write_bytes, write_json
from mcld.types import ImageRecord, Manifest, Pair, PartRecord
from mcld.workspace import Workspace
from tests.metric_weights import write_weights

NUM_OUTFITS = 4
IMAGES_PER_PART = 100
PACK = "stand-in"
PEOPLE_PX = (1101, 750)  # height and width of DeepFashion's large images


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSize:
    """How much there is to evaluate."""

    num_pairs: int
    num_train: int
    height_px: int
    width_px: int


def make_workspace(
    root: Path, *, size: EvaluationSize, runtime: RuntimeParams, batch_size: int, faces: bool
) -> tuple[Workspace, Params]:
    """Render a few people, and write as many images, pairs and generated pictures as asked for."""
    workspace = Workspace(root=root)
    section = write_weights(root / "bases").model_copy(update={"batch_size": batch_size})
    params = _params(size, runtime=runtime, section=section)
    mapper = local_mapper(runtime)
    for stage in (dataset, densepose):
        stage.run(params, workspace=workspace, mapper=mapper)
    garments = Column.open(workspace.stage_dir("densepose")).excluded()  # that lie flat: nobody is in them
    images = read_index(workspace.stage_dir("dataset")).images
    people = tuple(image for image in images if image.key not in garments)
    index = _many(people, size=size)
    _write_iuvs(workspace, people=people, index=index)
    _write_index(workspace, index=index)
    _write_generated(workspace, people=people, index=index, params=params)
    if faces:
        write_stand_in(root / "bases", pack=PACK)
        face = FaceParams(recogniser="insightface", models_dir="bases", pack=PACK)
        params = params.model_copy(update={"face": face})
    return workspace, params


def _params(size: EvaluationSize, *, runtime: RuntimeParams, section: EvaluateParams) -> Params:
    height_px, width_px = PEOPLE_PX
    return Params(
        dataset=DatasetParams(
            num_outfits=NUM_OUTFITS,
            num_test_outfits=1,
            height_px=height_px,
            width_px=width_px,
            damaged_items=False,
        ),
        generate=GenerateParams(num_pairs=0, height_px=size.height_px, width_px=size.width_px),
        evaluate=section,
        runtime=runtime,
    )


def _many(people: tuple[ImageRecord, ...], *, size: EvaluationSize) -> DatasetIndex:
    """Two test images an outfit, shown from each other; then those for training."""
    images = [
        _named(people[number % len(people)], number=number, split="test")
        for number in range(size.num_pairs + size.num_pairs % 2)
    ]
    pairs = [
        Pair(source=images[number ^ 1].key, target=images[number].key, split="test")
        for number in range(size.num_pairs)
    ]
    images += [
        _named(people[number % len(people)], number=len(images) + number, split="train")
        for number in range(size.num_train)
    ]
    return DatasetIndex(images=tuple(images), pairs=tuple(pairs), exclusions=())


def _named(image: ImageRecord, *, number: int, split: str) -> ImageRecord:
    outfit_key = f"{image.gender}-{image.category}-id_{number // 2:08d}-01"
    view = f"{number % 2 + 1}_{image.view.partition('_')[2]}"
    return replace(
        image,
        key=f"{outfit_key}/{view}",
        outfit_key=outfit_key,
        view=view,
        split=split,
        part=number // IMAGES_PER_PART,
    )


def _write_index(workspace: Workspace, *, index: DatasetIndex) -> None:
    directory = workspace.stage_dir("dataset")
    manifest = read_manifest(directory)
    write_manifest(directory, manifest=replace(manifest, files=write_index(directory, index=index)))


def _write_iuvs(workspace: Workspace, *, people: tuple[ImageRecord, ...], index: DatasetIndex) -> None:
    """The column `densepose`, of the test images alone."""
    directory = workspace.stage_dir("densepose")
    column = Column.open(directory)
    items = {image.path: column.read_item(image.key, part_index=image.part) for image in people}
    parts: dict[int, list[ImageRecord]] = {}
    for image in index.images:
        if image.split == "test":
            parts.setdefault(image.part, []).append(image)
    records = []
    for number, images in parts.items():
        path = directory / f"{part_name(number)}.tar"
        num_items = write_part(path, items=((image.key, items[image.path]) for image in images))
        records.append(_record(path, index=number, num_items=num_items))
    write_manifest(directory, manifest=replace(column.manifest, parts=tuple(records)))


def _record(path: Path, *, index: int, num_items: int) -> PartRecord:
    return PartRecord(
        index=index,
        path=path.name,
        sha256=sha256_of_file(path),
        num_bytes=path.stat().st_size,
        num_items=num_items,
        fingerprint="",
    )


def _write_generated(
    workspace: Workspace, *, people: tuple[ImageRecord, ...], index: DatasetIndex, params: Params
) -> None:
    """Blurred targets and sources in place of what a model would make."""
    directory = workspace.stage_dir("generate")
    rows = [row for row in ROWS if row != "ground_truth"]
    root_dir = images_dir(params.dataset, workspace=workspace)
    for row_index, row in enumerate(rows):
        for number, image in enumerate(people):
            pixels = resize(
                decode_image((root_dir / image.path).read_bytes()),
                height_px=params.generate.height_px,
                width_px=params.generate.width_px,
            )
            blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.6 + 0.4 * row_index))
            write_bytes(directory / "kinds" / f"{row}-{number:03d}.png", data=encode_png(blurred))
    by_key = {image.key: image for image in index.images}
    numbers = {image.path: number for number, image in enumerate(people)}
    listed = []
    for number, pair in enumerate(index.pairs):
        pair_id = f"{number:06d}"
        other = index.pairs[(number + 7) % len(index.pairs)].target
        shown = {"wrong_source": other, "wrong_pose": other}
        for row in rows:
            path = generated_path(directory, row=row, pair_id=pair_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = numbers[by_key[shown.get(row, pair.target)].path]
            path.hardlink_to(directory / "kinds" / f"{row}-{kind:03d}.png")
        listed.append({"id": pair_id, "source": pair.source, "target": pair.target, **shown})
    write_json(directory / "pairs.json", value=listed)
    manifest = Manifest(stage="generate", format_version=1, settings={}, parts=(), counts={})
    write_manifest(directory, manifest=manifest)
