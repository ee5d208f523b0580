"""Edits with the people and pictures that they name, read from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mcld.inference.editing import Edit, apply_edits
from mcld.inference.editing.edits import Blend, Clothes, Identity, Print
from mcld.inference.photos.person import Person
from mcld.inference.photos.picture import read_picture
from mcld.inference.recipe import PhotoUse, photo_use


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is done to a person, and with what. Names are those by which the edits call them."""

    edits: tuple[Edit, ...] = ()
    people: Mapping[str, Person] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)  # (h, w, 3 or 4) uint8
    uses: Mapping[str, PhotoUse] = field(default_factory=dict)  # of all of them, for recipes

    def applied_to(self, person: Person) -> Person:
        """The person after all edits. Raises ConfigError or DataError as these do."""
        return apply_edits(person, self.edits, people=self.people, pictures=self.pictures)


def people_named(edits: Sequence[Edit]) -> tuple[str, ...]:
    """Whom the edits name, each once."""
    donors = [edit.donor for edit in edits if isinstance(edit, Clothes | Identity)]
    others = [edit.other for edit in edits if isinstance(edit, Blend)]
    return tuple(dict.fromkeys(donors + others))


def pictures_named(edits: Sequence[Edit]) -> tuple[str, ...]:
    """Which pictures the edits name, each once."""
    return tuple(dict.fromkeys(edit.picture for edit in edits if isinstance(edit, Print)))


def read_changes(
    edits: Sequence[Edit],
    *,
    person_of: Callable[[str], Person],
    bytes_of: Callable[[str], bytes],
    path_of: Callable[[str], str],
) -> Changes:
    """Read everyone and everything that the edits name. Raises DataError naming what cannot be read."""
    people = {name: person_of(name) for name in people_named(edits)}
    read = {name: read_picture(bytes_of(name), name=name) for name in pictures_named(edits)}
    uses = {name: photo_use(path_of(name), origin=person.origin) for name, person in people.items()}
    for name, picture in read.items():
        uses[name] = PhotoUse(path=path_of(name), sha256=picture.sha256)
    return Changes(
        edits=tuple(edits),
        people=people,
        pictures={name: picture.pixels for name, picture in read.items()},
        uses=uses,
    )
