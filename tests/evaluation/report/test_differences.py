"""The generated row beside the others, pair by pair."""

from __future__ import annotations

import pytest

from mcld.evaluation.report import differences_section, listening_lines, read_evaluation
from tests.evaluation.report.pair_tables import pair_table
from tests.evaluation.report.plain_rows import cell, plain_rows

SPREAD = (0.5, 0.6, 0.4, 0.55, 0.45, 0.52, 0.48, 0.5)
ERRORS = (0.1, 0.12, 0.08, 0.1, 0.11, 0.09, 0.1, 0.1)


def shifted(values: tuple[float, ...], *, by: float) -> list[float | None]:
    return [value + by for value in values]


def test_a_shift_of_all_pairs_is_told_in_the_metrics_direction_and_none_is_none() -> None:
    found = differences_section(
        pair_table(
            {
                "generated": {"ssim": SPREAD, "colour_error_torso": ERRORS},
                "wrong_source": {
                    "ssim": SPREAD[::-1],
                    "colour_error_torso": shifted(ERRORS, by=0.3),
                },
            }
        )
    )
    assert (found.rows, found.num_outfits) == (("wrong_source",), 8)
    same = found.between("ssim", row="wrong_source")
    worse = found.between("colour_error_torso", row="wrong_source")
    assert same is not None
    assert worse is not None
    assert same.verdict == "none"
    assert worse.verdict == "better"  # a lower error is the generated row's advantage
    assert worse.mean == pytest.approx(-0.3)


def test_few_outfits_and_undefined_pairs_show_no_difference() -> None:
    found = differences_section(
        pair_table(
            {
                "generated": {"ssim": SPREAD[:5], "psnr": SPREAD[:5]},
                "ground_truth": {"ssim": shifted(SPREAD[:5], by=0.4), "psnr": [None] * 5},
            }
        )
    )
    few = found.between("ssim", row="ground_truth")
    assert few is not None
    assert few.verdict == "none"
    assert found.between("psnr", row="ground_truth") is None
    assert found.between("ssim", row="wrong_pose") is None


def test_listening_is_told_by_the_metrics_that_must_suffer() -> None:
    table = pair_table(
        {
            "generated": {"ssim": SPREAD, "silhouette_iou": SPREAD},
            "wrong_pose": {"ssim": SPREAD, "silhouette_iou": shifted(SPREAD, by=-0.3)},
        }
    )
    rows = {row: {"ssim": cell(0.5), "silhouette_iou": cell(0.5)} for row in table.scores}
    rows["wrong_pose"]["silhouette_iou"] = cell(0.2)
    found = read_evaluation(plain_rows() | {"rows": rows}, place="rows.json")
    lines = listening_lines(found, differences=differences_section(table), row="wrong_pose")
    assert [line.metric.name for line in lines] == ["silhouette_iou", "ssim"]
    assert (lines[0].true, lines[0].wrong, lines[0].difference.verdict) == (0.5, 0.2, "better")
    assert lines[1].difference.verdict == "none"
    assert listening_lines(found, differences=differences_section(table), row="wrong_source") == ()
