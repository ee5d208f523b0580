"""Means, intervals and gaps, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.evaluation.protocols import ROWS, Row
from mcld.evaluation.summary import estimate, flat_metrics, gaps, summarise

TABLE: dict[Row, dict[str, list[float | None]]] = {
    row: {
        "silhouette_iou": [0.5, 0.5],
        "ssim": [0.5, 0.5],
        "psnr": [None, None],
        "colour_error_torso": [0.3, 0.5],
    }
    for row in ROWS
}
TABLE["generated"] = {
    "silhouette_iou": [0.8, 0.9],
    "ssim": [0.7, 0.9],
    "psnr": [20.0, None],
    "colour_error_torso": [0.1, None],
}


def test_undefined_scores_are_counted_not_averaged() -> None:
    found = estimate([1.0, None, 3.0])
    assert (found.mean, found.num_scored, found.num_skipped) == (2.0, 2, 1)
    nothing = estimate([None, None])
    assert (nothing.mean, nothing.low, nothing.num_scored, nothing.num_skipped) == (None, None, 0, 2)


def test_interval_is_that_of_a_mean_and_repeats_itself() -> None:
    values = list(np.random.default_rng(0).normal(5.0, 2.0, 400))
    found = estimate(values)
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.15)  # normal theory
    assert estimate(values) == found


def test_a_gap_says_how_much_better_the_true_input_is() -> None:
    found = gaps(TABLE)
    assert found["silhouette_iou.wrong_pose"].mean == pytest.approx(0.35)
    # Only the first pair has both; lower is better, so 0.3 against 0.1 is an advantage of 0.2.
    assert found["colour_error_torso.wrong_source"].mean == pytest.approx(0.2)
    assert found["colour_error_torso.wrong_source"].num_skipped == 1


def test_flat_metrics_hold_rows_gaps_and_ratios_and_no_undefined_value() -> None:
    flat = flat_metrics(summarise(TABLE), found_gaps=gaps(TABLE), num_pairs=2)
    assert flat["num_pairs"] == 2
    assert flat["silhouette_iou"] == pytest.approx(0.85)
    assert flat["wrong_pose.silhouette_iou"] == pytest.approx(0.5)
    assert flat["gap.silhouette_iou.wrong_pose"] == pytest.approx(0.35)
    assert flat["ratio.colour_error_torso.wrong_source"] == pytest.approx(0.1 / 0.4)
    assert flat["psnr"] == 20.0
    assert "vae_reconstruction.psnr" not in flat
