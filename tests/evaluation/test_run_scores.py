"""What an evaluation wrote is read back, and runs differ over the pairs that both have."""

from __future__ import annotations

import pytest

from mcld.errors import DataError
from mcld.evaluation.run_scores import Score, difference_to, read_pair_scores, read_run_scores
from tests.evaluation.compared import keys, parquet, rows_json, run_scores

SPREAD = [0.5, 0.6, 0.4, 0.55, 0.45, 0.52, 0.48, 0.5]


def test_the_generated_row_is_read_and_sets_have_no_pairs() -> None:
    rows = rows_json({"ssim": [0.5, None]}, num_pairs=2)
    rows["sets"] = {"generated": {"fid": {"value": 7.5, "low": 7.0, "high": 8.0, "num_images": 2}}}
    scores = {"ssim": [0.5, None]}
    found = read_run_scores(rows, per_pair=parquet(scores, of=keys(2)), place="here")
    assert found.scores["fid"] == Score(value=7.5, low=7.0, high=8.0)
    assert found.scores["ssim"].value == 0.5
    assert found.pairs is not None
    assert found.pairs.of("ssim") == dict(zip(keys(2), [0.5, None], strict=True))
    assert (found.num_pairs, found.size_px) == (2, (64, 48))


@pytest.mark.parametrize(
    ("metric", "shift", "verdict"),
    [
        ("ssim", 0.1, "better"),
        ("ssim", -0.1, "worse"),
        ("colour_error_torso", 0.1, "worse"),
        ("ssim", 0.0, "none"),
    ],
)
def test_a_shift_of_all_pairs_is_a_difference_in_the_metrics_direction(
    metric: str, shift: float, verdict: str
) -> None:
    first = run_scores({metric: SPREAD})
    found = difference_to(first, run_scores({metric: [value + shift for value in SPREAD]}), name=metric)
    assert found is not None
    assert found.mean == pytest.approx(shift)
    assert (found.verdict, found.num_pairs) == (verdict, 8)


def test_pairs_are_matched_by_their_images_whatever_their_order() -> None:
    first = run_scores({"ssim": SPREAD})
    turned = run_scores({"ssim": SPREAD[::-1][:7]}, of=keys()[::-1][:7])
    found = difference_to(first, turned, name="ssim")
    assert found is not None
    assert (found.mean, found.num_pairs) == (0.0, 7)


def test_without_shared_pairs_or_scores_by_pair_there_is_no_difference() -> None:
    first = run_scores({"ssim": SPREAD})
    others = [("elsewhere/a", "elsewhere/b")] * 8
    assert difference_to(first, run_scores({"ssim": SPREAD}, of=others), name="ssim") is None
    assert difference_to(first, first, name="fid") is None
    alone = read_run_scores(rows_json({"ssim": SPREAD}, num_pairs=8), per_pair=None, place="here")
    assert difference_to(first, alone, name="ssim") is None


def test_damage_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match=r"run one: per_pair\.parquet is damaged"):
        read_pair_scores(b"no parquet", place="run one")
    with pytest.raises(DataError, match="run one: not what the stage 'evaluate' writes"):
        read_run_scores({"rows": {}}, per_pair=None, place="run one")
