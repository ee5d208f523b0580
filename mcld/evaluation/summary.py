"""From scores of pairs to numbers one may quote: means with intervals, and how far wrong inputs fall behind.

Whether a model listens to its inputs is asked by giving it a wrong source or a wrong pose: the distance
between that row and the true one is itself a metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcld.evaluation.metrics import Metric, metric_named
from mcld.evaluation.protocols import Row

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
DECIMALS = 6

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
)
REFERENCES: tuple[tuple[str, Row], ...] = (
    ("silhouette_iou", "ground_truth"),
    ("ssim", "vae_reconstruction"),
    ("psnr", "vae_reconstruction"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over the pairs where the score is defined, with its 95 % bootstrap interval; "
    "None without any."""

    mean: float | None
    low: float | None
    high: float | None
    num_scored: int
    num_skipped: int


def estimate(values: Sequence[float | None]) -> Estimate:
    """Return mean and percentile bootstrap interval over pairs (Efron 1979).

    Equal values give equal intervals.
    """
    scored = np.array([value for value in values if value is not None], np.float64)
    if not len(scored):
        return Estimate(mean=None, low=None, high=None, num_scored=0, num_skipped=len(values))
    generator = np.random.default_rng(len(scored))
    means = np.array(
        [scored[generator.integers(0, len(scored), len(scored))].mean() for _ in range(NUM_RESAMPLES)]
    )
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(
        mean=_rounded(scored.mean()),
        low=_rounded(low),
        high=_rounded(high),
        num_scored=len(scored),
        num_skipped=len(values) - len(scored),
    )


def summarise(scores: Scores) -> dict[Row, dict[str, Estimate]]:
    """Return the estimate of every metric of every row."""
    return {
        row: {name: estimate(values) for name, values in by_metric.items()}
        for row, by_metric in scores.items()
    }


def gaps(scores: Scores) -> dict[str, Estimate]:
    """Return `metric.row` to how much better the true input scores than the wrong one, pair by pair.

    Pairs where either is undefined are counted as skipped.
    """
    found: dict[str, Estimate] = {}
    for name, row in LISTENING:
        if name in scores["generated"]:
            metric = metric_named(name)
            both = zip(scores["generated"][name], scores[row][name], strict=True)
            found[f"{name}.{row}"] = estimate(
                [_advantage(metric, true=true, wrong=wrong) for true, wrong in both]
            )
    return found


def flat_metrics(
    rows: Mapping[Row, Mapping[str, Estimate]], *, found_gaps: Mapping[str, Estimate], num_pairs: int
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
    present = {name: value for name, value in values.items() if value is not None}
    return {"num_pairs": num_pairs, **present}


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # adding zero turns -0.0 into 0.0


def _advantage(metric: Metric, *, true: float | None, wrong: float | None) -> float | None:
    return None if true is None or wrong is None else metric.advantage(true, over=wrong)
