"""The real images that generated ones are compared with: all training images, and the targets of test pairs.

What networks see in them is kept by a fingerprint of the images, their size and the networks, in the
workspace's own state: looked at once for a data set, however many evaluations follow, of rows, folders and
checkpoints. Of the training images only mean and covariance are kept: protocol A's FID asks no more.
"""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from mcld.evaluation.frechet import FeatureStatistics, StatisticsAccumulator
from mcld.evaluation.judge import FeatureKind
from mcld.evaluation.set_scores import FEATURE_DIM
from mcld.stages.image_sets import Arrays, ImageSetWork, JudgedSet, judge_set
from mcld.stages.mapper import Mapper
from mcld.stages.set_images import SetImage
from mcld.storage import atomic_path, fingerprint
from mcld.types import ImageRecord

FORMAT_VERSION = 1
KIND: FeatureKind = "fid_a"
logger = logging.getLogger(__name__)


def train_statistics(
    images: Collection[ImageRecord], *, work: ImageSetWork, directory: Path, mapper: Mapper
) -> FeatureStatistics:
    """Of all images of the split `train` that can be decoded; `work` says at which size, by which network.

    Raises DataError when there are fewer than two.
    """
    chosen = [image for image in images if image.split == "train"]
    made_from = [FORMAT_VERSION, work.settings(), [image.sha256 for image in chosen]]
    name = f"train-{fingerprint(made_from)[:32]}"
    path = directory / f"{name}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    set_images = tuple(SetImage(key=image.key, record=image) for image in chosen)
    found, _ = judge_set(set_images, work=work, directory=directory / name, mapper=mapper)
    if found.exclusions:
        logger.warning("fid_a: %d training images cannot be decoded and are left out", len(found.exclusions))
    statistics = _accumulated(found)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            mean=statistics.mean,
            covariance=statistics.covariance,
            count=np.array(statistics.count),
        )
    shutil.rmtree(found.directory)
    return statistics


def seen_targets(
    targets: Sequence[ImageRecord], *, work: ImageSetWork, directory: Path, mapper: Mapper
) -> Arrays:
    """What the networks of `work` see in the targets, in their order: each image is looked at once.

    Distances are those of each target to itself. Raises DataError when one cannot be decoded.
    """
    unique = {target.key: target for target in targets}
    images = tuple(SetImage(key=key, record=unique[key], target=unique[key]) for key in sorted(unique))
    name = fingerprint([FORMAT_VERSION, work.settings(), [unique[image.key].sha256 for image in images]])[:32]
    found, _ = judge_set(images, work=work, directory=directory / f"targets-{name}", mapper=mapper)
    found.refuse_exclusions()
    lines = {image.key: index for index, image in enumerate(images)}
    order = [lines[target.key] for target in targets]
    return {name: values[order] for name, values in found.arrays().items()}


def _accumulated(found: JudgedSet) -> FeatureStatistics:
    accumulator = StatisticsAccumulator(FEATURE_DIM)
    for part in found.parts():
        if KIND in part:  # not in one whose images are all left out
            accumulator.add(part[KIND])
    return accumulator.statistics()


def _read(path: Path) -> FeatureStatistics | None:
    """What was kept; None where nothing was, or where it is damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return FeatureStatistics(
                mean=file["mean"], covariance=file["covariance"], count=int(file["count"])
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s: damaged (%s); the training images' features are computed again", path, error)
        return None
