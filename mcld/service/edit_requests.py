"""Edits as requests hold them: those of `mcld.inference.editing`, with donors and pictures that were sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mcld.inference.editing import REGIONS
from mcld.inference.editing.edits import Blend, Clothes, Identity, Print, Recolour
from mcld.inference.settings import COLOUR
from mcld.service.references import Id, PersonRef

# What the models check anyway, in words that a description of the service can hold.
Parts = Annotated[
    tuple[Annotated[str, Field(json_schema_extra={"enum": [*REGIONS]})], ...], Field(min_length=1)
]
Colour = Annotated[str, Field(json_schema_extra={"pattern": f"^{COLOUR.pattern}$"})]


class ClothesRequest(Clothes):
    """Parts of what the donor wears."""

    kind: Literal["clothes"]
    parts: Parts
    donor: PersonRef  # type: ignore[assignment]  # read in place of a name, never used as one


class IdentityRequest(Identity):
    """The donor's face and hair."""

    kind: Literal["identity"]
    donor: PersonRef  # type: ignore[assignment]


class RecolourRequest(Recolour):
    """Parts in a colour, #rrggbb."""

    kind: Literal["recolour"]
    parts: Parts
    colour: Colour


class PrintRequest(Print):
    """A picture, of `/v1/pictures`, on chest or back."""

    kind: Literal["print"]
    picture: Id


class BlendRequest(Blend):
    """On the way to another person."""

    kind: Literal["blend"]
    other: PersonRef  # type: ignore[assignment]


EditRequest = Annotated[
    ClothesRequest | IdentityRequest | RecolourRequest | PrintRequest | BlendRequest,
    Field(discriminator="kind"),
]
EditRequests = Annotated[
    tuple[EditRequest, ...], Field(description="Done one after the other, before the person is rendered.")
]
