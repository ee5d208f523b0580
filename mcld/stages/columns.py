"""What the condition stages share: one part of images in, one part of a column out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mcld.config import DatasetParams
from mcld.data.codec import decode_image
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartPlan, PartWork, finish, part_name, run_parts
from mcld.storage import sha256_of_bytes
from mcld.types import ImageRecord, Manifest, Report
from mcld.workspace import Workspace

IMAGES_SETTING = (
    "images"  # of the dataset stage's manifest: the folder or zip read, below the data set's folder
)
PEOPLE_FOLDER = "people"  # where the dataset stage renders the embedded set, below its own folder
Images = tuple[ImageRecord, ...]


def images_dir(params: DatasetParams, *, workspace: Workspace) -> Path:
    """The folder that `ImageRecord.path` is relative to, in the index as it is now.

    Raises DataError when the dataset stage has not finished.
    """
    if params.source != "deepfashion":
        return dataset_dir(params, workspace=workspace)
    out_dir = workspace.stage_dir("dataset")
    images = read_manifest(out_dir).settings.get(IMAGES_SETTING)
    if not isinstance(images, str):
        raise DataError(
            f"{out_dir}: made from another source than 'deepfashion'; run the stage 'dataset' again"
        )
    path = dataset_dir(params, workspace=workspace) / images
    return out_dir if path.suffix == ".zip" else path.parent


def dataset_dir(params: DatasetParams, *, workspace: Workspace) -> Path:
    """The data set's own folder, where conditions that came with the images lie."""
    if params.source == "deepfashion":
        assert params.root_dir is not None  # checked by DatasetParams
        return workspace.root / params.root_dir
    return workspace.stage_dir("dataset") / PEOPLE_FOLDER


def given_dir(named: str | None, *, dataset: DatasetParams, workspace: Workspace) -> Path:
    """Where conditions that were made elsewhere lie: in the folder named, or else beside the images."""
    return workspace.root / named if named else dataset_dir(dataset, workspace=workspace)


def column_plans(images: Iterable[ImageRecord]) -> list[PartPlan[Images]]:
    """One plan for each part of the index: its images, never none, all of one part."""
    parts: dict[int, list[ImageRecord]] = {}
    for image in images:
        parts.setdefault(image.part, []).append(image)
    return [
        PartPlan(index=index, name=part_name(index), payload=tuple(parts[index])) for index in sorted(parts)
    ]


def run_column(
    stage: str,
    *,
    images: Iterable[ImageRecord],
    work: PartWork[Images],
    settings: dict[str, object],
    format_version: int,
    max_excluded_fraction: float,
    workspace: Workspace,
    mapper: Mapper,
) -> Report:
    """Make a whole column from `images` and say what was done."""
    started = time.monotonic()
    out_dir = workspace.stage_dir(stage)
    manifest, num_reused = run_parts(
        stage,
        out_dir=out_dir,
        settings=settings,
        format_version=format_version,
        plans=column_plans(images),
        work=work,
        mapper=mapper,
        max_excluded_fraction=max_excluded_fraction,
    )
    finish(manifest, out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def report_of(manifest: Manifest, *, num_reused: int, started: float, out_dir: Path) -> Report:
    """The report of a stage whose parts began at `started` (of time.monotonic)."""
    return Report(
        stage=manifest.stage,
        num_items=manifest.num_items,
        num_excluded=len(manifest.exclusions),
        num_reused=num_reused,
        seconds=time.monotonic() - started,
        output=out_dir,
        details=dict(manifest.counts),
    )


def read_image_bytes(image: ImageRecord, *, root_dir: Path) -> bytes:
    """The image's bytes, as the index knows them: a file, or a piece of a tar.

    Raises DataError when they are missing or have changed since.
    """
    path = root_dir / image.path
    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            file.seek(image.offset)
            data = file.read(image.num_bytes)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); restore it or run the stage 'dataset' again"
        ) from error
    is_longer = image.offset == 0 and file_bytes != image.num_bytes  # then it is no tar but a file of its own
    if is_longer or sha256_of_bytes(data) != image.sha256:
        raise DataError(f"{path}: changed since the index was made; run the stage 'dataset' again")
    return data


def read_pixels(image: ImageRecord, *, root_dir: Path) -> np.ndarray | str:
    """The image as (H, W, 3) uint8 RGB, or why it cannot be decoded: the reason of an exclusion.

    An index made from headers alone holds images whose pixels turn out to be damaged. Raises DataError, as
    `read_image_bytes`, when the file is not the one that was indexed.
    """
    data = read_image_bytes(image, root_dir=root_dir)
    try:
        pixels = decode_image(data)
    except DataError as error:
        return str(error)
    if pixels.shape[:2] != (image.height_px, image.width_px):
        raise DataError(f"{image.key}: another size than the index says; run the stage 'dataset' again")
    return pixels
