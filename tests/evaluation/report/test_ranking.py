"""The worst and the best pairs by one metric."""

from __future__ import annotations

import pytest

from mcld.errors import ConfigError
from mcld.evaluation.metrics import metric_named
from mcld.evaluation.report import rank_metric, rank_pairs
from tests.evaluation.report.pair_tables import pair_table

VALUES = [0.5, None, 0.9, 0.1, 0.5, 0.7]
TABLE = pair_table({"generated": {"ssim": VALUES, "colour_error_torso": VALUES}})


def ids(name: str, *, num_ranked: int) -> tuple[list[str], list[str]]:
    found = rank_pairs(TABLE, metric=metric_named(name), num_ranked=num_ranked)
    worst, best = ([one.pair.id[-1] for one in end] for end in (found.worst, found.best))
    assert found.num_scored == 5
    return worst, best


def test_ends_follow_the_metrics_direction_and_equals_their_id() -> None:
    assert ids("ssim", num_ranked=2) == (["3", "0"], ["2", "5"])
    assert ids("colour_error_torso", num_ranked=2) == (["2", "5"], ["3", "4"])


def test_no_pair_is_both_worst_and_best() -> None:
    assert ids("ssim", num_ranked=9) == (["3", "0"], ["2", "5"])
    assert ids("ssim", num_ranked=0) == ([], [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sim", "unknown metric 'sim'; did you mean 'ssim'"),
        ("?", r"unknown metric '\?'; choose one of ssim"),
        ("fid_a", "'fid_a' has no scores by pair in this evaluation; choose one of ssim, colour_error_torso"),
    ],
)
def test_a_metric_without_scores_by_pair_is_refused(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"params\.yaml: report\.rank_by: {words}"):
        rank_metric(name, pairs=TABLE)
