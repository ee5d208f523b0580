"""Wear another person's clothes."""

from __future__ import annotations

from collections.abc import Sequence

from mcld.errors import DataError
from mcld.inference.editing.blend import check_alike, check_share, edited, toward
from mcld.inference.editing.look import Look, look_of
from mcld.inference.editing.parts import LIMBS, listed, part_numbers
from mcld.inference.photos.person import Person


def wear(person: Person, *, donor: Person, parts: Sequence[str], strength: float = 1.0) -> Person:
    """The person in what the donor wears on these parts of the body, names as in `parts.py`.

    Bare skin of these parts comes along: "upper" brings the donor's arms, sleeves or not, and a model gives
    their tone to the face, too; "torso" alone keeps both. A limb that the donor's photograph does not show
    stays as it is. Raises ConfigError for an unknown part or a strength outside 0..1, DataError where the
    donor shows none of the parts.
    """
    numbers = part_numbers(parts)
    check_share(strength, name="strength")
    check_alike(person, donor)
    look = look_of(donor)
    if not look.knows(numbers):
        raise DataError(
            f"{donor.origin.name}: shows nothing of {listed(parts)}; use a photograph that does, "
            "or name other parts"
        )
    worn = toward(person, look=look, parts=numbers, strength=strength)
    stays = _unseen(look, numbers=numbers)
    note = f" ({listed(stays)} as before: not seen there)" if stays else ""
    return edited(worn, edit=f"{listed(parts)} of {donor.origin.name}{note}", strength=strength)


def _unseen(look: Look, *, numbers: tuple[int, ...]) -> list[str]:
    """Limbs of which parts are asked for that the look does not know."""
    return [name for name, limb in LIMBS.items() if set(limb) & set(numbers) and not look.knows(limb)]
