"""Becoming somebody else in the same clothes."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.conditions.texture_layouts import to_tiles
from mcld.errors import DataError
from mcld.inference.editing import with_identity
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import distance, mean_colour, same, same_outside

PAIRS = [(0, 3), (2, 1), (4, 5)]


@pytest.mark.parametrize(("index", "donor_index"), PAIRS)
def test_face_and_head_come_over_and_clothes_stay(index: int, donor_index: int) -> None:
    person, donor = embedded_person(index), embedded_person(donor_index)
    changed = with_identity(person, donor=donor)
    assert np.array_equal(changed.face_embedding, donor.face_embedding)
    assert changed.face_found
    assert same_outside(person, changed, "head")
    assert np.array_equal(to_tiles(changed.atlas)[22:], to_tiles(donor.atlas)[22:])
    wanted = mean_colour(donor, "head")
    before = distance(mean_colour(person, "head"), wanted)
    assert distance(mean_colour(changed, "head"), wanted) < before / 2
    assert same(with_identity(changed, donor=donor), changed)


def test_strength_turns_the_face_and_keeps_its_length() -> None:
    person, donor = embedded_person(0), embedded_person(3)
    assert same(with_identity(person, donor=donor, strength=0), person)
    half = with_identity(person, donor=donor, strength=0.5)
    lengths = [float(np.linalg.norm(one.face_embedding)) for one in (person, half, donor)]
    assert np.allclose(lengths, lengths[0], rtol=1e-5)  # all embeddings of embedded people are as long
    to_person, to_donor = (half.face_embedding @ one.face_embedding for one in (person, donor))
    assert np.isclose(to_person, to_donor, rtol=1e-4)
    assert half.edits == ("face and hair of 3-1_front.png, 50 % of it",)


def test_a_person_without_a_face_gets_one() -> None:
    person, donor = embedded_person(0, "3_back"), embedded_person(3)
    assert not person.face_found
    changed = with_identity(person, donor=donor)
    assert changed.face_found
    assert np.array_equal(changed.face_embedding, donor.face_embedding)
    assert changed.face_note == ""


def test_a_donor_without_a_face_is_told_with_the_reason() -> None:
    donor = embedded_person(0, "3_back")
    with pytest.raises(DataError, match=r"0-3_back.png: has no face to take \(no face model is at hand"):
        with_identity(embedded_person(1), donor=donor)
