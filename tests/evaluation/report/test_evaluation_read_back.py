"""rows.json read back: all that a version may or may not have written."""

from __future__ import annotations

import pytest

from mcld.errors import DataError
from mcld.evaluation.report import Skipped, read_evaluation
from tests.evaluation.report.plain_rows import plain_rows


def test_rows_come_in_their_order_with_all_that_was_said() -> None:
    found = read_evaluation(plain_rows(), place="rows.json")
    assert found.row_names == ("generated", "ground_truth")
    assert found.rows["generated"]["ssim"].mean == 0.75
    assert found.sets["generated"]["kid"].std == 0.002
    assert found.skipped == {"face_ssim": Skipped(count=2, reason="no head in view")}
    assert found.groups["category"]["Dresses"].num_pairs == 12


def test_what_an_earlier_version_did_not_write_is_empty() -> None:
    value = plain_rows()
    for name in ("sets", "skipped", "notes", "groups", "absent"):
        del value[name]
    found = read_evaluation(value, place="rows.json")
    assert (found.sets, found.skipped, found.notes, found.groups, found.absent) == ({}, {}, (), {}, {})


@pytest.mark.parametrize("damage", [{"rows": [1]}, {"num_pairs": "many"}, {"skipped": {"ssim": {"how": 1}}}])
def test_anything_else_is_refused_by_name(damage: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"rows\.json: not what the stage 'evaluate' writes"):
        read_evaluation(plain_rows() | damage, place="rows.json")
    with pytest.raises(DataError, match=r"rows\.json"):
        read_evaluation([], place="rows.json")
