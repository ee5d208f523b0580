"""Edits as data, so that recipes, the command line, the page and the service share them.

    edits = read_edits([{"kind": "clothes", "donor": "anna", "parts": ["upper"]}], place="recipe.json")
    person = apply_edits(person, edits, people={"anna": anna}, pictures={})

Donors and pictures are named; who applies the edits brings them along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from mcld.config.section import Probability, Section
from mcld.errors import ConfigError
from mcld.inference.editing.blend import What, between
from mcld.inference.editing.clothes import wear
from mcld.inference.editing.identity import with_identity
from mcld.inference.editing.paint import Place, print_picture, recolour
from mcld.inference.editing.parts import part_numbers
from mcld.inference.photos.person import Person
from mcld.inference.settings import COLOUR

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class _OfParts(Section):
    parts: tuple[str, ...]

    @field_validator("parts")
    @classmethod
    def _are_known(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            part_numbers(parts)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("parts: ")) from error
        return parts


class Clothes(_OfParts):
    """`wear`: these parts of the donor."""

    kind: Literal["clothes"] = "clothes"
    donor: str
    strength: Probability = 1.0


class Identity(Section):
    """`with_identity`: the donor's face and hair."""

    kind: Literal["identity"] = "identity"
    donor: str
    strength: Probability = 1.0


class Recolour(_OfParts):
    """`recolour`: these parts in a colour, #rrggbb."""

    kind: Literal["recolour"] = "recolour"
    colour: str
    strength: Probability = 1.0

    @field_validator("colour")
    @classmethod
    def _is_a_colour(cls, colour: str) -> str:
        if not COLOUR.fullmatch(colour):
            raise ValueError(f"'{colour}' is unknown; write it as #rrggbb, such as #b03060")
        return colour


class Print(Section):
    """`print_picture`: a picture on chest or back."""

    kind: Literal["print"] = "print"
    picture: str
    place: Place = "chest"
    width_share: Share = 0.5
    height_share: Share = 0.5


class Blend(Section):
    """`between`: on the way to another person."""

    kind: Literal["blend"] = "blend"
    other: str
    weight: Probability
    what: What = "both"


Edit = Annotated[Clothes | Identity | Recolour | Print | Blend, Field(discriminator="kind")]
_EDITS: TypeAdapter[tuple[Edit, ...]] = TypeAdapter(tuple[Edit, ...])


def read_edits(values: object, *, place: str) -> tuple[Edit, ...]:
    """Edits from a list of plain values.

    Raises ConfigError, a sentence that begins with `place` and says what is wrong where.
    """
    try:
        return _EDITS.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("edits", *first["loc"]))
        raise ConfigError(f"{place}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def plain_edits(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Edits as JSON holds them; `read_edits` reads them back."""
    plain: list[dict[str, Any]] = _EDITS.dump_python(tuple(edits), mode="json")
    return plain


def apply_edits(
    person: Person,
    edits: Sequence[Edit],
    *,
    people: Mapping[str, Person],
    pictures: Mapping[str, np.ndarray],
) -> Person:
    """The person after all edits, one after the other.

    Raises ConfigError for a name that neither mapping holds, and what the edits raise; the names are looked
    up before anything is done.
    """
    for number, edit in enumerate(edits, start=1):
        _check_names(edit, place=f"edit {number} ({edit.kind})", people=people, pictures=pictures)
    for edit in edits:
        person = _applied(person, edit, people=people, pictures=pictures)
    return person


def _applied(
    person: Person, edit: Edit, *, people: Mapping[str, Person], pictures: Mapping[str, np.ndarray]
) -> Person:
    match edit:
        case Clothes():
            return wear(person, donor=people[edit.donor], parts=edit.parts, strength=edit.strength)
        case Identity():
            return with_identity(person, donor=people[edit.donor], strength=edit.strength)
        case Recolour():
            return recolour(person, parts=edit.parts, colour=edit.colour, strength=edit.strength)
        case Print():
            return print_picture(
                person,
                picture=pictures[edit.picture],
                place=edit.place,
                width_share=edit.width_share,
                height_share=edit.height_share,
            )
        case Blend():
            return between(person, people[edit.other], weight=edit.weight, what=edit.what)


def _check_names(
    edit: Edit, *, place: str, people: Mapping[str, Person], pictures: Mapping[str, np.ndarray]
) -> None:
    if isinstance(edit, Clothes | Identity):
        _check_known(edit.donor, known=people, place=f"{place}: donor")
    elif isinstance(edit, Blend):
        _check_known(edit.other, known=people, place=f"{place}: other")
    elif isinstance(edit, Print):
        _check_known(edit.picture, known=pictures, place=f"{place}: picture")


def _check_known(name: str, *, known: Mapping[str, object], place: str) -> None:
    if name not in known:
        choice = f"given are {', '.join(sorted(known))}" if known else "none is given"
        raise ConfigError(f"{place}: '{name}' is unknown; {choice}")
