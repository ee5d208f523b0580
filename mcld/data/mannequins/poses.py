"""How a person stands in each view, and how the picture is framed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Joint angles in degrees; zero is an arm hanging straight down, palm to the thigh."""

    abduct: float  # away from the body
    flex: float  # forward
    twist: float  # turns the elbow's bend inward
    elbow: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """Joint angles in degrees; zero is a straight leg under the hip."""

    abduct: float
    flex: float
    knee: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Angles in degrees, left and right are the person's; framing in fractions of the picture."""

    yaw: float  # 0 faces the camera, positive turns to the image's right, 180 shows the back
    lean: float  # chest sideways
    bow: float  # chest forward
    chest_twist: float
    hip_tilt: float
    head_yaw: float
    head_pitch: float
    left_arm: Arm
    right_arm: Arm
    left_leg: Leg
    right_leg: Leg
    camera_pitch: float
    span: float  # visible height over body height; below 1 crops at the bottom
    headroom: float
    shift: float


_HANGING = (11.0, 2.0, 20.0, 14.0)
_ON_HIP = (56.0, -12.0, 84.0, 85.0)
_RAISED = (148.0, 10.0, -70.0, 34.0)
_BEHIND_HEAD = (122.0, 4.0, -96.0, 122.0)
_OPEN = (38.0, 8.0, 10.0, 18.0)
_FORWARD = (12.0, 34.0, 30.0, 62.0)
_SWING_BACK = (10.0, -24.0, 20.0, 18.0)
_SWING_FRONT = (9.0, 26.0, 25.0, 30.0)
_WAVE = (66.0, 12.0, -84.0, 88.0)
_POCKET = (20.0, -10.0, 42.0, 34.0)

_ARM_PAIRS = (
    (_HANGING, _HANGING),
    (_HANGING, _HANGING),
    (_ON_HIP, _HANGING),
    (_HANGING, _ON_HIP),
    (_ON_HIP, _ON_HIP),
    (_POCKET, _POCKET),
    (_POCKET, _HANGING),
    (_SWING_FRONT, _SWING_BACK),
    (_SWING_BACK, _SWING_FRONT),
    (_FORWARD, _HANGING),
    (_HANGING, _FORWARD),
    (_OPEN, _OPEN),
    (_RAISED, _HANGING),
    (_HANGING, _WAVE),
    (_RAISED, _ON_HIP),
    (_RAISED, _RAISED),
    (_BEHIND_HEAD, _HANGING),
)
# abduct, flex, knee for left and right
_LEG_PAIRS = (
    ((3.0, 0.0, 2.0), (3.0, 0.0, 2.0)),
    ((5.0, 2.0, 3.0), (5.0, -2.0, 3.0)),
    ((2.0, 16.0, 12.0), (2.0, -13.0, 8.0)),
    ((2.0, -14.0, 10.0), (2.0, 17.0, 13.0)),
    ((9.0, 0.0, 2.0), (9.0, 0.0, 2.0)),
    ((4.0, 11.0, 24.0), (1.0, -2.0, 0.0)),
    ((1.0, -2.0, 0.0), (4.0, 11.0, 24.0)),
)
FLAT_POSE = Pose(
    yaw=0.0,
    lean=0.0,
    bow=0.0,
    chest_twist=0.0,
    hip_tilt=0.0,
    head_yaw=0.0,
    head_pitch=0.0,
    left_arm=Arm(abduct=24.0, flex=0.0, twist=0.0, elbow=2.0),
    right_arm=Arm(abduct=24.0, flex=0.0, twist=0.0, elbow=2.0),
    left_leg=Leg(abduct=5.0, flex=0.0, knee=0.0),
    right_leg=Leg(abduct=5.0, flex=0.0, knee=0.0),
    camera_pitch=0.0,
    span=1.0,
    headroom=0.05,
    shift=0.0,
)


def sample_poses(
    rng: np.random.Generator, *, clearance_deg: float
) -> tuple[tuple[str, ...], tuple[Pose, ...]]:
    """The views of an outfit, in the order of their numbers, and a pose for each.

    clearance_deg: how far wide clothes push hanging arms away from the body.
    """
    names = ["1_front"]
    names += ["2_side"] if rng.random() < 0.93 else []
    names += ["3_back"] if rng.random() < 0.93 else []
    names += ["4_full"] if rng.random() < 0.8 else []
    names += ["6_flat"] if rng.random() < 0.125 else []
    names += ["7_additional"] if rng.random() < 0.75 or len(names) < 3 else []
    return tuple(names), tuple(_pose_of_view(rng, name, clearance_deg=clearance_deg) for name in names)


def _pose_of_view(rng: np.random.Generator, view: str, *, clearance_deg: float) -> Pose:
    if view == "6_flat":
        return FLAT_POSE
    side = -1.0 if rng.random() < 0.5 else 1.0
    yaw = {
        "1_front": rng.normal(0, 9),
        "2_side": side * rng.uniform(62, 100),
        "3_back": 180 + rng.normal(0, 14),
        "4_full": rng.normal(0, 16),
        "7_additional": side * rng.uniform(22, 62) + (180 if rng.random() < 0.18 else 0),
    }[view]
    cropped = view in ("1_front", "2_side", "3_back") and rng.random() < 0.62
    span = rng.uniform(0.68, 0.84) if cropped else rng.uniform(1.05, 1.13)
    if view == "4_full":
        span = rng.uniform(1.1, 1.22)
    if view == "7_additional":
        span = rng.uniform(0.62, 1.1)
    left, right = _ARM_PAIRS[int(rng.integers(len(_ARM_PAIRS) if view != "2_side" else 11))]
    leg_left, leg_right = _LEG_PAIRS[int(rng.integers(len(_LEG_PAIRS)))]
    looks_back = view == "3_back" and rng.random() < 0.25
    return Pose(
        yaw=float(yaw),
        lean=float(rng.normal(0, 3.5)),
        bow=float(rng.normal(1, 2.5)),
        chest_twist=float(rng.normal(0, 6)),
        hip_tilt=float(rng.normal(0, 2.5)),
        head_yaw=float(side * rng.uniform(35, 60) if looks_back else rng.normal(0, 11)),
        head_pitch=float(rng.normal(0, 4)),
        left_arm=_arm(rng, left, clearance_deg=clearance_deg),
        right_arm=_arm(rng, right, clearance_deg=clearance_deg),
        left_leg=_leg(rng, leg_left),
        right_leg=_leg(rng, leg_right),
        camera_pitch=float(rng.uniform(2, 6)),
        span=float(span),
        headroom=float(rng.uniform(0.025, 0.07)),
        shift=float(rng.normal(0, 0.02)),
    )


def _arm(rng: np.random.Generator, angles: tuple[float, float, float, float], *, clearance_deg: float) -> Arm:
    abduct, flex, twist, elbow = np.array(angles) + rng.normal(0, 1, 4) * (3.0, 4.0, 5.0, 5.0)
    if abduct < 30:
        abduct, twist = abduct + clearance_deg, twist * (1 - 0.02 * clearance_deg)
    return Arm(
        abduct=float(max(abduct, 8.0)), flex=float(flex), twist=float(twist), elbow=float(max(elbow, 4.0))
    )


def _leg(rng: np.random.Generator, angles: tuple[float, float, float]) -> Leg:
    abduct, flex, knee = np.array(angles) + rng.normal(0, 1, 3) * (1.0, 2.0, 1.5)
    return Leg(abduct=float(max(abduct, 0.8)), flex=float(flex), knee=float(max(knee, 0.0)))
