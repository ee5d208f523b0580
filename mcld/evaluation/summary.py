"""From scores of pairs to numbers one may quote: means with intervals, and how far wrong inputs fall behind.

Whether a model listens to its inputs is asked by giving it a wrong source or a wrong pose: the distance
between that row and the true one is itself a metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcld.evaluation.intervals import DECIMALS
from mcld.evaluation.intervals import Estimate as Estimate
from mcld.evaluation.intervals import estimate as estimate
from mcld.evaluation.metrics import Metric, metric_named
from mcld.evaluation.protocols import Row

# Row to metric to one score a pair, in pair order; None where undefined.
Scores = Mapping[Row, Mapping[str, Sequence[float | None]]]

# Which metric must suffer from which wrong input.
LISTENING: tuple[tuple[str, Row], ...] = (
    ("silhouette_iou", "wrong_pose"),
    ("ssim", "wrong_pose"),
    ("colour_error_torso", "wrong_source"),
    ("colour_error_arms", "wrong_source"),
    ("colour_error_legs", "wrong_source"),
    ("colour_error_head", "wrong_source"),
    ("ssim", "wrong_source"),
    ("face_ssim", "wrong_source"),
    ("face_cosine_target", "wrong_source"),
    ("lpips_alex", "wrong_source"),
)
REFERENCES: tuple[tuple[str, Row], ...] = (
    ("silhouette_iou", "ground_truth"),
    ("ssim", "vae_reconstruction"),
    ("psnr", "vae_reconstruction"),
    ("lpips_alex", "vae_reconstruction"),
    ("lpips_squeeze", "vae_reconstruction"),
    ("face_cosine_target", "vae_reconstruction"),
)
SET_REFERENCES: tuple[Row, ...] = ("ground_truth", "vae_reconstruction")
Sets = Mapping[str, Mapping[str, Mapping[str, float]]]  # row to metric to its number under "value"


def summarise(scores: Scores, *, groups: Sequence[str] | None = None) -> dict[Row, dict[str, Estimate]]:
    """Return the estimate of every metric of every row; `groups` names every pair's outfit."""
    return {
        row: {name: estimate(values, groups=groups) for name, values in by_metric.items()}
        for row, by_metric in scores.items()
    }


def gaps(scores: Scores, *, groups: Sequence[str] | None = None) -> dict[str, Estimate]:
    """Return `metric.row` to how much better the true input scores than the wrong one, pair by pair.

    Pairs where either is undefined are counted as skipped.
    """
    found: dict[str, Estimate] = {}
    for name, row in LISTENING:
        if name in scores["generated"]:
            metric = metric_named(name)
            both = zip(scores["generated"][name], scores[row][name], strict=True)
            found[f"{name}.{row}"] = estimate(
                [_advantage(metric, true=true, wrong=wrong) for true, wrong in both],
                groups=groups,
            )
    return found


def skipped_pairs(
    scores: Mapping[str, Sequence[float | None]], *, reasons: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int | str]]:
    """Metric to how many pairs of a row have no value and why; metrics that all pairs have are left out.

    `reasons` are those that were counted one by one; the others have the registry's.
    """
    found: dict[str, dict[str, int | str]] = {}
    for name, values in scores.items():
        if count := sum(value is None for value in values):
            counted = [f"{reason}: {number}" for reason, number in reasons.get(name, {}).items()]
            reason = "; ".join(counted) or metric_named(name).undefined
            found[name] = {"count": count, "reason": reason}
    return found


def flat_metrics(
    rows: Mapping[Row, Mapping[str, Estimate]],
    *,
    found_gaps: Mapping[str, Estimate],
    num_pairs: int,
    sets: Sets | None = None,
) -> dict[str, float]:
    """Return the run's metrics as one flat table, the form that `dvc metrics` and MLflow share.

    A plain name is the generated row; `row.metric` another row; `gap.metric.row` by how much the true input
    is better; `ratio.metric.row` an error with the true input over that with the wrong one. Undefined
    values are left out.
    """
    values: dict[str, float | None] = {name: value.mean for name, value in rows["generated"].items()}
    for name, row in (*LISTENING, *REFERENCES):
        if name in rows[row]:
            values[f"{row}.{name}"] = rows[row][name].mean
    for name, gap in found_gaps.items():
        values[f"gap.{name}"] = gap.mean
        metric_name, _, row_name = name.rpartition(".")
        true, wrong = values[metric_name], values[f"{row_name}.{metric_name}"]
        if metric_name.startswith("colour_error") and true is not None and wrong:
            values[f"ratio.{name}"] = round(true / wrong, DECIMALS)
    for row, prefix in (("generated", ""), *((row, f"{row}.") for row in SET_REFERENCES)):
        found = (sets or {}).get(row, {})
        values |= {f"{prefix}{name}": score["value"] for name, score in found.items()}
    present = {name: value for name, value in values.items() if value is not None}
    return {"num_pairs": num_pairs, **present}


def _advantage(metric: Metric, *, true: float | None, wrong: float | None) -> float | None:
    return None if true is None or wrong is None else metric.advantage(true, over=wrong)
