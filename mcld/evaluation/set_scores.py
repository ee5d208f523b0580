"""Numbers of a whole set of images, from their features: FIDs and KID.

    metric      features    compared with
    fid_a       fid_a       all training images                    (Fréchet distance)
    fid         fid         the targets of the same pairs          (Fréchet distance)
    clean_fid   clean_fid   the targets of the same pairs          (Fréchet distance)
    kid         fid         the targets of the same pairs          (kernel distance)

A target stands among the real images once for each pair that asks for it, as its generated images do, so that
the targets scored as if they were generated are at distance 0.

Public: `RealImages`, `SetScore`, `set_score(name, features, *, real)`, `too_few(num_images)`, `kid_note`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from mcld.evaluation.frechet import FeatureStatistics, frechet_distance
from mcld.evaluation.intervals import DECIMALS
from mcld.evaluation.kernel_distance import NUM_SUBSETS, SUBSET_SIZE, kernel_distance

FEATURE_DIM = 2048
FEATURES_OF = {"fid_a": "fid_a", "fid": "fid", "clean_fid": "clean_fid", "kid": "fid"}
Features = Mapping[str, np.ndarray]  # by kind, (N, D) float32


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScore:
    """A number of `num_images` images; `std` over the subsets, where it was taken over subsets."""

    value: float
    num_images: int
    num_real: int
    std: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealImages:
    """What sets are compared with: features for kid, and for each FID mean and covariance, fitted once."""

    features: Features
    statistics: Mapping[str, FeatureStatistics]  # by metric

    @classmethod
    def of(
        cls, targets: Features, *, names: Collection[str], train: FeatureStatistics | None = None
    ) -> RealImages:
        """For the metrics named; `train` are the training images, which fid_a alone is compared with.

        Raises DataError for fewer than two targets, and for features that are no numbers.
        """
        statistics = {
            name: FeatureStatistics.of(targets[FEATURES_OF[name]])
            for name in names
            if name not in ("fid_a", "kid")
        }
        return cls(features=targets, statistics=statistics | ({"fid_a": train} if train else {}))


def set_score(name: str, features: Features, *, real: RealImages) -> SetScore:
    """The metric of that name. Raises DataError as above."""
    kind = FEATURES_OF[name]
    found = features[kind]
    if name == "kid":
        distance = kernel_distance(found, real.features[kind])
        return SetScore(
            value=round(distance.mean, DECIMALS),
            std=round(distance.std, DECIMALS),
            num_images=len(found),
            num_real=len(real.features[kind]),
        )
    statistics = real.statistics[name]
    value = frechet_distance(FeatureStatistics.of(found), statistics)
    return SetScore(value=round(value, DECIMALS), num_images=len(found), num_real=statistics.count)


def kid_note(num_images: int) -> str:
    """How kid was taken of so many images."""
    if num_images <= SUBSET_SIZE:
        return (
            f"kid: one estimate from all {num_images} images, where {NUM_SUBSETS} subsets of "
            f"{SUBSET_SIZE:,} are usual; without bias, so that it may be below 0"
        )
    return (
        f"kid: the mean over {NUM_SUBSETS} random subsets of {SUBSET_SIZE:,} images of either set; std is "
        "that of the subsets, not of the mean"
    )


def too_few(num_images: int) -> str | None:
    """What must be said of Fréchet distances of so many images; None where there is nothing to say."""
    if num_images > FEATURE_DIM:
        return None
    return (
        f"FIDs of {num_images} images: a covariance of {FEATURE_DIM:,} features needs more, and the distance "
        "comes out too large (the fewer, the larger); compare them with FIDs of as many images alone. "
        "kid has no such bias"
    )
