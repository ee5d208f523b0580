"""What each visible point is made of: skin, hair, cloth or leather, and its colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.data.mannequins.drape import BOOT_TOP, TUCKED_FROM
from mcld.data.mannequins.face import paint_head
from mcld.data.mannequins.parts import (
    ARM_L,
    ARM_R,
    BODY,
    COLLAR,
    FOOT_L,
    FOOT_R,
    HAIR,
    HAND_L,
    HAND_R,
    HEAD,
    LEG_L,
    LEG_R,
    SKIRT,
    TORSO,
)
from mcld.data.mannequins.patterns import draw_fabric, draw_logo, linear
from mcld.data.mannequins.people import Mannequin
from mcld.data.mannequins.wardrobe import WAIST_ALONG, Bottom, Colour, Outfit, Top

SKIN, HAIR_STUFF, TOP, BOTTOM, OUTER, SHOE = range(6)
_TORSO_M, _TORSO_TURN_M, _ARM_BONE_M, _ARM_TURN_M, _LEG_BONE_M, _LEG_TURN_M = (
    0.655,
    0.96,
    0.27,
    0.34,
    0.43,
    0.54,
)
_SEAM = 0.008  # width of a stitched edge, in "along"


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Surface coordinates of visible points, one row each."""

    limb: np.ndarray  # (P,)
    layer: np.ndarray  # (P,)
    around: np.ndarray  # (P,) turns
    along: np.ndarray  # (P,)
    rest: np.ndarray  # (P, 3); filled for head and hair


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """Colour and stuff of visible points."""

    albedo: np.ndarray  # (P, 3) linear light
    stuff: np.ndarray  # (P,) int8: SKIN, HAIR_STUFF, TOP, ...


def paint(mannequin: Mannequin, *, points: Points) -> Painted:
    """Dress the visible points: the layers of an outfit from skin outwards."""
    skin = linear(mannequin.identity.skin)
    albedo = np.repeat(skin[None], len(points.limb), 0)
    stuff = np.zeros(len(points.limb), dtype=np.int8)
    painters = (
        ((TORSO,), _torso),
        ((ARM_L, ARM_R), _arm),
        ((LEG_L, LEG_R), _leg),
        ((FOOT_L, FOOT_R), _foot),
        ((HAND_L, HAND_R), _hand),
    )
    for limbs, painter in painters:
        chosen = np.flatnonzero(np.isin(points.limb, limbs))
        if chosen.size:
            painter(mannequin.outfit, _take(points, chosen), chosen, albedo, stuff)
    _head(mannequin, points, skin, albedo, stuff)
    return Painted(albedo=albedo, stuff=stuff)


def _take(points: Points, chosen: np.ndarray) -> Points:
    return Points(
        limb=points.limb[chosen],
        layer=points.layer[chosen],
        around=points.around[chosen],
        along=points.along[chosen],
        rest=points.rest[chosen],
    )


def _head(
    mannequin: Mannequin, points: Points, skin: np.ndarray, albedo: np.ndarray, stuff: np.ndarray
) -> None:
    chosen = np.flatnonzero((points.limb == HEAD) & (points.layer == BODY))
    if chosen.size:
        albedo[chosen], hair = paint_head(mannequin.identity, rest=points.rest[chosen], skin=skin)
        stuff[chosen] = np.where(hair > 0.5, HAIR_STUFF, SKIN)
    chosen = np.flatnonzero(points.layer == HAIR)
    albedo[chosen] = linear(mannequin.identity.hair)
    stuff[chosen] = HAIR_STUFF
    chosen = np.flatnonzero(stuff == HAIR_STUFF)
    turns = points.around[chosen]
    strands = (
        1
        + 0.13 * np.sin(2 * np.pi * turns * 31 + 5 * points.along[chosen])
        + 0.10 * np.sin(2 * np.pi * turns * 67 + 2)
    )
    albedo[chosen] *= strands[:, None]


def front_distance_m(around: np.ndarray) -> np.ndarray:
    """Metres across the chest from its middle line, positive to the person's left."""
    return (np.mod(around + 0.25, 1.0) - 0.5) * _TORSO_TURN_M


def _torso(outfit: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, stuff: np.ndarray) -> None:
    x, along = front_distance_m(points.around), points.along
    y = along * _TORSO_M
    turns = points.around
    tucked = outfit.top.hem > TUCKED_FROM
    lower = along < WAIST_ALONG
    _dress_in(
        outfit.bottom.fabric, lower, BOTTOM, chosen, albedo, stuff, turns=turns, y=y, turn_m=_TORSO_TURN_M
    )
    upper = (along >= (WAIST_ALONG if tucked else outfit.top.hem)) & ~_neck_hole(outfit.top, x=x, along=along)
    _dress_in(outfit.top.fabric, upper, TOP, chosen, albedo, stuff, turns=turns, y=y, turn_m=_TORSO_TURN_M)
    _chest_details(outfit.top, x, along, upper, chosen, albedo)
    if tucked:
        band = np.abs(along - WAIST_ALONG + 0.02) < 0.026
        dark = np.array([0.05, 0.03, 0.02]) if outfit.bottom.belt else 0.72 * albedo[chosen[band]]
        albedo[chosen[band]] = dark
    if outfit.outer is not None:
        opening = 0.045 + 0.05 * np.clip(0.75 - along, 0, 1) + 0.12 * np.clip(along - 0.86, 0, 1)
        covered = (along >= outfit.outer.hem) & (np.abs(x) > opening)
        _dress_in(
            outfit.outer.fabric, covered, OUTER, chosen, albedo, stuff, turns=turns, y=y, turn_m=_TORSO_TURN_M
        )
        _jacket_details(outfit.outer, x, along, covered, opening, chosen, albedo)
    _collar(outfit, points, chosen, albedo, stuff)


def _collar(
    outfit: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, stuff: np.ndarray
) -> None:
    where = chosen[points.layer == COLLAR]
    if outfit.outer is not None and outfit.outer.sleeve > 0:
        albedo[where] = 0.75 * linear(outfit.outer.fabric.colours[0]) + 0.25 * linear(
            outfit.outer.fabric.colours[1]
        )
        stuff[where] = OUTER
    else:
        albedo[where] = 0.93 * linear(outfit.top.fabric.colours[0])
        stuff[where] = TOP


def _neck_hole(top: Top, *, x: np.ndarray, along: np.ndarray) -> np.ndarray:
    front = np.abs(x) < 0.25
    across = np.abs(x)
    lowest, half = {"crew": (0.925, 0.075), "v": (0.80, 0.085), "scoop": (0.85, 0.10)}.get(
        top.neckline, (0.90, 0.045)
    )
    if top.neckline in ("v", "collar", "open"):
        edge = lowest + (0.965 - lowest) * np.clip(across / half, 0, 1)
    else:
        edge = lowest + (0.965 - lowest) * np.clip(across / half, 0, 1) ** 2.5
    if top.neckline == "collar":  # the collar hides the rest of the neck
        return np.asarray((along > edge) & (across < half))
    edge = np.where(front, edge, 0.955)
    hole = along > edge
    if top.sleeve == 0:  # straps: bare shoulders
        hole |= (along > 0.82) & (across > 0.105) & (across < 0.48 - 0.105) & (along > 0.82)
    return np.asarray(hole)


def _dress_in(
    fabric: object,
    mask: np.ndarray,
    kind: int,
    chosen: np.ndarray,
    albedo: np.ndarray,
    stuff: np.ndarray,
    *,
    turns: np.ndarray,
    y: np.ndarray,
    turn_m: float,
) -> None:
    where = chosen[mask]
    if where.size:
        albedo[where] = draw_fabric(fabric, turns=turns[mask], along_m=y[mask], circumference_m=turn_m)  # type: ignore[arg-type]
        stuff[where] = kind


def _chest_details(
    top: Top, x: np.ndarray, along: np.ndarray, upper: np.ndarray, chosen: np.ndarray, albedo: np.ndarray
) -> None:
    front = upper & (np.abs(x) < 0.25)
    y = (along - 0.69) * _TORSO_M
    if top.logo:
        print_ = np.where(front, draw_logo(top.logo, x_m=x, y_m=y), 0)
        for level in (1, 2):
            albedo[chosen[print_ == level]] = linear(top.fabric.colours[level])
    if top.trim or top.neckline == "collar":
        rim = upper & _neck_hole(top, x=x, along=along + 0.024)
        albedo[chosen[rim]] = linear(top.fabric.colours[2]) if top.trim else 0.8 * albedo[chosen[rim]]
    if top.buttons:
        placket = front & (np.abs(x) < 0.0135)
        albedo[chosen[placket]] *= 0.90
        spot = np.hypot(x, np.mod(along * _TORSO_M, 0.062) - 0.031) < 0.0058
        albedo[chosen[front & spot]] = 0.75 * linear(top.fabric.colours[1]) + 0.05
    hem = upper & (np.abs(along - top.hem - 0.028) < 0.003)
    albedo[chosen[hem]] *= 0.86


def _jacket_details(
    outer: Top,
    x: np.ndarray,
    along: np.ndarray,
    covered: np.ndarray,
    opening: np.ndarray,
    chosen: np.ndarray,
    albedo: np.ndarray,
) -> None:
    dark = linear(outer.fabric.colours[1])
    edge = np.abs(x) - opening
    lapel = covered & (edge < 0.034 * np.clip((along - 0.52) / 0.25, 0, 1)) & (along > 0.52) & (along < 0.955)
    albedo[chosen[lapel]] = 0.55 * albedo[chosen[lapel]] + 0.45 * dark
    seam = covered & (edge < 0.004)
    albedo[chosen[seam]] *= 0.7
    pocket = covered & (np.abs(along - 0.33) < 0.007) & (np.abs(np.abs(x) - 0.135) < 0.038)
    albedo[chosen[pocket]] = dark
    if outer.buttons:
        spot = np.hypot(np.abs(x) - opening - 0.014, np.mod(along * _TORSO_M, 0.09) - 0.045) < 0.0075
        albedo[chosen[covered & spot & (along < 0.6)]] = 0.4 * dark


def _arm(outfit: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, stuff: np.ndarray) -> None:
    y = -points.along * _ARM_BONE_M + 0.88 * _TORSO_M  # stripes of chest and sleeve meet at the armpit
    for top, kind in ((outfit.top, TOP), (outfit.outer, OUTER)):
        if top is not None and top.sleeve > 0:
            mask = points.along < top.sleeve
            _dress_in(
                top.fabric, mask, kind, chosen, albedo, stuff, turns=points.around, y=y, turn_m=_ARM_TURN_M
            )
            _trim(
                top.fabric.colours[2] if top.trim else None,
                np.abs(points.along - top.sleeve + 0.03) < 0.03,
                chosen,
                albedo,
                mask=mask,
            )


def _trim(
    colour: Colour | None, edge: np.ndarray, chosen: np.ndarray, albedo: np.ndarray, *, mask: np.ndarray
) -> None:
    where = chosen[edge & mask]
    albedo[where] = linear(colour) if colour is not None else 0.88 * albedo[where]


def _leg(outfit: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, stuff: np.ndarray) -> None:
    bottom, along = outfit.bottom, points.along
    skirt = points.layer == SKIRT
    if outfit.boots:
        boot = ~skirt & (along > BOOT_TOP)
        albedo[chosen[boot]] = linear(outfit.shoes)
        stuff[chosen[boot]] = SHOE
    y = -along * _LEG_BONE_M + 0.15 * _TORSO_M
    turns = np.where(skirt, _skirt_turns(points), points.around)
    for mask, turn_m in (
        (skirt, _TORSO_TURN_M),
        (~skirt & (along < bottom.hem) & (not bottom.skirt), _LEG_TURN_M),
    ):
        _dress_in(bottom.fabric, mask, BOTTOM, chosen, albedo, stuff, turns=turns, y=y, turn_m=turn_m)
        _leg_details(bottom, points, mask, chosen, albedo)


def _leg_details(
    bottom: Bottom, points: Points, mask: np.ndarray, chosen: np.ndarray, albedo: np.ndarray
) -> None:
    hem = mask & (np.abs(points.along - bottom.hem + 0.045) < _SEAM)
    albedo[chosen[hem]] *= 0.80
    if not bottom.skirt:
        outer = np.where(points.limb == LEG_L, 0.5, 0.0)
        side = np.abs(np.mod(points.around - outer + 0.5, 1.0) - 0.5) < 0.008
        albedo[chosen[mask & side]] *= 0.82


def _skirt_turns(points: Points) -> np.ndarray:
    """Leg turns to turns around the body, so that a dress's pattern runs from bodice to skirt."""
    turn = np.mod(points.around, 1.0)
    left = 0.25 + 0.5 * turn
    right = np.where(turn < 0.5, 0.5 * turn, 0.5 + 0.5 * turn)
    return np.asarray(np.where(points.limb == LEG_L, left, right))


def _foot(outfit: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, stuff: np.ndarray) -> None:
    turn = np.mod(points.around, 1.0)
    albedo[chosen] = linear(outfit.shoes)
    sole = (turn > 0.53) & (turn < 0.97)
    albedo[chosen[sole]] = linear(outfit.sole)
    stuff[chosen] = SHOE


def _hand(_: Outfit, points: Points, chosen: np.ndarray, albedo: np.ndarray, __: np.ndarray) -> None:
    place = points.along / 0.8
    fingers = (points.along < 0.8) & (place > 0.52)
    # Three grooves on back and palm part four fingers.
    across = np.cos(2 * np.pi * points.around)
    width = -np.sin(2 * np.pi * points.around)
    groove = (
        np.exp(-(((np.mod(width * 2.0 + 0.5, 1.0) - 0.5) / 0.09) ** 2))
        * (np.abs(width) < 0.9)
        * (np.abs(across) > 0.1)
    )
    albedo[chosen] *= (1 - 0.35 * groove * fingers)[:, None] * np.array([1.0, 0.95, 0.94])
    nails = (points.along < 0.8) & (place > 0.9)
    albedo[chosen[nails]] *= np.array([1.05, 0.9, 0.9])
