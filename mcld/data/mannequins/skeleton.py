"""From proportions and joint angles to the curves along which the body is swept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.data.mannequins.people import Identity
from mcld.data.mannequins.poses import Arm, Leg, Pose

TORSO_BELOW_HIP_M = 0.10  # from the hip joints down to the crotch, at scale 1
_BEND = 0.24  # share of each bone that is rounded at the middle joint


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportions:
    """Lengths in metres."""

    scale: float
    shin: float
    thigh: float
    ankle: float
    torso: float
    hip_half: float
    shoulder_half: float
    upper_arm: float
    lower_arm: float
    head: float
    neck: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """Two bones: their joints and the frame (columns: side, up, front) of each bone."""

    joints: np.ndarray  # (3, 3)
    frames: np.ndarray  # (2, 3, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """A posed body in metres, its origin between the hip joints."""

    proportions: Proportions
    pelvis: np.ndarray  # (3,) midpoint of the hip joints
    pelvis_frame: np.ndarray  # (3, 3)
    chest_frame: np.ndarray
    head_frame: np.ndarray
    spine: np.ndarray  # (4, 3): crotch, hips, chest, neck base
    skull: np.ndarray  # (3,) the chin's height on the neck axis
    left_arm: Limb
    right_arm: Limb
    left_leg: Limb
    right_leg: Limb


def proportions_of(identity: Identity) -> Proportions:
    """Bone lengths of a person."""
    scale = identity.height_m / 1.75
    leg = 1.0 + 0.03 * identity.leg_length
    man = 1.0 - identity.feminine
    return Proportions(
        scale=scale,
        shin=0.425 * leg * scale,
        thigh=0.425 * leg * scale,
        ankle=0.078 * scale,
        torso=0.655 * scale,
        hip_half=(0.086 + 0.004 * identity.feminine) * scale,
        shoulder_half=(0.151 + 0.034 * man + 0.008 * identity.build) * scale,
        upper_arm=0.285 * scale,
        lower_arm=0.245 * scale,
        head=0.260,
        neck=0.054 * scale,
    )


def rotate_x(degrees: float) -> np.ndarray:
    """Rotation about x, (3, 3): positive tips up towards front."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotate_y(degrees: float) -> np.ndarray:
    """Rotation about y, (3, 3): positive turns front towards +x."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotate_z(degrees: float) -> np.ndarray:
    """Rotation about z, (3, 3): positive tips +x towards up."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose_skeleton(identity: Identity, *, pose: Pose) -> Skeleton:
    """Joints and frames of a person in a pose."""
    body = proportions_of(identity)
    turn = rotate_y(pose.yaw)
    pelvis_frame = turn @ rotate_z(pose.hip_tilt)
    chest_frame = turn @ rotate_y(pose.chest_twist) @ rotate_z(-pose.lean) @ rotate_x(pose.bow)
    head_frame = turn @ rotate_y(0.5 * pose.chest_twist + pose.head_yaw) @ rotate_x(pose.head_pitch)
    pelvis = np.zeros(3)
    below = TORSO_BELOW_HIP_M * body.scale
    crotch = pelvis - below * pelvis_frame[:, 1]
    middle = 0.5 * (pelvis_frame[:, 1] + chest_frame[:, 1])
    waist = pelvis + 0.19 * body.scale * middle
    neck = waist + (body.torso - below - 0.19 * body.scale) * chest_frame[:, 1]
    shoulders = neck - 0.078 * body.scale * chest_frame[:, 1] - 0.012 * chest_frame[:, 2]
    return Skeleton(
        proportions=body,
        pelvis=pelvis,
        pelvis_frame=pelvis_frame,
        chest_frame=chest_frame,
        head_frame=head_frame,
        spine=np.stack([crotch, pelvis, waist, neck]),
        skull=neck
        + body.neck * (0.5 * chest_frame[:, 1] + 0.5 * head_frame[:, 1])
        + 0.012 * head_frame[:, 2],
        left_arm=_arm(pose.left_arm, shoulders=shoulders, frame=chest_frame, body=body, sign=1.0),
        right_arm=_arm(pose.right_arm, shoulders=shoulders, frame=chest_frame, body=body, sign=-1.0),
        left_leg=_leg(pose.left_leg, pelvis=pelvis, frame=pelvis_frame, turn=turn, body=body, sign=1.0),
        right_leg=_leg(pose.right_leg, pelvis=pelvis, frame=pelvis_frame, turn=turn, body=body, sign=-1.0),
    )


def _arm(arm: Arm, *, shoulders: np.ndarray, frame: np.ndarray, body: Proportions, sign: float) -> Limb:
    upper = frame @ rotate_x(-arm.flex) @ rotate_z(sign * arm.abduct) @ rotate_y(-sign * arm.twist)
    lower = upper @ rotate_x(-arm.elbow)
    # A raised arm lifts its shoulder and pulls it in.
    lift = np.clip((arm.abduct - 60) / 90, 0, 1)
    shoulder = (
        shoulders + sign * (body.shoulder_half - 0.022 * lift) * frame[:, 0] + 0.03 * lift * frame[:, 1]
    )
    elbow = shoulder - body.upper_arm * upper[:, 1]
    return Limb(
        joints=np.stack([shoulder, elbow, elbow - body.lower_arm * lower[:, 1]]),
        frames=np.stack([upper, lower]),
    )


def _leg(
    leg: Leg, *, pelvis: np.ndarray, frame: np.ndarray, turn: np.ndarray, body: Proportions, sign: float
) -> Limb:
    # Legs hang from the tilted pelvis but keep to the vertical of the turned body.
    upper = turn @ rotate_x(-leg.flex) @ rotate_z(sign * leg.abduct)
    lower = upper @ rotate_x(leg.knee)
    hip = pelvis + sign * body.hip_half * frame[:, 0]
    knee = hip - body.thigh * upper[:, 1]
    return Limb(joints=np.stack([hip, knee, knee - body.shin * lower[:, 1]]), frames=np.stack([upper, lower]))


def limb_rings(limb: Limb, *, along: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, side and front axes (R, 3) of rings: 0 is the root, 1 the middle joint, 2 the end."""
    root, middle, end = limb.joints
    upper, lower = middle - root, end - middle
    first = along[:, None]
    centres = np.where(first < 1, root + first * upper, middle + (first - 1) * lower)
    tangents = np.where(first < 1, upper, lower)
    part = (first - (1 - _BEND)) / (2 * _BEND)
    bent = (
        (1 - part) ** 2 * (middle - _BEND * upper)
        + 2 * part * (1 - part) * middle
        + part**2 * (middle + _BEND * lower)
    )
    bending = (part > 0) & (part < 1)
    tangents = np.where(bending, (1 - part) * upper + part * lower, tangents)
    blend = np.clip(part, 0, 1)
    front = (1 - blend) * limb.frames[0, :, 2] + blend * limb.frames[1, :, 2]
    side, front = frames_along(-tangents, front=front)
    return np.where(bending, bent, centres), side, front


def frames_along(up: np.ndarray, *, front: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Side and front axes (R, 3), orthogonal to the rings' up axes and to each other."""
    up = up / np.linalg.norm(up, axis=1, keepdims=True)
    front = front - (front * up).sum(1, keepdims=True) * up
    front = front / np.linalg.norm(front, axis=1, keepdims=True)
    return np.cross(up, front), front
