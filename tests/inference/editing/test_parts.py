"""Regions by name: what they hold, and what is said of unknown ones."""

from __future__ import annotations

import pytest

from mcld.errors import ConfigError
from mcld.inference.editing.parts import BONES, LIMBS, REGIONS, listed, part_numbers


def test_every_part_belongs_to_one_limb_and_one_bone() -> None:
    assert sorted(part for limb in LIMBS.values() for part in limb) == list(range(1, 25))
    assert sorted(part for bone in BONES for part in bone) == list(range(1, 25))


def test_upper_and_lower_are_apart_and_whole_leaves_head_and_hands() -> None:
    upper, lower, whole = (set(part_numbers([name])) for name in ("upper", "lower", "whole"))
    assert not upper & lower
    assert whole == set(range(1, 25)) - set(part_numbers(["head", "hands"]))
    assert upper | lower | set(part_numbers(["feet"])) == whole


def test_arms_and_legs_are_their_halves() -> None:
    assert part_numbers(["arms"]) == part_numbers(["lower-arms", "upper-arms"]) == tuple(range(15, 23))
    assert part_numbers(["legs"]) == part_numbers(["upper-legs", "lower-legs"]) == tuple(range(7, 15))


def test_a_part_is_counted_once() -> None:
    assert part_numbers(["torso", "upper"]) == part_numbers(["upper"])


def test_an_unknown_name_is_told_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"parts: 'upper-leg' is unknown; did you mean 'upper-legs'\?"):
        part_numbers(["upper-leg"])
    with pytest.raises(ConfigError, match="parts: '§' is unknown; known parts: torso, arms, legs"):
        part_numbers(["§"])


def test_no_name_at_all_is_told() -> None:
    with pytest.raises(ConfigError, match="parts: none is named; name one or more of torso"):
        part_numbers([])


def test_names_are_listed_as_in_a_sentence() -> None:
    assert [listed(list(REGIONS)[:number]) for number in (1, 2, 3)] == [
        "torso",
        "torso and arms",
        "torso, arms and legs",
    ]
