"""Head, neck and hair: a loft with a face pressed into it, and hair grown out of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcld.data.mannequins.drape import ramp
from mcld.data.mannequins.lofts import (
    Rings,
    Surface,
    ellipse_points,
    inflate,
    loft,
    ring_angles,
    smooth_profile,
)
from mcld.data.mannequins.parts import BODY, HAIR, HEAD
from mcld.data.mannequins.people import HAIR_STYLES, Identity
from mcld.data.mannequins.skeleton import Skeleton, frames_along

# Heights on the head are fractions: 0 chin, 1 crown, below 0 the neck.
NECK_BASE = -0.34
# Height, side, front and back radius in metres.
_HEAD = (
    (-0.40, 0.062, 0.050, 0.060),
    (-0.34, 0.053, 0.046, 0.055),
    (-0.15, 0.0455, 0.043, 0.053),
    (-0.05, 0.0445, 0.045, 0.053),
    (-0.01, 0.0445, 0.056, 0.054),
    (0.015, 0.045, 0.072, 0.055),
    (0.06, 0.0495, 0.081, 0.058),
    (0.14, 0.0575, 0.0855, 0.064),
    (0.25, 0.0645, 0.0875, 0.075),
    (0.36, 0.0695, 0.0885, 0.087),
    (0.48, 0.073, 0.0885, 0.096),
    (0.56, 0.0745, 0.090, 0.100),
    (0.66, 0.0755, 0.091, 0.101),
    (0.76, 0.073, 0.086, 0.096),
    (0.85, 0.065, 0.075, 0.084),
    (0.92, 0.051, 0.058, 0.066),
    (0.97, 0.033, 0.036, 0.042),
    (0.99, 0.018, 0.020, 0.023),
    (1.00, 0.002, 0.002, 0.002),
)
# Charts: the head's V runs from the neck's base to the crown; the rest of it is the bun's.
_NECK_V, _CROWN_V = 0.02, 0.93
_HAIR_THICKNESS_M = {
    "crop": 0.005,
    "short": 0.015,
    "side_part": 0.019,
    "bob": 0.018,
    "long": 0.016,
    "bun": 0.010,
    "ponytail": 0.010,
}
# Hanging hair: place (0 is inside the skull), side, front and back radius, backward shift in metres.
_TAIL_BOB = (
    (0.0, 0.045, 0.020, 0.066, 0.00),
    (0.22, 0.080, 0.038, 0.106, 0.00),
    (0.50, 0.091, 0.040, 0.112, 0.00),
    (0.78, 0.096, 0.038, 0.111, 0.00),
    (0.92, 0.091, 0.034, 0.102, 0.00),
    (0.98, 0.078, 0.024, 0.086, 0.00),
    (1.0, 0.058, 0.010, 0.066, 0.00),
)
_TAIL_LONG = (
    (0.0, 0.050, 0.020, 0.070, 0.00),
    (0.16, 0.083, 0.034, 0.108, 0.00),
    (0.35, 0.090, 0.028, 0.112, 0.00),
    (0.60, 0.096, 0.016, 0.116, 0.012),
    (0.85, 0.092, 0.010, 0.108, 0.026),
    (0.97, 0.078, 0.006, 0.090, 0.034),
    (1.0, 0.050, 0.004, 0.060, 0.036),
)
_TAIL_PONY = (
    (0.0, 0.012, 0.012, 0.012, 0.100),
    (0.10, 0.026, 0.026, 0.026, 0.128),
    (0.35, 0.034, 0.030, 0.032, 0.146),
    (0.70, 0.030, 0.026, 0.028, 0.142),
    (0.95, 0.014, 0.012, 0.014, 0.130),
    (1.0, 0.004, 0.004, 0.004, 0.128),
)


def hairline_height(identity: Identity, *, angle_deg: np.ndarray) -> np.ndarray:
    """Height above which hair grows, by the angle from the face's middle (0) to the nape (180)."""
    style = HAIR_STYLES[identity.hair_style]
    front = 0.80 + 0.03 * identity.hairline
    covers = style in ("bob", "long")
    if covers and identity.fringe > 0.6:
        front = 0.645
    cut = 0.14 if style in ("crop", "short", "side_part") else 0.02
    angles = (0, 30, 52, 66, 80, 88, 107, 118, 135, 180)
    # Pulled back or cut short, hair leaves the ears free; long hair lies over them.
    above_ear, behind_ear = (0.34, 0.20) if covers else (0.585, 0.50)
    sideburn = 0.36 if covers or identity.feminine > 0.5 else 0.42
    heights = (
        front,
        front - 0.015,
        front - 0.08,
        0.62,
        sideburn,
        above_ear,
        behind_ear,
        cut + 0.12,
        cut + 0.03,
        cut,
    )
    return np.asarray(np.interp(angle_deg, angles, heights))


def hair_thickness_m(
    identity: Identity, *, angle_deg: np.ndarray, height: np.ndarray, x_m: np.ndarray
) -> np.ndarray:
    """How far hair stands off the skull; 0 below the hairline."""
    style = HAIR_STYLES[identity.hair_style]
    over = height - hairline_height(identity, angle_deg=angle_deg)
    full_m = _HAIR_THICKNESS_M[style] * (0.75 + 0.5 * identity.hair_length)
    thick: np.ndarray = full_m * (0.62 + 0.55 * ramp(height, start=0.55, end=0.92))
    off_crown = ramp(height, start=0.99, end=0.93)  # at the crown all directions meet and must agree
    if style in ("side_part", "bob", "long"):  # a parting: a shallow valley from the forehead to the crown
        part_x = 0.026 if identity.hairline > 0 else -0.012
        thick = thick * (
            1
            - 0.32 * np.exp(-(((x_m - part_x) / 0.006) ** 2)) * (angle_deg < 90) * (height > 0.7) * off_crown
        )
    if style in ("short", "side_part"):  # volume over the forehead
        thick = thick * (
            1 + 0.5 * np.exp(-((angle_deg / 55) ** 2)) * ramp(height, start=0.78, end=0.9) * off_crown
        )
    return np.asarray(thick * ramp(over, start=0.0, end=0.07))


def head_surfaces(identity: Identity, *, skeleton: Skeleton, count: Callable[[int], int]) -> list[Surface]:
    """Skull with neck, and hair that hangs or is tied."""
    surfaces = [_skull(identity, skeleton=skeleton, count=count)]
    style = HAIR_STYLES[identity.hair_style]
    if style in ("bob", "long", "ponytail"):
        surfaces.append(_tail(identity, skeleton=skeleton, style=style, count=count))
    if style in ("bun", "ponytail"):
        surfaces.append(
            _bun(skeleton, radius_m=0.041 if style == "bun" else 0.024, high=style == "bun", count=count)
        )
    return surfaces


def _heights(num: int) -> np.ndarray:
    neck = np.linspace(-0.40, -0.03, max(num // 6, 4), endpoint=False)
    chin = np.linspace(-0.03, 0.08, max(num // 7, 5), endpoint=False)
    face = np.linspace(0.08, 0.9, max(num - num // 6 - num // 7, 12), endpoint=False)
    return np.concatenate([neck, chin, face, [0.9, 0.93, 0.96, 0.98, 0.992, 1.0]])


def chart_along(height: np.ndarray) -> np.ndarray:
    """V of the head's charts."""
    return np.clip(_NECK_V + (height - NECK_BASE) / (1 - NECK_BASE) * (_CROWN_V - _NECK_V), 0, _CROWN_V)


def _skull(identity: Identity, *, skeleton: Skeleton, count: Callable[[int], int]) -> Surface:
    height = _heights(count(46))
    even = ring_angles(count(60))
    turns = even - 0.55 * np.sin(2 * np.pi * (even - 0.25)) / (
        2 * np.pi
    )  # the face gets more segments than the nape
    radii = smooth_profile(height, table=_HEAD)
    on_head = ramp(height, start=-0.05, end=0.1)
    low_face = np.exp(-(((height - 0.1) / 0.16) ** 2))
    wide = 1 + on_head * 0.035 * identity.face_width + 0.06 * identity.jaw * low_face * on_head
    man = 1 - identity.feminine
    wide = wide * (1 + 0.10 * man * low_face + (1 - on_head) * (0.24 * man - 0.02 + 0.05 * identity.build))
    points = ellipse_points(turns, side=radii[:, 0] * wide, front=radii[:, 1], back=radii[:, 2], power=2.1)
    points[..., 1] = 0.0
    height_grid = np.repeat(height[:, None], len(turns), 1)
    points[..., 2] += _relief_m(identity, x=points[..., 0], height=height_grid) * (points[..., 2] > 0)
    angle = np.degrees(np.abs(np.arctan2(points[..., 0], points[..., 2])))
    rest = np.stack([points[..., 0], height_grid, points[..., 2]], axis=2)
    hair = hair_thickness_m(identity, angle_deg=angle, height=height_grid, x_m=points[..., 0])
    free = HAIR_STYLES[identity.hair_style] not in ("bob", "long")
    ears = free * 0.015 * np.exp(-(((angle - 97) / 8) ** 2) - (((height_grid - 0.44) / 0.11) ** 4))
    # At the crown hair grows upwards only: pushing the last ring outwards would open a hole.
    points = inflate(points, offset_m=hair * ramp(height_grid, start=1.0, end=0.955) + ears)
    points[..., 1] += 0.9 * hair * ramp(height_grid, start=0.72, end=1.0)
    centres, up = _axis(skeleton, height=height)
    blend = ramp(height, start=NECK_BASE, end=0.0)[:, None]
    front = (1 - blend) * skeleton.chest_frame[:, 2] + blend * skeleton.head_frame[:, 2]
    side, front = frames_along(up, front=front)
    return loft(
        Rings(centres=centres, side=side, front=front, points=points),
        rest=rest,
        limb=HEAD,
        layer=BODY,
        around=np.repeat(turns[None] + 0.25, len(height), 0),
        along=chart_along(height_grid),
    )


def _axis(skeleton: Skeleton, *, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ring centres and up axes from the neck's base to the crown."""
    head, neck = skeleton.head_frame, skeleton.spine[3]
    rise = np.clip(height, 0, None)[:, None] * skeleton.proportions.head * head[:, 1]
    share = np.clip((height - NECK_BASE) / -NECK_BASE, -0.2, 1)[:, None]
    centres = neck + share * (skeleton.skull - neck) + rise
    blend = ramp(height, start=-0.2, end=0.02)[:, None]
    return centres, (1 - blend) * skeleton.chest_frame[:, 1] + blend * head[:, 1]


def _relief_m(identity: Identity, *, x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Nose, sockets, lips and chin, in metres towards the viewer."""
    tip = 0.345 - 0.018 * identity.nose_length
    ridge = np.clip((0.60 - height) / (0.60 - tip), 0, 1) ** 1.3 * ramp(height, start=tip - 0.055, end=tip)
    width = (0.0085 + 0.0018 * identity.nose_width) * (1 + 0.5 * np.clip((0.5 - height) / 0.15, 0, 1))
    nose = (0.021 + 0.003 * identity.nose_length) * ridge * np.exp(-((x / width) ** 2))
    spacing = 0.0315 + 0.002 * identity.eye_spacing
    sockets = -0.0075 * np.exp(-(((np.abs(x) - spacing) / 0.017) ** 2) - (((height - 0.50) / 0.055) ** 2))
    lips = 0.0042 * np.exp(-((x / 0.02) ** 2) - (((height - 0.20) / 0.035) ** 2))
    chin = 0.004 * np.exp(-((x / 0.018) ** 2) - (((height - 0.05) / 0.05) ** 2))
    brow = 0.0025 * np.exp(-(((np.abs(x) - 0.03) / 0.02) ** 2) - (((height - 0.58) / 0.03) ** 2))
    return np.asarray(nose + sockets + lips + chin + brow)


def _tail(identity: Identity, *, skeleton: Skeleton, style: str, count: Callable[[int], int]) -> Surface:
    turns, place = ring_angles(count(44)) + 0.25, np.linspace(0, 1, count(30))  # from the front and round
    table = {"bob": _TAIL_BOB, "long": _TAIL_LONG, "ponytail": _TAIL_PONY}[style]
    side_m, front_m, back_m, shift_m = smooth_profile(place, table=table).T
    low = {
        "bob": 0.08 - 0.16 * identity.hair_length,
        "long": -0.55 - 0.75 * identity.hair_length,
        "ponytail": -0.15 - 0.4 * identity.hair_length,
    }[style]
    height = np.linspace(0.83 if style != "ponytail" else 0.74, low, len(place))
    points = ellipse_points(turns, side=side_m, front=front_m, back=back_m, power=2.05)
    strands = (
        np.cos(2 * np.pi * turns * 9 + 7 * identity.fringe) * 0.6
        + np.cos(2 * np.pi * turns * 17 + 3 * identity.hairline) * 0.4
    )
    points = inflate(points, offset_m=0.0032 * ramp(place, start=0.2, end=0.9)[:, None] * strands[None])
    head, chest = skeleton.head_frame, skeleton.chest_frame
    fall = ramp(height, start=0.2, end=-0.5)[:, None]
    up = (1 - fall) * head[:, 1] + fall * chest[:, 1]
    front = (1 - fall) * head[:, 2] + fall * chest[:, 2]
    step = np.gradient(height)[:, None] * skeleton.proportions.head * up
    start = skeleton.skull + height[0] * skeleton.proportions.head * head[:, 1]
    side, front = frames_along(up, front=front)
    centres = start + np.cumsum(step, axis=0) - step[:1] - shift_m[:, None] * front
    rest = np.stack([points[..., 0], np.repeat(height[:, None], len(turns), 1), points[..., 2]], axis=2)
    # The hair hides the nape and may wear its charts: 0.3 turns to either side of the middle.
    around = 0.6 * (turns - 0.75)
    along = np.repeat((_NECK_V + 0.26 * (1 - place))[:, None], len(turns), 1)
    return loft(
        Rings(centres=centres, side=side, front=front, points=points),
        rest=rest,
        limb=HEAD,
        layer=HAIR,
        around=np.repeat(around[None], len(place), 0),
        along=along,
    )


def _bun(skeleton: Skeleton, *, radius_m: float, high: bool, count: Callable[[int], int]) -> Surface:
    turns, place = ring_angles(count(24)), np.linspace(0, 1, count(14))
    polar = np.pi * place
    radius = radius_m * np.sin(polar) + 1e-4
    head = skeleton.head_frame
    middle = (
        skeleton.skull
        + (0.93 if high else 0.74) * skeleton.proportions.head * head[:, 1]
        - (0.072 if high else 0.105) * head[:, 2]
    )
    axis = head[:, 1] * 0.75 - head[:, 2] * 0.66
    centres = middle - np.cos(polar)[:, None] * radius_m * axis
    side, front = frames_along(
        np.repeat(axis[None], len(place), 0), front=np.repeat(head[:, 2][None], len(place), 0)
    )
    points = ellipse_points(turns, side=radius, front=radius, back=radius)
    rest = np.stack([points[..., 0], np.repeat(place[:, None], len(turns), 1), points[..., 2]], axis=2)
    along = np.repeat((_CROWN_V + 0.01 + 0.06 * place)[:, None], len(turns), 1)
    return loft(
        Rings(centres=centres, side=side, front=front, points=points),
        rest=rest,
        limb=HEAD,
        layer=HAIR,
        around=np.repeat(turns[None] + 0.25, len(place), 0),
        along=along,
    )
