"""The face, drawn in the head's own coordinates: metres across, fractions of the head's height."""

from __future__ import annotations

import numpy as np

from mcld.data.mannequins.head import hairline_height
from mcld.data.mannequins.patterns import linear
from mcld.data.mannequins.people import Identity

_HEAD_M = 0.243


def paint_head(identity: Identity, *, rest: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (P, 3) in linear light of head and neck, and which pixels are hair (P,) in 0..1."""
    x, height, z = rest.T
    angle = np.degrees(np.abs(np.arctan2(x, z)))
    colour = np.repeat(skin[None], len(x), 0)
    front = (z > 0.02) & (height > -0.02)
    colour[front] = _paint_face(identity, rest=rest[front], colour=colour[front], skin=skin)
    strand = 0.004 * np.sin(angle * 0.31 + 3) + 0.003 * np.sin(angle * 1.7)
    hair = np.clip((height - hairline_height(identity, angle_deg=angle) - strand) / 0.02 + 0.5, 0, 1)
    return colour + hair[:, None] * (linear(identity.hair) - colour), hair


def _over(colour: np.ndarray, *, paint: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.asarray(colour + np.clip(weight, 0, 1)[:, None] * (paint - colour))


def _paint_face(identity: Identity, *, rest: np.ndarray, colour: np.ndarray, skin: np.ndarray) -> np.ndarray:
    x, y, z = rest[:, 0], rest[:, 1] * _HEAD_M, rest[:, 2]  # y: metres above the chin
    colour = _skin_tones(identity, x=x, y=y, colour=colour, skin=skin)
    if identity.beard > 0:
        colour = _beard(identity, x=x, y=y, z=z, colour=colour, skin=skin)
    colour = _mouth(identity, x=x, y=y, colour=colour, skin=skin)
    colour = _eyes(identity, x=np.abs(x), y=y, side=np.sign(x), colour=colour, skin=skin)
    return _brows(identity, x=np.abs(x), y=y, colour=colour)


def _skin_tones(
    identity: Identity, *, x: np.ndarray, y: np.ndarray, colour: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    rosy = skin * (1.06, 0.66, 0.62)
    cheeks = np.exp(-(((np.abs(x) - 0.043) / 0.017) ** 2) - (((y - 0.083) / 0.015) ** 2))
    colour = _over(
        colour, paint=rosy, weight=(0.22 + 0.4 * identity.blush) * (0.4 + 0.6 * identity.feminine) * cheeks
    )
    tip_y = 0.0838 - 0.0044 * identity.nose_length
    nose = np.exp(-((x / 0.012) ** 2) - (((y - tip_y) / 0.008) ** 2))
    colour = _over(colour, paint=rosy, weight=0.28 * nose)
    under = np.exp(
        -((x / (0.010 + 0.002 * identity.nose_width)) ** 2) - (((y - tip_y + 0.0095) / 0.0028) ** 2)
    )
    nostrils = np.exp(
        -(((np.abs(x) - 0.0062 - 0.001 * identity.nose_width) / 0.003) ** 2)
        - (((y - tip_y + 0.009) / 0.0023) ** 2)
    )
    return _over(colour, paint=skin * (0.42, 0.28, 0.25), weight=0.55 * nostrils + 0.28 * under)


def _beard(
    identity: Identity, *, x: np.ndarray, y: np.ndarray, z: np.ndarray, colour: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    edge = 0.050 + 0.5 * np.clip(np.abs(x) - 0.022, 0, None)
    jaw = np.clip((edge - y) / 0.012 + 0.5, 0, 1) * np.clip((z - 0.012) / 0.03, 0, 1)
    moustache = np.exp(-((x / 0.026) ** 4) - (((y - 0.0625 + 0.1 * np.abs(x)) / 0.0045) ** 4))
    around_mouth = 1 - np.exp(-((x / 0.023) ** 4) - (((y - 0.0505) / 0.0095) ** 4))
    weight = np.maximum(jaw * around_mouth, moustache) * (0.35 + 0.5 * identity.beard)
    return _over(colour, paint=0.75 * linear(identity.hair) + 0.1 * skin, weight=weight)


def _mouth(
    identity: Identity, *, x: np.ndarray, y: np.ndarray, colour: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    half = 0.0245 + 0.003 * identity.mouth_width
    middle = 0.0505
    full = 1 + 0.28 * identity.lip_fullness
    arch = np.clip(1 - (x / half) ** 2, 0, 1)
    smile = 0.0040 * (x / half) ** 2
    line = middle + smile
    upper = (0.0062 * arch**0.8 - 0.0014 * np.exp(-((x / 0.004) ** 2))) * full
    lower = 0.0084 * arch**0.75 * full
    lips = np.clip((np.minimum(line + upper - y, y - line + lower)) / 0.0018 + 0.5, 0, 1) * (np.abs(x) < half)
    strength = 0.5 + 0.4 * identity.feminine
    tint = skin * np.array([0.90, 0.42 - 0.06 * identity.lip_tone, 0.42]) + np.array(
        [0.05 + 0.03 * identity.lip_tone, 0.0, 0.01]
    )
    colour = _over(colour, paint=tint, weight=strength * lips)
    seam = np.exp(-(((y - line) / 0.0015) ** 2)) * np.clip((half + 0.001 - np.abs(x)) / 0.004, 0, 1)
    colour = _over(colour, paint=skin * (0.28, 0.10, 0.10), weight=0.75 * seam)
    below = np.exp(-((x / 0.013) ** 2) - (((y - middle + 0.0105) / 0.003) ** 2))
    return _over(colour, paint=skin * (0.6, 0.48, 0.44), weight=0.3 * below)


def _eyes(
    identity: Identity,
    *,
    x: np.ndarray,
    y: np.ndarray,
    side: np.ndarray,
    colour: np.ndarray,
    skin: np.ndarray,
) -> np.ndarray:
    size = 1 + 0.10 * identity.eye_size
    middle = 0.0315 + 0.002 * identity.eye_spacing
    dx = (x - middle) / (0.0162 * size)
    dy = (y - 0.1215 - 0.10 * identity.eye_tilt * (x - middle)) / (0.0090 * size)
    lid = 1 - np.abs(dx) ** 2.2
    socket = np.exp(-((dx / 1.35) ** 2) - (((dy - 0.5) / 1.8) ** 2))
    shade = skin * (0.66, 0.46, 0.42)
    colour = _over(colour, paint=shade, weight=(0.28 + 0.22 * identity.feminine) * socket)
    opening = np.clip(np.minimum(lid - dy, 0.85 * lid + dy) / 0.22 + 0.5, 0, 1) * (np.abs(dx) < 1)
    colour = _over(colour, paint=np.array([0.90, 0.88, 0.86]), weight=opening)
    iris = np.hypot(dx * 0.0162, (dy - 0.05) * 0.0090) / 0.0078
    eye = linear(identity.eye)
    colour = _over(colour, paint=eye * 0.9, weight=opening * np.clip((1 - iris) / 0.18 + 0.5, 0, 1))
    colour = _over(
        colour, paint=np.array([0.01, 0.01, 0.012]), weight=opening * np.clip((0.52 - iris) / 0.2 + 0.5, 0, 1)
    )
    glint = np.hypot(x - middle - side * 0.0 + 0.0016 * side, y - 0.1243) / 0.0019
    colour = _over(colour, paint=np.array([0.98, 0.98, 0.98]), weight=np.clip(1.3 - glint, 0, 1))
    lash = np.exp(-(((dy - np.clip(lid, 0, 1) - 0.03) / (0.20 + 0.10 * identity.feminine)) ** 2)) * (
        np.abs(dx) < 1.08
    )
    colour = _over(
        colour, paint=np.array([0.02, 0.013, 0.012]), weight=(0.7 + 0.28 * identity.feminine) * lash
    )
    under = np.exp(-(((dy + 0.9 * np.clip(lid, 0, 1)) / 0.16) ** 2)) * (np.abs(dx) < 1)
    return _over(colour, paint=skin * (0.4, 0.26, 0.24), weight=0.4 * under)


def _brows(identity: Identity, *, x: np.ndarray, y: np.ndarray, colour: np.ndarray) -> np.ndarray:
    middle = 0.033 + 0.002 * identity.eye_spacing
    along = (x - middle) / 0.0185
    curve = 0.1430 + 0.0022 * identity.brow_tilt * along - 0.0034 * along**2
    thick = (0.0030 + 0.0010 * identity.brow_thickness - 0.0006 * identity.feminine) * np.clip(
        1.1 - 0.35 * along, 0.4, 1.4
    )
    weight = np.exp(-(np.abs((y - curve) / thick) ** 3)) * np.clip((1 - np.abs(along)) / 0.2, 0, 1)
    hair = np.minimum(linear(identity.hair) * 0.75, 0.16)
    return _over(colour, paint=hair, weight=0.85 * weight)
