"""Previews: the edited photograph beside its texture."""

from __future__ import annotations

import numpy as np

from mcld.inference.editing import preview, recolour, side_by_side
from mcld.inference.photos.person import Person
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import pixels_of


def test_photograph_and_texture_stand_side_by_side_as_high() -> None:
    shown = preview(embedded_person(0))
    assert shown.shape == (384, 264 + 8 + 256, 3)  # 256 x 176 and 384 x 256, brought to 384
    assert shown.dtype == np.uint8
    assert (shown[:, 264:272] == 255).all()
    assert np.array_equal(shown[:, 272:], embedded_person(0).atlas)


def test_what_was_edited_is_seen() -> None:
    person = embedded_person(0)
    both = side_by_side(person, recolour(person, parts=["torso"], colour="#2040d0"))
    before, after = both[:384], both[392:]
    assert before.shape == after.shape
    changed = np.argwhere((before[:, :264] != after[:, :264]).any(axis=-1)) / 1.5  # 384 to 256
    assert torso_box(person) == (*changed.min(axis=0).round(-1), *changed.max(axis=0).round(-1))


def torso_box(person: Person) -> tuple[float, ...]:
    """Top, left, bottom, right, to the nearest ten pixels."""
    places = np.argwhere(pixels_of(person, "torso")).astype(float)
    return (*places.min(axis=0).round(-1), *places.max(axis=0).round(-1))
