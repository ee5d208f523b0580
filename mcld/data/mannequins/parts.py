"""Limbs and layers of a mannequin, and the DensePose charts that limbs wear."""

from __future__ import annotations

import numpy as np

TORSO, HEAD, ARM_L, ARM_R, LEG_L, LEG_R, HAND_L, HAND_R, FOOT_L, FOOT_R = range(10)
BODY, SKIRT, HAIR, COLLAR = range(4)

# [limb][bone][half]: half 0 is the first half of the turn (front; for the head the right side).
_CHARTS = np.array(
    [
        [[2, 1], [2, 1]],
        [[23, 24], [23, 24]],
        [[17, 15], [21, 19]],
        [[18, 16], [22, 20]],
        [[10, 8], [14, 12]],
        [[9, 7], [13, 11]],
        [[4, 4], [4, 4]],
        [[3, 3], [3, 3]],
        [[5, 5], [5, 5]],
        [[6, 6], [6, 6]],
    ],
    dtype=np.uint8,
)
_WHOLE_TURN = np.array([False] * 6 + [True] * 4)
_TWO_BONES = np.array([False, False, True, True, True, True, False, False, False, False])


def chart_coordinates(limb: np.ndarray, *, around: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Surface coordinates (P,) to IUV (P, 3) uint8."""
    turn = np.mod(around, 1.0)
    half = (turn >= 0.5).astype(np.int64)
    bone = ((along >= 1.0) & _TWO_BONES[limb]).astype(np.int64)
    u = np.where(_WHOLE_TURN[limb], turn, 2 * turn - half)
    v = np.clip(along - bone, 0.0, 1.0)
    part = _CHARTS[limb, bone, half]
    return np.stack([part, np.rint(255 * u).astype(np.uint8), np.rint(255 * v).astype(np.uint8)], axis=1)
