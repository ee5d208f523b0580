"""The generated row by category and by view pair: where the model is good, and where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mcld.evaluation.intervals import MIN_GROUPS, Estimate
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.pair_table import PairEntry, PairTable
from mcld.evaluation.report.differences import GENERATED
from mcld.evaluation.report.evaluation import Evaluation, GroupScores
from mcld.evaluation.report.whiskers import Scale, Whiskers

# What a reader of a breakdown asks for; all others are in per_pair.parquet.
SHOWN = (
    "ssim",
    "psnr",
    "lpips_alex",
    "face_cosine_target",
    "face_ssim",
    "silhouette_iou",
    "colour_error_torso",
)
KINDS: Mapping[str, tuple[str, Callable[[PairEntry], str]]] = {
    "view_pair": ("By view pair", lambda pair: pair.view_pair),
    "category": ("By category", lambda pair: pair.category),
}

Standing = Literal["better", "worse", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCell:
    """A metric over a group; `standing` is how it lies to the mean of all pairs, if that can be said."""

    score: Estimate
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLine:
    """One group of pairs. `num_outfits` is None where no pair is of a group of that name."""

    name: str
    num_pairs: int
    num_outfits: int | None
    cells: tuple[GroupCell | None, ...]
    whiskers: Whiskers | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """One way to divide the pairs: groups, the worst of `ranked_by` first, and `metrics` as columns."""

    title: str
    ranked_by: Metric
    metrics: tuple[Metric, ...]
    lines: tuple[GroupLine, ...]


def breakdowns(found: Evaluation, *, pairs: PairTable, ranked_by: Metric) -> tuple[Breakdown, ...]:
    """The groups that the evaluation summed up; of each the pairs tell how many outfits speak."""
    scored = pairs.scores.get(GENERATED, {})
    metrics = tuple(
        metric for metric in METRICS if metric.name in scored and metric.name in {*SHOWN, ranked_by.name}
    )
    return tuple(
        _breakdown(
            title,
            groups=found.groups[kind],
            num_outfits=_num_outfits(pairs, key=key),
            overall=found.rows[GENERATED],
            metrics=metrics,
            ranked_by=ranked_by,
        )
        for kind, (title, key) in KINDS.items()
        if found.groups.get(kind)
    )


def _num_outfits(pairs: PairTable, *, key: Callable[[PairEntry], str]) -> dict[str, int]:
    outfits: dict[str, set[str]] = {}
    for pair in pairs.pairs:
        outfits.setdefault(key(pair), set()).add(pair.outfit)
    return {name: len(found) for name, found in outfits.items()}


def _breakdown(
    title: str,
    *,
    groups: Mapping[str, GroupScores],
    num_outfits: Mapping[str, int],
    overall: Mapping[str, Estimate],
    metrics: tuple[Metric, ...],
    ranked_by: Metric,
) -> Breakdown:
    def rank(name: str) -> tuple[bool, float, str]:
        score = groups[name].metrics.get(ranked_by.name)
        if score is None or score.mean is None:
            return True, 0.0, name
        return False, score.mean if ranked_by.direction == "higher" else -score.mean, name

    scale = Scale.of([group.metrics.get(ranked_by.name) for group in groups.values()])
    lines = tuple(
        GroupLine(
            name=name,
            num_pairs=groups[name].num_pairs,
            num_outfits=num_outfits.get(name),
            cells=tuple(
                _cell(
                    groups[name].metrics.get(metric.name),
                    metric=metric,
                    overall=overall.get(metric.name),
                    num_outfits=num_outfits.get(name),
                )
                for metric in metrics
            ),
            whiskers=scale.whiskers(groups[name].metrics.get(ranked_by.name), overall.get(ranked_by.name)),
        )
        for name in sorted(groups, key=rank)
    )
    return Breakdown(title=title, ranked_by=ranked_by, metrics=metrics, lines=lines)


def _cell(
    score: Estimate | None, *, metric: Metric, overall: Estimate | None, num_outfits: int | None
) -> GroupCell | None:
    if score is None:
        return None
    standing: Standing = "none"
    mean = overall.mean if overall else None
    if mean is not None and score.low is not None and score.high is not None and num_outfits is not None:
        is_apart = score.low > mean or score.high < mean
        if is_apart and num_outfits >= MIN_GROUPS:
            standing = "better" if (score.low > mean) == (metric.direction == "higher") else "worse"
    return GroupCell(score=score, standing=standing)
