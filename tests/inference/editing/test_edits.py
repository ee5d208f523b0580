"""Edits as data: JSON there and back, names looked up, sentences for what is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mcld.errors import ConfigError
from mcld.inference.editing import (
    Blend,
    Clothes,
    Edit,
    Identity,
    Print,
    Recolour,
    apply_edits,
    between,
    plain_edits,
    print_picture,
    read_edits,
    recolour,
    wear,
    with_identity,
)
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import same

LOGO = np.full((10, 10, 3), 200, np.uint8)
ALL: tuple[Edit, ...] = (
    Clothes(donor="anna", parts=("upper", "feet"), strength=0.5),
    Identity(donor="ben"),
    Recolour(parts=("lower",), colour="#203050"),
    Print(picture="logo", place="back", width_share=0.3),
    Blend(other="ben", weight=0.25, what="appearance"),
)


def test_edits_go_to_json_and_back() -> None:
    assert read_edits(json.loads(json.dumps(plain_edits(ALL))), place="recipe.json") == ALL


def test_what_is_left_out_is_the_usual() -> None:
    values = [{"kind": "clothes", "donor": "anna", "parts": ["upper"]}, {"kind": "print", "picture": "logo"}]
    assert read_edits(values, place="recipe.json") == (
        Clothes(donor="anna", parts=("upper",), strength=1.0),
        Print(picture="logo", place="chest", width_share=0.5, height_share=0.5),
    )


def test_edits_are_applied_one_after_the_other() -> None:
    person, anna, ben = embedded_person(0), embedded_person(1), embedded_person(3)
    applied = apply_edits(person, ALL, people={"anna": anna, "ben": ben}, pictures={"logo": LOGO})
    expected = wear(person, donor=anna, parts=["upper", "feet"], strength=0.5)
    expected = with_identity(expected, donor=ben)
    expected = recolour(expected, parts=["lower"], colour="#203050")
    expected = print_picture(expected, picture=LOGO, place="back", width_share=0.3)
    expected = between(expected, ben, weight=0.25, what="appearance")
    assert same(applied, expected)
    assert applied.edits == expected.edits
    assert len(applied.edits) == len(ALL)


def test_no_edits_give_the_person_back() -> None:
    person = embedded_person(0)
    assert apply_edits(person, (), people={}, pictures={}) is person


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            Clothes(donor="eve", parts=("upper",)),
            r"edit 2 \(clothes\): donor: 'eve' is unknown; given are a, b",
        ),
        (Identity(donor="eve"), r"edit 2 \(identity\): donor: 'eve' is unknown"),
        (Blend(other="eve", weight=1), r"edit 2 \(blend\): other: 'eve' is unknown"),
        (Print(picture="a"), r"edit 2 \(print\): picture: 'a' is unknown; none is given"),
    ],
)
def test_a_name_that_is_not_given_is_told_with_those_that_are(edit: Edit, sentence: str) -> None:
    people = {"b": embedded_person(1), "a": embedded_person(0)}
    first = Recolour(parts=("torso",), colour="#ffffff")
    with pytest.raises(ConfigError, match=sentence):
        apply_edits(embedded_person(0), (first, edit), people=people, pictures={})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"kind": "clothes", "donor": "a", "parts": ["uper"]}, r"'uper' is unknown; did you mean 'upper'\?"),
        ({"kind": "clothes", "donor": "a", "parts": []}, "none is named"),
        ({"kind": "clothes", "donor": "a", "parts": ["upper"], "strength": 2}, "less than or equal to 1"),
        ({"kind": "recolour", "parts": ["torso"], "colour": "red"}, "'red' is unknown; write it as #rrggbb"),
        ({"kind": "print", "picture": "a", "place": "leg"}, "'chest' or 'back'"),
        ({"kind": "blend", "other": "a", "weight": -1}, "greater than or equal to 0"),
        ({"kind": "identity", "donor": "a", "mood": "glad"}, "mood: Extra inputs are not permitted"),
        ({"kind": "haircut"}, "expected tags: 'clothes', 'identity', 'recolour', 'print', 'blend'"),
        ("clothes", "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(value: Any, sentence: str) -> None:
    good = {"kind": "identity", "donor": "a"}
    with pytest.raises(ConfigError, match=rf"recipe.json: edits\.1.*{sentence}"):
        read_edits([good, value], place="recipe.json")
