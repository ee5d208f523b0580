"""Wearing another's clothes: what changes, and above all what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcld.conditions.texture_layouts import to_tiles
from mcld.errors import ConfigError, DataError
from mcld.inference.editing import REGIONS, part_numbers, wear, with_identity
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import (
    distance,
    inner_pixels,
    mean_colour,
    pixels_of,
    same,
    same_outside,
)

PAIRS = [(0, 5), (2, 1), (4, 3)]


@pytest.mark.parametrize(("index", "donor_index"), PAIRS)
@pytest.mark.parametrize("region", ["upper", "lower"])
def test_a_garment_comes_over_and_everything_else_stays(index: int, donor_index: int, region: str) -> None:
    person, donor = embedded_person(index), embedded_person(donor_index)
    worn = wear(person, donor=donor, parts=[region])
    assert same_outside(person, worn, region)
    assert np.array_equal(worn.face_embedding, person.face_embedding)
    wanted = mean_colour(donor, region)
    before = distance(mean_colour(person, region), wanted)
    assert distance(mean_colour(worn, region), wanted) < before / 2


def test_tiles_are_the_donors_with_zeros_where_the_donor_shows_nothing() -> None:
    person, donor = embedded_person(0), embedded_person(1)
    worn = to_tiles(wear(person, donor=donor, parts=["upper"]).atlas)
    rows = [part - 1 for part in part_numbers(["upper"])]
    assert np.array_equal(worn[rows], to_tiles(donor.atlas)[rows])
    assert not worn[rows].any(axis=-1).all()


def test_the_picture_has_a_colour_of_the_donor_even_where_the_donor_shows_nothing() -> None:
    person, donor = embedded_person(0, "3_back"), embedded_person(3, "1_front")
    worn = wear(person, donor=donor, parts=["torso"])
    back = person.iuv[..., 0] == 1
    darkest = donor.photo[pixels_of(donor, "torso")].min(axis=0)
    assert back.sum() > 1000
    assert (worn.photo[back] >= darkest).all()
    assert worn.photo[back].any(axis=-1).all()


@pytest.mark.parametrize(("index", "donor_index"), PAIRS)
def test_wearing_the_same_twice_changes_nothing_more(index: int, donor_index: int) -> None:
    person, donor = embedded_person(index), embedded_person(donor_index)
    once = wear(person, donor=donor, parts=["whole"])
    assert same(wear(once, donor=donor, parts=["whole"]), once)


@pytest.mark.parametrize("index", range(4))
def test_wearing_ones_own_clothes_changes_next_to_nothing(index: int) -> None:
    person = embedded_person(index)
    worn = wear(person, donor=person, parts=["whole", "head", "hands"])
    assert np.array_equal(worn.atlas, person.atlas)
    change = np.abs(worn.photo.astype(int) - person.photo).mean(axis=-1)
    # Pixels that share a texel take the last one's colour, and those of the outline an inner one's.
    assert change[inner_pixels(person)].mean() < 4
    assert change[person.iuv[..., 0] > 0].mean() < 6


def test_edits_of_different_parts_commute() -> None:
    person, first, second = embedded_person(0), embedded_person(1), embedded_person(5)
    upper_first = wear(wear(person, donor=first, parts=["upper"]), donor=second, parts=["lower"])
    lower_first = wear(wear(person, donor=second, parts=["lower"]), donor=first, parts=["upper"])
    assert same(upper_first, lower_first)
    face_last = with_identity(upper_first, donor=second)
    face_first = wear(with_identity(person, donor=second), donor=first, parts=["upper"])
    assert same(wear(face_first, donor=second, parts=["lower"]), face_last)


@settings(max_examples=12)
@given(names=st.sets(st.sampled_from(sorted(REGIONS)), min_size=1), strength=st.floats(0, 1))
def test_any_parts_at_any_strength_leave_all_others_and_the_given_people_alone(
    names: set[str], strength: float
) -> None:
    person, donor = embedded_person(0), embedded_person(1)
    before = [array.copy() for array in (person.photo, person.atlas, donor.photo, donor.atlas)]
    try:
        worn = wear(person, donor=donor, parts=sorted(names), strength=strength)
    except DataError:  # this donor's photograph ends above the feet
        assert names == {"feet"}
        return
    assert same_outside(person, worn, *names)
    after = (person.photo, person.atlas, donor.photo, donor.atlas)
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_strength_goes_from_nothing_to_the_whole_edit() -> None:
    person, donor = embedded_person(0), embedded_person(3)
    whole = wear(person, donor=donor, parts=["upper"])
    assert same(wear(person, donor=donor, parts=["upper"], strength=0), person)
    assert same(wear(person, donor=donor, parts=["upper"], strength=1), whole)
    half = wear(person, donor=donor, parts=["upper"], strength=0.5)
    mean = (person.photo.astype(float) + whole.photo) / 2
    assert np.abs(half.photo - mean).max() <= 0.5
    halfway = distance(mean_colour(half, "upper"), mean_colour(whole, "upper"))
    all_the_way = distance(mean_colour(person, "upper"), mean_colour(whole, "upper"))
    assert abs(halfway / all_the_way - 0.5) < 0.02


def test_a_limb_that_the_donor_does_not_show_stays_and_the_edit_says_so() -> None:
    person = embedded_person(3)
    donor = embedded_person(0)
    assert not pixels_of(donor, "feet").any()
    assert pixels_of(person, "feet").any()
    worn = wear(person, donor=donor, parts=["whole"])
    assert same_outside(person, worn, "torso", "arms", "legs")
    assert worn.edits == ("whole of 0-1_front.png (feet as before: not seen there)",)


def test_a_donor_who_shows_none_of_the_parts_is_told() -> None:
    with pytest.raises(DataError, match=r"0-1_front.png: shows nothing of feet; use a photograph that does"):
        wear(embedded_person(3), donor=embedded_person(0), parts=["feet"])


def test_every_edit_is_told_in_order() -> None:
    person, donor = embedded_person(0), embedded_person(1)
    worn = wear(wear(person, donor=donor, parts=["torso", "arms"]), donor=donor, parts=["legs"], strength=0.4)
    assert worn.edits == ("torso and arms of 1-1_front.png", "legs of 1-1_front.png, 40 % of it")
    assert person.edits == ()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_told(strength: float) -> None:
    with pytest.raises(ConfigError, match=r"strength: .* is outside 0..1"):
        wear(embedded_person(0), donor=embedded_person(1), parts=["upper"], strength=strength)


def test_people_of_two_models_are_told_apart() -> None:
    person, donor = embedded_person(0), embedded_person(1)
    with pytest.raises(DataError, match=r"1-1_front.png: read for another model than 0-1_front.png"):
        wear(person, donor=replace(donor, charts="densepose"), parts=["upper"])
