"""The body as lofts: torso, limbs, hands, feet and skirts in one surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcld.data.mannequins import drape
from mcld.data.mannequins.extremities import foot_surface, hand_surfaces
from mcld.data.mannequins.figure import ARM, LEG, bust_m, seat_m, torso_radii_m
from mcld.data.mannequins.garments import collar_surface, skirt_surfaces
from mcld.data.mannequins.head import head_surfaces
from mcld.data.mannequins.lofts import (
    Rings,
    Surface,
    ellipse_points,
    inflate,
    join,
    loft,
    ring_angles,
    smooth_profile,
)
from mcld.data.mannequins.parts import ARM_L, ARM_R, BODY, FOOT_L, FOOT_R, HAND_L, HAND_R, LEG_L, LEG_R, TORSO
from mcld.data.mannequins.people import Identity
from mcld.data.mannequins.skeleton import Limb, Skeleton, frames_along, limb_rings
from mcld.data.mannequins.wardrobe import Outfit


def build_person(identity: Identity, *, outfit: Outfit, skeleton: Skeleton, detail: float) -> Surface:
    """All surfaces of a dressed person; detail scales the number of rings and segments."""

    def count(number: int) -> int:
        return max(int(number * detail), 6)

    surfaces = [
        _torso(identity, outfit=outfit, skeleton=skeleton, num_rings=count(44), num_segments=count(44))
    ]
    for limb_id, hand_id, limb, sign in (
        (ARM_L, HAND_L, skeleton.left_arm, 1.0),
        (ARM_R, HAND_R, skeleton.right_arm, -1.0),
    ):
        surfaces.append(
            _arm(identity, outfit=outfit, limb=limb, limb_id=limb_id, count=count, skeleton=skeleton)
        )
        surfaces += hand_surfaces(
            limb, hand_id=hand_id, sign=sign, count=count, scale=skeleton.proportions.scale
        )
    for limb_id, foot_id, limb in ((LEG_L, FOOT_L, skeleton.left_leg), (LEG_R, FOOT_R, skeleton.right_leg)):
        surfaces.append(
            _leg(identity, outfit=outfit, limb=limb, limb_id=limb_id, count=count, skeleton=skeleton)
        )
        surfaces.append(foot_surface(limb, foot_id=foot_id, count=count, scale=skeleton.proportions.scale))
    if outfit.bottom.skirt:
        surfaces += skirt_surfaces(identity, outfit=outfit, skeleton=skeleton, count=count)
    if outfit.top.neckline == "collar" or (outfit.outer is not None and outfit.outer.sleeve > 0):
        surfaces.append(collar_surface(identity, outfit=outfit, skeleton=skeleton, count=count))
    return join(surfaces + head_surfaces(identity, skeleton=skeleton, count=count))


def _torso(
    identity: Identity, *, outfit: Outfit, skeleton: Skeleton, num_rings: int, num_segments: int
) -> Surface:
    along = drape.step_rings(np.linspace(0, 1, num_rings), edges=drape.torso_edges(outfit))
    turns = ring_angles(num_segments)
    side_m, front_m, back_m = torso_radii_m(identity, along=along, scale=skeleton.proportions.scale).T
    points = ellipse_points(turns, side=side_m, front=front_m, back=back_m, power=2.25)
    points[..., 2] += bust_m(identity, along=along, turns=turns) - seat_m(identity, along=along, turns=turns)
    offset = drape.torso_offset_m(outfit, along=along)
    folds = drape.folds_m(
        along, turns=turns, offset_m=offset, knots=drape.TORSO_KNOTS, phase=outfit.top.fabric.phase
    )
    points = inflate(points, offset_m=offset[:, None] + folds)
    centres, up = _spine(skeleton, along=along)
    blend = drape.ramp(along, start=0.2, end=0.75)[:, None]
    front = (1 - blend) * skeleton.pelvis_frame[:, 2] + blend * skeleton.chest_frame[:, 2]
    side, front = frames_along(up, front=front)
    return loft(
        Rings(centres=centres, side=side, front=front, points=points),
        around=np.repeat(turns[None], len(along), 0),
        along=np.repeat(along[:, None], len(turns), 1),
        rest=points,
        limb=TORSO,
        layer=BODY,
    )


def _spine(skeleton: Skeleton, *, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    crotch, _, waist, neck = skeleton.spine
    body = skeleton.proportions
    length = along * body.torso
    lower = np.linalg.norm(waist - crotch)
    share = np.clip(length / lower, 0, 1)[:, None]
    upper = np.clip((length - lower) / (body.torso - lower), 0, 1)[:, None]
    centres = crotch + share * (waist - crotch) + upper * (neck - waist)
    blend = drape.ramp(along, start=0.25, end=0.7)[:, None]
    up = (1 - blend) * skeleton.pelvis_frame[:, 1] + blend * skeleton.chest_frame[:, 1]
    return centres, up


def _arm(
    identity: Identity,
    *,
    outfit: Outfit,
    limb: Limb,
    limb_id: int,
    count: Callable[[int], int],
    skeleton: Skeleton,
) -> Surface:
    along = np.concatenate([np.linspace(-0.16, 0.0, 6)[:-1], np.linspace(0, 2.03, count(34))])
    thin = (1.0 - 0.12 * identity.feminine + 0.09 * identity.build) * skeleton.proportions.scale
    return _tube(
        limb,
        along=drape.step_rings(along, edges=drape.arm_edges(outfit)),
        table=ARM,
        thickness=thin,
        offset=lambda at: drape.arm_offset_m(outfit, along=at),
        knots=drape.ARM_KNOTS,
        phase=outfit.top.fabric.phase,
        limb_id=limb_id,
        num_segments=count(26),
    )


def _leg(
    identity: Identity,
    *,
    outfit: Outfit,
    limb: Limb,
    limb_id: int,
    count: Callable[[int], int],
    skeleton: Skeleton,
) -> Surface:
    along = np.linspace(-0.12, 2.06, count(42))
    thin = (0.99 - 0.03 * identity.feminine + 0.08 * identity.build) * skeleton.proportions.scale
    return _tube(
        limb,
        along=drape.step_rings(along, edges=drape.leg_edges(outfit)),
        table=LEG,
        thickness=thin,
        offset=lambda at: drape.leg_offset_m(outfit, along=at),
        knots=drape.LEG_KNOTS,
        phase=outfit.bottom.fabric.phase,
        limb_id=limb_id,
        num_segments=count(32),
    )


def _tube(
    limb: Limb,
    *,
    along: np.ndarray,
    table: tuple[tuple[float, ...], ...],
    thickness: float,
    offset: Callable[[np.ndarray], np.ndarray],
    knots: tuple[tuple[float, float, float], ...],
    phase: float,
    limb_id: int,
    num_segments: int,
) -> Surface:
    turns = ring_angles(num_segments)
    side_m, front_m, back_m = (smooth_profile(along, table=table) * thickness).T
    points = ellipse_points(turns, side=side_m, front=front_m, back=back_m)
    folds = drape.folds_m(along, turns=turns, offset_m=offset(along), knots=knots, phase=phase)
    points = inflate(points, offset_m=offset(along)[:, None] + folds)
    centres, side, front = limb_rings(limb, along=along)
    return loft(
        Rings(centres=centres, side=side, front=front, points=points),
        around=np.repeat(turns[None], len(along), 0),
        along=np.repeat(np.clip(along, 0, 2)[:, None], len(turns), 1),
        rest=None,
        limb=limb_id,
        layer=BODY,
    )
