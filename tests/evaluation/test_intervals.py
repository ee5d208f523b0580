"""Intervals over outfits: known answers, and what is not said."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.evaluation.intervals import MIN_GROUPS, estimate, paired_difference

EIGHT = [f"outfit-{number}" for number in range(8)]


def test_equal_scores_differ_by_nothing() -> None:
    found = paired_difference([0.1] * 8, [0.1] * 8, groups=EIGHT)
    assert (found.mean, found.low, found.high, found.verdict) == (0.0, 0.0, 0.0, "none")
    assert (found.num_pairs, found.num_groups, found.num_skipped) == (8, 8, 0)


def test_a_constant_shift_is_found_whatever_the_scores() -> None:
    second = list(np.random.default_rng(0).random(8))
    first = [value + 0.25 for value in second]
    found = paired_difference(first, second, groups=EIGHT)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.verdict == "better"


@pytest.mark.parametrize(
    ("shift", "direction", "verdict"),
    [
        (1.0, "higher", "better"),
        (-1.0, "higher", "worse"),
        (1.0, "lower", "worse"),
        (-1.0, "lower", "better"),
    ],
)
def test_the_verdict_knows_which_way_is_up(shift: float, direction: str, verdict: str) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 8)
    found = paired_difference(list(shift + noise), [0.0] * 8, groups=EIGHT, direction=direction)  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high


def test_a_difference_whose_interval_holds_zero_is_none() -> None:
    found = paired_difference([1, -1, 1, -1, 1, -1, 1, 0], [0.0] * 8, groups=EIGHT)
    assert found.mean == 0.125
    assert found.verdict == "none"


def test_pairs_of_one_outfit_are_not_news() -> None:
    """Ten outfits, 20 equal pairs each: as much as ten pairs say, not as 200 would."""
    of_outfit = np.random.default_rng(2).normal(0, 1, 10)
    values = list(np.repeat(of_outfit, 20))
    by_outfit = estimate(values, groups=[f"o{number // 20}" for number in range(200)])
    by_pair = estimate(values)
    assert width(by_outfit) > 3 * width(by_pair)
    assert by_outfit == estimate_of_each(list(of_outfit), num_scored=200)


def estimate_of_each(values: list[float], *, num_scored: int) -> object:
    from dataclasses import replace

    return replace(estimate(values), num_scored=num_scored)


def width(found: object) -> float:
    return found.high - found.low  # type: ignore[attr-defined, no-any-return]


def test_big_outfits_weigh_as_many_pairs_as_they_have() -> None:
    found = estimate([1.0, 1.0, 1.0, 0.0], groups=["a", "a", "a", "b"])
    assert found.mean == 0.75
    assert (found.low, found.high) == (0.0, 1.0)  # two outfits: all that draws can show


def test_few_outfits_get_wider_intervals_than_percentiles() -> None:
    """With ten groups Student's t is 2.26 and not 1.96: known from theory, not from the code."""
    ratios = []
    for seed in range(20):
        values = np.random.default_rng(seed).normal(0, 1, 10)
        student = 2 * 2.262 * values.std(ddof=1) / np.sqrt(10)
        ratios.append(width(estimate(list(values))) / student)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_few_outfits_show_nothing_even_if_they_agree() -> None:
    few = EIGHT[: MIN_GROUPS - 1]
    found = paired_difference([1.0] * len(few), [0.0] * len(few), groups=few)
    assert (found.mean, found.low, found.verdict) == (1.0, 1.0, "none")
    assert (
        paired_difference([1.0] * MIN_GROUPS, [0.0] * MIN_GROUPS, groups=EIGHT[:MIN_GROUPS]).verdict
        == "better"
    )


def test_one_outfit_has_no_interval() -> None:
    found = paired_difference([1.0, 2.0], [0.0, 0.0], groups=["a", "a"])
    assert (found.mean, found.low, found.high, found.verdict) == (1.5, None, None, "none")
    assert (estimate([1.0, 2.0], groups=["a", "a"]).low, estimate([1.0]).high) == (None, None)


def test_pairs_that_either_lacks_are_skipped_and_counted() -> None:
    found = paired_difference([1.0, None, 3.0], [0.5, 1.0, None], groups=["a", "b", "c"])
    assert (found.mean, found.num_pairs, found.num_skipped, found.num_groups) == (0.5, 1, 2, 1)
    nothing = paired_difference([None], [1.0], groups=["a"])
    assert (nothing.mean, nothing.num_pairs, nothing.verdict) == (None, 0, "none")


def test_the_order_of_pairs_does_not_matter_and_the_seed_does() -> None:
    values = list(np.random.default_rng(3).random(24))
    groups = [f"o{number % 8}" for number in range(24)]
    found = estimate(values, groups=groups)
    assert estimate(values[::-1], groups=groups[::-1]) == found
    assert estimate(values, groups=groups, seed=1) != found


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0], groups=["a", "b"])
    with pytest.raises(ValueError, match="zip"):
        estimate([1.0, 2.0], groups=["a"])
