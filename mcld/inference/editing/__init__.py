"""Edit a person: functions from Person to Person over what conditions are made of. No masks, no training.

    anna, ben = engine.person(...), engine.person(...)
    edited = wear(ben, donor=anna, parts=["upper"])
    edited = with_identity(edited, donor=clara)
    edited = recolour(edited, parts=["lower"], colour="#203050")
    edited = print_picture(edited, picture=logo)
    picture = engine.render([(edited, pose)], settings=RenderSettings()).pictures[0]

Every edit changes the three foci together: the texture, tile by tile; the photograph, in which the edited
parts are seen through the person's own IUV map; and, with the identity, the face embedding. `edits` gets a
sentence. Nothing that is given is changed, so that edits compose, and those of different parts in any order.

Read in this order: `parts.py` (regions by name), `charts.py` (which way tiles run), `look.py` (what a person
wears, continued to where it is not seen), `blend.py` (strength, and between two people), the edits
`clothes.py`, `identity.py` and `paint.py`, `edits.py` (edits as data) and `preview.py`.
"""

from mcld.inference.editing.blend import between
from mcld.inference.editing.clothes import wear
from mcld.inference.editing.edits import (
    Blend,
    Clothes,
    Edit,
    Identity,
    Print,
    Recolour,
    apply_edits,
    plain_edits,
    read_edits,
)
from mcld.inference.editing.identity import with_identity
from mcld.inference.editing.paint import print_picture, recolour
from mcld.inference.editing.parts import REGIONS, part_numbers
from mcld.inference.editing.preview import preview, side_by_side

__all__ = [
    "REGIONS",
    "Blend",
    "Clothes",
    "Edit",
    "Identity",
    "Print",
    "Recolour",
    "apply_edits",
    "between",
    "part_numbers",
    "plain_edits",
    "preview",
    "print_picture",
    "read_edits",
    "recolour",
    "side_by_side",
    "wear",
    "with_identity",
]
