"""The naked outline: radii of torso and limbs, and how identity changes them."""

from __future__ import annotations

import numpy as np

from mcld.data.mannequins.drape import ramp
from mcld.data.mannequins.lofts import smooth_profile
from mcld.data.mannequins.people import Identity

# Tables: place, side radius, front radius, back radius [metres at scale 1], for women and for men.
_TORSO_WOMAN = (
    (0.00, 0.030, 0.040, 0.045),
    (0.03, 0.092, 0.068, 0.078),
    (0.08, 0.148, 0.090, 0.108),
    (0.15, 0.168, 0.099, 0.118),
    (0.22, 0.166, 0.100, 0.112),
    (0.32, 0.140, 0.093, 0.090),
    (0.43, 0.117, 0.086, 0.078),
    (0.54, 0.124, 0.094, 0.080),
    (0.66, 0.140, 0.112, 0.090),
    (0.76, 0.152, 0.102, 0.096),
    (0.83, 0.164, 0.086, 0.094),
    (0.885, 0.166, 0.068, 0.082),
    (0.920, 0.146, 0.058, 0.072),
    (0.95, 0.108, 0.052, 0.064),
    (0.98, 0.070, 0.050, 0.058),
    (1.00, 0.052, 0.047, 0.055),
)
_TORSO_MAN = (
    (0.00, 0.030, 0.040, 0.045),
    (0.03, 0.092, 0.072, 0.078),
    (0.08, 0.142, 0.090, 0.100),
    (0.15, 0.158, 0.098, 0.110),
    (0.22, 0.157, 0.100, 0.105),
    (0.32, 0.148, 0.099, 0.095),
    (0.43, 0.143, 0.098, 0.090),
    (0.54, 0.153, 0.104, 0.095),
    (0.66, 0.171, 0.113, 0.106),
    (0.76, 0.184, 0.112, 0.112),
    (0.83, 0.197, 0.096, 0.108),
    (0.885, 0.198, 0.078, 0.096),
    (0.920, 0.174, 0.067, 0.084),
    (0.95, 0.130, 0.060, 0.074),
    (0.98, 0.084, 0.056, 0.066),
    (1.00, 0.061, 0.053, 0.062),
)
ARM = (
    (-0.16, 0.003, 0.003, 0.003),
    (-0.14, 0.019, 0.021, 0.021),
    (-0.09, 0.036, 0.038, 0.038),
    (0.02, 0.049, 0.050, 0.050),
    (0.25, 0.048, 0.047, 0.047),
    (0.60, 0.041, 0.043, 0.041),
    (0.95, 0.036, 0.037, 0.037),
    (1.20, 0.038, 0.039, 0.038),
    (1.60, 0.031, 0.030, 0.030),
    (1.95, 0.024, 0.026, 0.026),
    (2.05, 0.021, 0.026, 0.026),
)
LEG = (
    (-0.12, 0.050, 0.050, 0.055),
    (0.00, 0.078, 0.080, 0.086),
    (0.20, 0.081, 0.084, 0.088),
    (0.50, 0.071, 0.076, 0.074),
    (0.85, 0.056, 0.060, 0.056),
    (1.00, 0.052, 0.058, 0.053),
    (1.15, 0.050, 0.053, 0.058),
    (1.35, 0.050, 0.046, 0.064),
    (1.60, 0.042, 0.040, 0.050),
    (1.85, 0.033, 0.034, 0.037),
    (2.00, 0.032, 0.036, 0.038),
    (2.08, 0.030, 0.036, 0.036),
)


def torso_radii_m(identity: Identity, *, along: np.ndarray, scale: float) -> np.ndarray:
    """(R, 3): side, front and back radius."""
    woman, man = smooth_profile(along, table=_TORSO_WOMAN), smooth_profile(along, table=_TORSO_MAN)
    middle = ramp(along, start=0.95, end=0.7)[:, None]
    mixed = identity.feminine * woman + (1 - identity.feminine) * man
    return np.asarray(mixed * scale * (1 + 0.07 * identity.build * (0.4 + 0.6 * middle)))


def bust_m(identity: Identity, *, along: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Forward relief of the chest, (R, S + 1) metres."""
    across = (turns[None] - 0.25) / 0.058
    up = (along[:, None] - 0.655) / 0.062
    bumps = np.exp(-((np.abs(across) - 1.05) ** 2) - up**2)
    return np.asarray((0.022 * identity.feminine + 0.005) * bumps)


def seat_m(identity: Identity, *, along: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Backward relief of the seat, (R, S + 1) metres."""
    across = (turns[None] - 0.75) / 0.075
    up = (along[:, None] - 0.13) / 0.085
    return np.asarray((0.012 + 0.010 * identity.feminine) * np.exp(-((np.abs(across) - 0.9) ** 2) - up**2))
