"""On the way from one person to another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcld.conditions.texture_layouts import to_tiles
from mcld.errors import ConfigError
from mcld.inference.editing import between, wear, with_identity
from mcld.inference.editing.blend import What, on_the_way
from mcld.inference.photos.person import Person
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import pixels_of, same, same_outside

WHATS: tuple[What, ...] = ("appearance", "identity", "both")


def test_weight_nought_is_the_first_person() -> None:
    first, second = embedded_person(0), embedded_person(3)
    for what in WHATS:
        assert same(between(first, second, weight=0, what=what), first), what


def test_weight_one_is_the_second_person_in_the_firsts_pose() -> None:
    first, second = embedded_person(0), embedded_person(3)
    blended = between(first, second, weight=1)
    assert np.array_equal(blended.atlas, second.atlas)
    assert np.array_equal(blended.face_embedding, second.face_embedding)
    background = first.iuv[..., 0] == 0
    assert np.array_equal(blended.photo[background], first.photo[background])


def test_identity_and_appearance_are_apart_and_both_is_both() -> None:
    first, second = embedded_person(0), embedded_person(3)
    face = between(first, second, weight=0.5, what="identity")
    clothes = between(first, second, weight=0.5, what="appearance")
    assert same_outside(first, face, "head")
    assert same_outside(first, clothes, "whole", "hands")
    assert np.array_equal(clothes.face_embedding, first.face_embedding)
    assert same(face, with_identity(first, donor=second, strength=0.5))
    both = between(first, second, weight=0.5)
    assert np.array_equal(both.photo, np.where(_head(first), face.photo, clothes.photo))
    assert np.array_equal(both.face_embedding, face.face_embedding)


def test_appearance_is_wearing_everything() -> None:
    first, second = embedded_person(0), embedded_person(3)
    assert same(
        between(first, second, weight=0.3, what="appearance"),
        wear(first, donor=second, parts=["whole", "hands"], strength=0.3),
    )


def test_a_texel_that_both_show_is_the_mean_of_both_and_one_that_neither_shows_stays_empty() -> None:
    first, second = embedded_person(0), embedded_person(1)
    tiles = to_tiles(between(first, second, weight=0.5, what="appearance").atlas)[:22].astype(int)
    one, other = (to_tiles(person.atlas)[:22].astype(int) for person in (first, second))
    shown, shown_by_other = one.any(axis=-1), other.any(axis=-1)
    both = shown & shown_by_other
    assert both.sum() > 1000
    assert (np.abs(2 * tiles - one - other)[both] <= 1).all()
    assert not tiles[~shown & ~shown_by_other].any()


def test_a_limb_that_only_one_shows_is_this_ones() -> None:
    cropped, full = embedded_person(0), embedded_person(3)
    feet = slice(4, 6)
    assert not to_tiles(cropped.atlas)[feet].any()
    assert to_tiles(full.atlas)[feet].any()
    for first, second in ((cropped, full), (full, cropped)):
        blended = between(first, second, weight=0.5)
        assert np.array_equal(to_tiles(blended.atlas)[feet], to_tiles(full.atlas)[feet])


def test_a_face_that_only_one_has_is_this_ones() -> None:
    faceless, seen = embedded_person(0, "3_back"), embedded_person(3)
    for first, second in ((faceless, seen), (seen, faceless)):
        blended = between(first, second, weight=0.5, what="identity")
        assert blended.face_found
        assert np.array_equal(blended.face_embedding, seen.face_embedding)
    assert not between(seen, faceless, weight=1, what="identity").face_found


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), weight=st.floats(0, 1))
def test_a_vector_on_the_way_turns_evenly_and_its_length_grows_evenly(seed: int, weight: float) -> None:
    generator = np.random.default_rng(seed)
    first, second = (
        generator.standard_normal(16).astype(np.float32) * scale for scale in generator.uniform(0.5, 30, 2)
    )
    found = on_the_way(first, second, weight=weight)
    lengths = [float(np.linalg.norm(vector)) for vector in (first, found, second)]
    assert np.isclose(lengths[1], (1 - weight) * lengths[0] + weight * lengths[2], rtol=1e-4)
    whole, part = _angle(first, second), _angle(first, found)
    assert np.isclose(part, weight * whole, atol=2e-3)


def test_a_vector_on_the_way_to_itself_or_its_opposite_stays_a_number() -> None:
    vector = np.array([3, 4], np.float32)
    assert np.allclose(on_the_way(vector, vector, weight=0.3), vector)
    assert np.allclose(on_the_way(vector, -vector, weight=0.3), vector)
    assert np.allclose(on_the_way(vector, 0 * vector, weight=0.5), vector / 2)


def test_wrong_weights_and_aspects_are_told() -> None:
    first, second = embedded_person(0), embedded_person(1)
    with pytest.raises(ConfigError, match=r"weight: 2 is outside 0..1"):
        between(first, second, weight=2)


def _head(person: Person) -> np.ndarray:
    return pixels_of(person, "head")[..., None]


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    one, other = (vector.astype(np.float64) / np.linalg.norm(vector) for vector in (first, second))
    return float(2 * np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other)))
