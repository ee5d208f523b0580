"""Groups of pairs: their means, which come first, and which one may call better or worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from mcld.evaluation.intervals import estimate
from mcld.evaluation.metrics import metric_named
from mcld.evaluation.pair_table import PairEntry
from mcld.evaluation.report import breakdowns, read_evaluation
from mcld.evaluation.report.whiskers import Scale
from tests.evaluation.report.pair_tables import pair_table
from tests.evaluation.report.plain_rows import cell, plain_rows

VIEWS = ["2_side"] * 8 + ["3_back"] * 8
SSIM = [0.8, 0.82, 0.78, 0.8, 0.81, 0.79, 0.8, 0.8, *(0.6, 0.62, 0.58, 0.6, 0.61, 0.59, 0.6, 0.6)]
TABLE = pair_table(
    {"generated": {"ssim": SSIM, "colour_error_torso": [1 - value for value in SSIM]}},
    views=VIEWS,
    categories=["Dresses"] * 14 + ["Pants"] * 2,
)
ROWS = {"generated": {"ssim": cell(0.7), "colour_error_torso": cell(0.3)}}


KEYS: dict[str, Callable[[PairEntry], str]] = {
    "category": lambda pair: pair.category,
    "view_pair": lambda pair: pair.view_pair,
}


def grouped() -> dict[str, dict[str, object]]:
    """As the evaluation sums them up."""
    scores, found = TABLE.scores["generated"], dict[str, dict[str, object]]()
    for kind, key in KEYS.items():
        names = [key(pair) for pair in TABLE.pairs]
        found[kind] = {
            name: {
                "num_pairs": names.count(name),
                "metrics": {
                    metric: asdict(estimate([v for v, n in zip(values, names, strict=True) if n == name]))
                    for metric, values in scores.items()
                },
            }
            for name in names
        }
    return found


def evaluation(**more: object) -> object:
    return plain_rows() | {"rows": ROWS, "groups": grouped()} | more


def test_the_hardest_view_pair_comes_first_and_is_told_apart() -> None:
    found = read_evaluation(evaluation(), place="rows.json")
    by_view, by_category = breakdowns(found, pairs=TABLE, ranked_by=metric_named("ssim"))
    assert [line.name for line in by_view.lines] == ["front → back", "front → side"]
    assert [metric.name for metric in by_view.metrics] == ["ssim", "colour_error_torso"]
    hard, easy = by_view.lines
    assert (hard.num_pairs, hard.num_outfits) == (8, 8)
    assert [cell.standing for cell in hard.cells if cell] == ["worse", "worse"]
    assert [cell.standing for cell in easy.cells if cell] == ["better", "better"]
    assert hard.cells[0] is not None
    assert hard.cells[0].score.mean == pytest.approx(0.6)
    assert hard.whiskers is not None
    assert hard.whiskers.low <= hard.whiskers.mean <= hard.whiskers.high < hard.whiskers.overall
    pants = by_category.lines[0]
    assert (pants.name, pants.num_outfits) == ("Pants", 2)
    assert [cell.standing for cell in pants.cells if cell] == ["none", "none"]  # of two outfits


def test_an_error_ranks_the_other_way_round() -> None:
    found = read_evaluation(evaluation(), place="rows.json")
    by_view, _ = breakdowns(found, pairs=TABLE, ranked_by=metric_named("colour_error_torso"))
    assert by_view.lines[0].name == "front → back"


def test_a_group_that_no_pair_is_of_and_a_kind_without_groups_hold() -> None:
    groups = {"category": {"Skirts": {"num_pairs": 5, "metrics": {"ssim": cell(0.7)}}}}
    found = read_evaluation(evaluation(groups=groups), place="rows.json")
    (by_category,) = breakdowns(found, pairs=TABLE, ranked_by=metric_named("ssim"))
    (line,) = by_category.lines
    assert (line.name, line.num_pairs, line.num_outfits) == ("Skirts", 5, None)
    assert line.cells[0] is not None
    assert line.cells[1] is None


def test_a_scale_of_one_value_or_none_holds() -> None:
    assert Scale.of([]).whiskers(None, None) is None
    assert Scale.of([]).place(0.5) == 50.0
    assert 0.0 <= Scale(low=0.4, high=0.6).place(7.0) <= 100.0
