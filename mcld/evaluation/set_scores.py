"""Numbers of a whole set of images, from their features: FIDs and KID.

    metric      features    compared with
    fid_a       fid_a       all training images                    (Fréchet distance)
    fid         fid         the targets of the same pairs          (Fréchet distance)
    clean_fid   clean_fid   the targets of the same pairs          (Fréchet distance)
    kid         fid         the targets of the same pairs          (kernel distance)

A target stands among the real images once for each pair that asks for it, as its generated images do, so that
the targets scored as if they were generated are at distance 0.

Public: `SetScore`, `set_score(name, features, *, targets, train)`, `too_few(num_images)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcld.errors import DataError
from mcld.evaluation.frechet import FeatureStatistics, frechet_distance
from mcld.evaluation.intervals import DECIMALS
from mcld.evaluation.kernel_distance import kernel_distance

FEATURE_DIM = 2048
MIN_IMAGES = 2
FEATURES_OF = {"fid_a": "fid_a", "fid": "fid", "clean_fid": "clean_fid", "kid": "fid"}
Features = Mapping[str, np.ndarray]  # by kind, (N, D) float32


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScore:
    """A number of `num_images` images; `std` over the subsets, where it was taken over subsets."""

    value: float
    num_images: int
    num_real: int
    std: float | None = None


def set_score(
    name: str, features: Features, *, targets: Features, train: FeatureStatistics | None
) -> SetScore:
    """The metric of that name. `train` are the training images' features, wanted by fid_a alone.

    Raises DataError for fewer than two images, and for features that are no numbers.
    """
    kind = FEATURES_OF[name]
    found = features[kind]
    if name == "kid":
        distance = kernel_distance(found, targets[kind])
        return SetScore(
            value=round(distance.mean, DECIMALS),
            std=round(distance.std, DECIMALS),
            num_images=len(found),
            num_real=len(targets[kind]),
        )
    real = train if name == "fid_a" else FeatureStatistics.of(targets[kind])
    if real is None:
        raise DataError("fid_a: needs the features of the training images; run the stage 'evaluate' again")
    value = frechet_distance(FeatureStatistics.of(found), real)
    return SetScore(value=round(value, DECIMALS), num_images=len(found), num_real=real.count)


def too_few(num_images: int) -> str | None:
    """What must be said of Fréchet distances of so many images; None where there is nothing to say."""
    if num_images > FEATURE_DIM:
        return None
    return (
        f"FIDs of {num_images} images: a covariance of {FEATURE_DIM:,} features needs more, and the distance "
        "comes out too large (the fewer, the larger); compare them with FIDs of as many images alone. "
        "kid has no such bias"
    )
