"""The seam between a scored folder and the metrics that need weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcld.config import Params
from mcld.evaluation.metrics import absent_metrics
from mcld.types import ImageRecord
from mcld.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """A picture of an image folder that was scored, and the images of its pair."""

    path: Path
    source: ImageRecord
    target: ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedScores:
    """What the metrics with weights say of a folder.

    `per_pair` has one value an image, in their order, None where undefined; `sets` the metrics of the whole
    set, as in rows.json; `absent` why a metric has no value.
    """

    per_pair: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def weighted_scores(
    images: Sequence[ScoredImage], *, params: Params, workspace: Workspace, resizes: bool
) -> WeightedScores:
    """Score the pictures with every network whose weights are there."""
    section = params.generate
    return WeightedScores(absent=absent_metrics(height_px=section.height_px, width_px=section.width_px))
