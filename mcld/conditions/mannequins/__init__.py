"""Find rendered people, who have no DensePose of their own: two small networks that were trained on them.

Read in this order: `networks.py` (what they are), `load.py` (from a folder), `people.py` (photograph in,
people out) and `heads.py` (what the face network is shown).
"""

from mcld.conditions.mannequins.heads import Square, head_picture, head_square
from mcld.conditions.mannequins.load import MannequinNetworks, load_networks, save_networks, shipped_networks
from mcld.conditions.mannequins.networks import (
    HEAD_PX,
    NUM_LABELS,
    FaceNetwork,
    PersonMaps,
    PersonNetwork,
    pixels_in,
)
from mcld.conditions.mannequins.people import (
    RenderedPerson,
    find_rendered_people,
    look,
)

__all__ = [
    "HEAD_PX",
    "NUM_LABELS",
    "FaceNetwork",
    "MannequinNetworks",
    "PersonMaps",
    "PersonNetwork",
    "RenderedPerson",
    "Square",
    "find_rendered_people",
    "head_picture",
    "head_square",
    "load_networks",
    "look",
    "pixels_in",
    "save_networks",
    "shipped_networks",
]
