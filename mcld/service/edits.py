"""From edits that were asked for to changes: everyone and everything that they name, found and read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mcld.errors import DataError
from mcld.inference.changes import Changes
from mcld.inference.editing.edits import Blend, Clothes, Edit, Identity, Print, Recolour
from mcld.inference.engine import Engine
from mcld.inference.recipe import PhotoUse, photo_use
from mcld.service.edit_requests import (
    BlendRequest,
    ClothesRequest,
    EditRequest,
    IdentityRequest,
    PrintRequest,
)
from mcld.service.photographs import KeptPhoto, KeptPicture
from mcld.service.references import PersonRef

One = TypeVar("One")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEdits:
    """Edits, and what they name. Names are `person-1`, `picture-1` …, in the order of first mention.

    So recipes of equal renders are equal, and hold no ids of this service.
    """

    edits: tuple[Edit, ...] = ()
    people: dict[str, tuple[KeptPhoto, int]] = field(default_factory=dict)  # photograph and number
    pictures: dict[str, KeptPicture] = field(default_factory=dict)

    def changes(self, engine: Engine) -> Changes:
        """With everyone's appearance, in the model's thread. Raises DataError."""
        people = {name: photo.person(number, engine=engine) for name, (photo, number) in self.people.items()}
        uses = {name: photo_use(person.origin.name, origin=person.origin) for name, person in people.items()}
        for name, kept in self.pictures.items():
            uses[name] = PhotoUse(path=kept.picture.name, sha256=kept.picture.sha256)
        return Changes(
            edits=self.edits,
            people=people,
            pictures={name: kept.picture.pixels for name, kept in self.pictures.items()},
            uses=uses,
        )


def named_edits(
    wanted: Sequence[EditRequest],
    *,
    max_edits: int,
    photo_of: Callable[[str], KeptPhoto],
    picture_of: Callable[[str], KeptPicture],
) -> NamedEdits:
    """Look up what they name.

    Raises DataError for too many edits or nobody of a number, and what the look-ups raise.
    """
    if len(wanted) > max_edits:
        raise DataError(f"edits: {len(wanted)} are asked for, but at most {max_edits} are done")
    named = NamedEdits()

    def person(reference: PersonRef) -> str:
        kept = photo_of(reference.photo)
        number = kept.sight(reference.person).pose.origin.number
        return _name_of((kept, number), known=named.people, kind="person")

    def picture(key: str) -> str:
        return _name_of(picture_of(key), known=named.pictures, kind="picture")

    edits = tuple(_with_names(one, person=person, picture=picture) for one in wanted)
    return NamedEdits(edits=edits, people=named.people, pictures=named.pictures)


def _with_names(
    wanted: EditRequest, *, person: Callable[[PersonRef], str], picture: Callable[[str], str]
) -> Edit:
    values = wanted.model_dump()
    match wanted:
        case ClothesRequest():
            return Clothes.model_validate({**values, "donor": person(wanted.donor)})
        case IdentityRequest():
            return Identity.model_validate({**values, "donor": person(wanted.donor)})
        case BlendRequest():
            return Blend.model_validate({**values, "other": person(wanted.other)})
        case PrintRequest():
            return Print.model_validate({**values, "picture": picture(wanted.picture)})
        case _:
            return Recolour.model_validate(values)


def _name_of(one: One, *, known: dict[str, One], kind: str) -> str:
    """Its name, a new one where it has none yet."""
    found = next((name for name, other in known.items() if other == one), None)
    name = found or f"{kind}-{len(known) + 1}"
    known[name] = one
    return name
