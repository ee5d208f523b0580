"""A verdict is right also where numbers are not numbers."""

from __future__ import annotations

import math

import pytest
import torch

from mcld.errors import DataError
from mcld.parity import Row, describe, summarise
from mcld.parity.rows import compare, compare_exactly, ratio


def test_error_is_relative_to_what_is_expected() -> None:
    row = compare("x", found=torch.tensor([3.0, 4.5]), expected=torch.tensor([3.0, 4.0]), tolerance=0.1)
    assert row.error == pytest.approx(0.1)
    assert row.passed
    assert not compare("x", found=torch.tensor(1.2), expected=torch.tensor(1.0), tolerance=0.1).passed


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_never_passes(bad: float) -> None:
    good, damaged = torch.ones(3), torch.tensor([1.0, bad, 1.0])
    for found, expected in ((good, damaged), (damaged, good), (damaged, damaged)):
        assert not compare("x", found=found, expected=expected, tolerance=1e9).passed


def test_nothing_equals_nothing_and_differs_from_everything_else() -> None:
    assert ratio(0.0, scale=0.0) == 0.0
    assert ratio(-1e-9, scale=0.0) == math.inf
    assert ratio(1.0, scale=-2.0) == 0.5
    assert math.isnan(ratio(math.nan, scale=0.0))


def test_an_exact_check_counts_what_differs() -> None:
    row = compare_exactly("x", found=torch.tensor([1, 2, 3, 4]), expected=torch.tensor([1, 2, 3, 5]))
    assert (row.error, row.tolerance, row.passed) == (0.25, 0.0, False)
    assert compare_exactly("x", found=torch.tensor([True]), expected=torch.tensor([True])).passed


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match=r"x: recorded with shape \(1, 2\), but the model gives \(2,\)"):
        compare("x", found=torch.ones(2), expected=torch.ones(1, 2), tolerance=1.0)


def test_table_shows_error_tolerance_verdict_and_place() -> None:
    rows = [
        Row(name="a", error=2e-7, tolerance=2e-5),
        Row(name="b", error=math.nan, tolerance=0.0, note="worst of 2: c"),
    ]
    assert [describe(row).split() for row in rows] == [
        ["a", "2.0e-07", "2e-05", "ok"],
        ["b", "nan", "exact", "ABOVE", "worst", "of", "2:", "c"],
    ]
    assert summarise(rows) == "2 checks, 1 above tolerance"


def test_an_infinite_tolerance_tells_the_error_and_checks_nothing() -> None:
    told = Row(name="what half precision changes", error=4.0, tolerance=math.inf)
    checked = Row(name="its input", error=0.0, tolerance=0.0)
    assert told.passed
    assert not told.is_check
    assert describe(told).split()[-3:] == ["4.0e+00", "–", "told"]
    assert summarise([told, checked]) == "1 checks, 0 above tolerance, 1 errors told"
    assert not Row(name="a NaN", error=math.nan, tolerance=math.inf).passed
