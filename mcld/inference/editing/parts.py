"""Regions of the body by name, and the DensePose parts that they are made of.

A garment's border is not a part's. Trousers and skirts begin on the torso's lowest part, and bare arms
belong to
"upper" as sleeves do: what is worn there comes along.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from mcld.errors import ConfigError

HEAD = (23, 24)

_TORSO = (1, 2)
_UPPER_ARMS = (15, 16, 17, 18)
_LOWER_ARMS = (19, 20, 21, 22)
_UPPER_LEGS = (7, 8, 9, 10)
_LOWER_LEGS = (11, 12, 13, 14)
_HANDS = (3, 4)
_FEET = (5, 6)

# Tiles around one bone, on both sides of the body: at the same height they mostly show the same cloth or
# skin.
BONES = (_TORSO, _UPPER_ARMS, _LOWER_ARMS, _UPPER_LEGS, _LOWER_LEGS, _HANDS, _FEET, HEAD)

# What is seen at all is decided for a limb as a whole, from hip or shoulder to the end of its second bone.
LIMBS = {
    "torso": _TORSO,
    "arms": _UPPER_ARMS + _LOWER_ARMS,
    "legs": _UPPER_LEGS + _LOWER_LEGS,
    "hands": _HANDS,
    "feet": _FEET,
    "head": HEAD,
}

REGIONS: dict[str, tuple[int, ...]] = {
    **LIMBS,
    "upper-arms": _UPPER_ARMS,
    "lower-arms": _LOWER_ARMS,
    "upper-legs": _UPPER_LEGS,
    "lower-legs": _LOWER_LEGS,
    "upper": LIMBS["torso"] + LIMBS["arms"],
    "lower": LIMBS["legs"],
    # Not head and hands: they are who the person is, not what the person wears. Shoes are clothes.
    "whole": LIMBS["torso"] + LIMBS["arms"] + LIMBS["legs"] + LIMBS["feet"],
}


def part_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """The parts, 1 to 24, of regions by name, each once, in order.

    Raises ConfigError for no name, or an unknown one.
    """
    if not names:
        raise ConfigError(f"parts: none is named; name one or more of {', '.join(REGIONS)}")
    for name in names:
        if name not in REGIONS:
            close = difflib.get_close_matches(name, REGIONS, n=1, cutoff=0.4)
            hint = f"did you mean '{close[0]}'?" if close else f"known parts: {', '.join(REGIONS)}"
            raise ConfigError(f"parts: '{name}' is unknown; {hint}")
    return tuple(sorted({part for name in names for part in REGIONS[name]}))


def listed(names: Sequence[str]) -> str:
    """Names as a sentence holds them: "torso", "torso and arms", "torso, arms and feet"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
