"""Become another person, in the same clothes."""

from __future__ import annotations

from mcld.errors import DataError
from mcld.inference.editing.blend import check_alike, check_share, edited, face_toward, toward
from mcld.inference.editing.look import look_of
from mcld.inference.editing.parts import HEAD
from mcld.inference.photos.person import Person


def with_identity(person: Person, *, donor: Person, strength: float = 1.0) -> Person:
    """The person with the donor's face and hair: face embedding, head of the texture, head in the picture.

    Skin of arms, legs and hands stays the person's: which of their texels are bare is not known. So does hair
    outside of the body's outline in the picture. Raises ConfigError for a strength outside 0..1, DataError
    where the donor shows no face.
    """
    check_share(strength, name="strength")
    check_alike(person, donor)
    look = look_of(donor)
    if not donor.face_found or not look.knows(HEAD):
        reason = donor.face_note or "no head is seen"
        raise DataError(
            f"{donor.origin.name}: has no face to take ({reason}); use a photograph that shows the face well"
        )
    changed = face_toward(person, other=donor, strength=strength)
    changed = toward(changed, look=look, parts=HEAD, strength=strength)
    return edited(changed, edit=f"face and hair of {donor.origin.name}", strength=strength)
