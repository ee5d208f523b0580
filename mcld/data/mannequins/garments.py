"""Cloth that leaves the body: skirts and collars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcld.data.mannequins import drape
from mcld.data.mannequins.figure import LEG, torso_radii_m
from mcld.data.mannequins.lofts import (
    Rings,
    Surface,
    ellipse_points,
    inflate,
    loft,
    ring_angles,
    smooth_profile,
    two_sided,
)
from mcld.data.mannequins.parts import COLLAR, LEG_L, LEG_R, SKIRT, TORSO
from mcld.data.mannequins.people import Identity
from mcld.data.mannequins.skeleton import TORSO_BELOW_HIP_M, Skeleton, frames_along, limb_rings
from mcld.data.mannequins.wardrobe import Bottom, Outfit

# Place, radius about the neck, height above the neck's base: up the outside of the stand, over and down.
_COLLAR_SHIRT = (
    (0.0, 0.086, -0.014),
    (0.35, 0.076, 0.006),
    (0.7, 0.062, 0.030),
    (0.85, 0.058, 0.032),
    (1.0, 0.054, 0.020),
)
_COLLAR_JACKET = (
    (0.0, 0.102, -0.020),
    (0.35, 0.091, 0.008),
    (0.7, 0.074, 0.036),
    (0.85, 0.069, 0.038),
    (1.0, 0.063, 0.020),
)


def collar_surface(
    identity: Identity, *, outfit: Outfit, skeleton: Skeleton, count: Callable[[int], int]
) -> Surface:
    """A folded collar, open in front. It wears the torso's last stretch of V, which it hides."""
    jacket = outfit.outer is not None
    turns, place = ring_angles(count(36)) + 0.25, np.linspace(0, 1, count(12))
    radius, rise = smooth_profile(place, table=_COLLAR_JACKET if jacket else _COLLAR_SHIRT).T
    size = skeleton.proportions.scale * (1.0 + 0.14 * (1 - identity.feminine))
    front = np.clip(np.sin(2 * np.pi * turns), 0, 1)
    points = ellipse_points(turns, side=radius * size, front=radius * size * 0.98, back=radius * size)
    # The collar's line sinks towards the throat, where its two points part.
    points[..., 1] = (
        rise[:, None] * (1 - 0.3 * front**2)[None] - (0.046 if jacket else 0.036) * front[None] ** 3
    )
    _, up, front_axis = skeleton.chest_frame.T
    tilted = up - 0.16 * front_axis
    centres = np.repeat((skeleton.spine[3] - 0.004 * up + 0.002 * front_axis)[None], len(place), 0)
    side, front_axes = frames_along(
        np.repeat(tilted[None], len(place), 0), front=np.repeat(front_axis[None], len(place), 0)
    )
    collar = loft(
        Rings(centres=centres, side=side, front=front_axes, points=points),
        limb=TORSO,
        layer=COLLAR,
        rest=None,
        around=np.repeat(turns[None], len(place), 0),
        along=np.repeat((0.955 + 0.045 * place)[:, None], len(turns), 1),
    )
    return two_sided(collar)


def skirt_surfaces(
    identity: Identity, *, outfit: Outfit, skeleton: Skeleton, count: Callable[[int], int]
) -> list[Surface]:
    """One tube around both legs; its quarters wear the charts of the leg behind them."""
    # It starts just above the hip joints: higher, its V would have to be negative.
    along = np.concatenate(
        [np.linspace(-0.03, 0.3, count(10))[:-1], np.linspace(0.3, outfit.bottom.hem, count(20))]
    )
    num_quarter = max(count(56) // 4, 4)
    turns = ring_angles(4 * num_quarter)
    left, _, _ = limb_rings(skeleton.left_leg, along=along)
    right, _, _ = limb_rings(skeleton.right_leg, along=along)
    _, up, front_axis = skeleton.pelvis_frame.T
    radii = _skirt_radii_m(identity, outfit=outfit, skeleton=skeleton, along=along, apart=left - right)
    points = ellipse_points(turns, side=radii[:, 0], front=radii[:, 1], back=radii[:, 2], power=2.35)
    points = inflate(points, offset_m=_pleats_m(outfit.bottom, along=along, turns=turns))
    side, front = frames_along(
        np.repeat(up[None], len(along), 0), front=np.repeat(front_axis[None], len(along), 0)
    )
    rings = Rings(centres=0.5 * (left + right), side=side, front=front, points=points)
    along_grid = np.repeat(np.clip(along, 0, 2)[:, None], len(turns), 1)
    quarter = np.repeat(turns[None] * 2, len(along), 0)  # a quarter of the skirt spans half a turn of the leg
    pieces = (
        (LEG_R, slice(0, num_quarter + 1), quarter),
        (LEG_L, slice(num_quarter, 3 * num_quarter + 1), quarter - 0.5),
        (LEG_R, slice(3 * num_quarter, None), quarter - 1.0),
    )
    return [
        loft(rings, around=around, along=along_grid, rest=None, limb=limb, layer=SKIRT, columns=columns)
        for limb, columns, around in pieces
    ]


def _skirt_radii_m(
    identity: Identity, *, outfit: Outfit, skeleton: Skeleton, along: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Side, front and back radius of the skirt, (R, 3). apart: (R, 3) from the right leg to the left."""
    body, bottom = skeleton.proportions, outfit.bottom
    # At the hips the skirt has the torso's own outline, so that the two surfaces pass into each other.
    hip_along = np.clip(
        TORSO_BELOW_HIP_M * body.scale / body.torso - along * body.thigh / body.torso, 0.15, 1
    )
    hip = torso_radii_m(identity, along=hip_along, scale=body.scale) + drape.waistband_offset_m(bottom)
    hip += 0.016 * drape.ramp(along, start=-0.06, end=0.12)[:, None] - 0.003
    hip[:, 2] += 0.012  # the seat
    # A stride pushes the knee against the front where an ellipse is already shallower than at its middle.
    reach = 0.5 * np.abs(apart @ skeleton.pelvis_frame)[:, [0, 2, 2]] * (1.0, 1.25, 1.25)
    swing = (bottom.flare * np.clip(along, 0, None) + bottom.looseness_m)[:, None]
    around_legs = reach + 1.06 * smooth_profile(along, table=LEG) * body.scale + swing
    drop = np.maximum(around_legs, (hip + swing) * (1 - 0.10 * np.clip(along, 0, 1)[:, None]))
    blend = drape.ramp(along, start=0.0, end=0.5)[:, None]
    return np.asarray((1 - blend) * hip + blend * drop)


def _pleats_m(bottom: Bottom, *, along: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Waves that deepen towards the hem, (R, S + 1) metres."""
    waves = np.cos(2 * np.pi * turns * (bottom.pleats or 5) + bottom.fabric.phase * 6)
    depth = (0.011 if bottom.pleats else 0.005) * (0.4 + 6 * bottom.flare)
    return np.asarray(depth * drape.ramp(along, start=0.1, end=bottom.hem)[:, None] * waves[None])
