"""Edits as requests hold them: those of `mcld.inference.editing`, with donors and pictures that were sent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mcld.inference.editing.edits import Blend, Clothes, Identity, Print, Recolour
from mcld.service.references import Id, PersonRef


class ClothesRequest(Clothes):
    """Parts of what the donor wears."""

    donor: PersonRef  # type: ignore[assignment]  # read in place of a name, never used as one


class IdentityRequest(Identity):
    """The donor's face and hair."""

    donor: PersonRef  # type: ignore[assignment]


class RecolourRequest(Recolour):
    """Parts in a colour, #rrggbb."""


class PrintRequest(Print):
    """A picture, of `/v1/pictures`, on chest or back."""

    picture: Id


class BlendRequest(Blend):
    """On the way to another person."""

    other: PersonRef  # type: ignore[assignment]


EditRequest = Annotated[
    ClothesRequest | IdentityRequest | RecolourRequest | PrintRequest | BlendRequest,
    Field(discriminator="kind"),
]
EditRequests = Annotated[
    tuple[EditRequest, ...], Field(description="Done one after the other, before the person is rendered.")
]
