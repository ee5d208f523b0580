"""Hands and feet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcld.data.mannequins.lofts import Rings, Surface, ellipse_points, loft, ring_angles, smooth_profile
from mcld.data.mannequins.parts import BODY
from mcld.data.mannequins.skeleton import Limb, frames_along

# Place along, side, front (top) and back (bottom) radius in metres at scale 1.
_HAND = (
    (0.00, 0.021, 0.025, 0.025),
    (0.18, 0.020, 0.031, 0.031),
    (0.38, 0.018, 0.039, 0.036),
    (0.60, 0.015, 0.038, 0.034),
    (0.85, 0.012, 0.031, 0.027),
    (0.96, 0.008, 0.020, 0.018),
    (1.00, 0.002, 0.005, 0.005),
)
_FOOT = (
    (0.00, 0.004, 0.010, 0.006),
    (0.03, 0.022, 0.040, 0.016),
    (0.12, 0.033, 0.068, 0.020),
    (0.28, 0.036, 0.082, 0.020),
    (0.42, 0.038, 0.062, 0.020),
    (0.60, 0.044, 0.043, 0.020),
    (0.78, 0.045, 0.032, 0.020),
    (0.92, 0.034, 0.022, 0.018),
    (0.98, 0.019, 0.012, 0.012),
    (1.00, 0.004, 0.003, 0.004),
)
_HAND_LENGTH_M, _FOOT_LENGTH_M = 0.165, 0.262
_HAND_SHARE = 0.8  # of the hand chart's V; the rest is the thumb's


def hand_surfaces(
    limb: Limb, *, hand_id: int, sign: float, count: Callable[[int], int], scale: float
) -> list[Surface]:
    """A relaxed mitten with its thumb; both share the hand's chart."""
    turns, along = ring_angles(count(18)), np.linspace(0, 1, count(14))
    side_axis, up, front_axis = limb.frames[1].T
    side_m, front_m, back_m = (smooth_profile(along, table=_HAND) * scale).T
    points = ellipse_points(turns, side=side_m, front=front_m, back=back_m, power=2.3)
    # A relaxed hand curls towards the palm, which faces the body.
    curl = np.radians(28.0) * along
    down = -up * np.cos(curl)[:, None] - sign * side_axis * np.sin(curl)[:, None]
    step = np.gradient(along)[:, None] * _HAND_LENGTH_M * scale * down
    centres = limb.joints[2] + np.cumsum(step, axis=0) - step[:1]
    side, front = frames_along(-down, front=np.repeat(front_axis[None], len(along), 0))
    palm = loft(
        Rings(centres=centres, side=side, front=front, points=points),
        around=np.repeat(turns[None], len(along), 0),
        along=np.repeat(along[:, None] * _HAND_SHARE, len(turns), 1),
        rest=None,
        limb=hand_id,
        layer=BODY,
    )
    radius = 0.0125 * scale * np.sqrt(np.clip(1 - (2 * along - 1) ** 6, 0.01, 1))
    base = limb.joints[2] - 0.028 * scale * up + 0.014 * scale * front_axis
    direction = -0.82 * up + 0.55 * front_axis - sign * 0.22 * side_axis
    direction = direction / np.linalg.norm(direction)
    centres = base + along[:, None] * 0.075 * scale * direction
    side, front = frames_along(
        np.repeat(-direction[None], len(along), 0), front=np.repeat(front_axis[None], len(along), 0)
    )
    thumb = loft(
        Rings(
            centres=centres,
            side=side,
            front=front,
            points=ellipse_points(turns, side=radius, front=radius, back=radius),
        ),
        around=np.repeat(turns[None], len(along), 0),
        rest=None,
        limb=hand_id,
        layer=BODY,
        along=np.repeat((_HAND_SHARE + 0.03 + along * (0.97 - _HAND_SHARE))[:, None], len(turns), 1),
    )
    return [palm, thumb]


def foot_surface(limb: Limb, *, foot_id: int, count: Callable[[int], int], scale: float) -> Surface:
    """A shoe from heel to toe."""
    turns, along = (
        ring_angles(count(24)),
        np.concatenate([np.linspace(0, 0.12, 5)[:-1], np.linspace(0.12, 1, count(20))]),
    )
    front_axis = limb.frames[1][:, 2] * (
        1.0,
        0.45,
        1.0,
    )  # the sole stays nearer the floor than the shin demands
    front_axis = front_axis / np.linalg.norm(front_axis)
    side_axis = limb.frames[1][:, 0]
    up = np.cross(front_axis, side_axis)
    side_m, top_m, bottom_m = (smooth_profile(along, table=_FOOT) * scale).T
    points = ellipse_points(turns, side=side_m, front=top_m, back=bottom_m, power=2.2)
    heel = limb.joints[2] - 0.058 * scale * up - 0.27 * _FOOT_LENGTH_M * scale * front_axis
    centres = heel + along[:, None] * _FOOT_LENGTH_M * scale * front_axis
    rings = Rings(
        centres=centres,
        side=np.repeat(side_axis[None], len(along), 0),
        front=np.repeat(up[None], len(along), 0),
        points=points,
    )
    return loft(
        rings,
        around=np.repeat(turns[None], len(along), 0),
        along=np.repeat(along[:, None], len(turns), 1),
        rest=points,
        limb=foot_id,
        layer=BODY,
    )
