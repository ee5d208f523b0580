"""Light: a soft key from above, a bright room, occlusion from the depth map, a studio backdrop."""

from __future__ import annotations

import numpy as np

from mcld.data.mannequins.materials import HAIR_STUFF, SHOE, SKIN, Painted

_KEY = np.array([-0.42, 0.62, 0.66]) / np.linalg.norm([-0.42, 0.62, 0.66])
_RIM = np.array([0.75, 0.35, -0.45]) / np.linalg.norm([0.75, 0.35, -0.45])
_DISC = tuple(
    (float(reach * np.cos(turn)), float(reach * np.sin(turn)))
    for reach, count in ((0.4, 6), (0.75, 9), (1.1, 12))
    for turn in 2 * np.pi * (np.arange(count) + 0.5 * (count == 9)) / count
)
_BACKDROP = np.array([0.958, 0.954, 0.946])


def box_blur(field: np.ndarray, *, radius_px: int) -> np.ndarray:
    """Mean over (2r+1)² pixels; borders repeat."""
    size = 2 * radius_px + 1
    for axis in (0, 1):
        pad = [(0, 0)] * field.ndim
        pad[axis] = (radius_px + 1, radius_px)
        total = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float32)
        length = field.shape[axis]
        first, last = np.arange(length), np.arange(length) + size
        field = (np.take(total, last, axis=axis) - np.take(total, first, axis=axis)) / size
    return field


def occlusion(depth_m: np.ndarray, *, covered: np.ndarray, metre_px: float) -> np.ndarray:
    """How open each pixel is to the room, 0..1 (H, W).

    Depth buffer unsharp masking (Luft et al. 2006): what lies behind its neighbourhood gets less light.
    """
    floor = depth_m[covered].min() - 0.25 if covered.any() else 0.0
    depth = np.where(covered, depth_m, floor).astype(np.float32)
    open_sky = np.ones(depth.shape, dtype=np.float32)
    for reach_m, strength in ((0.018, 5.0), (0.055, 2.4)):
        radius = max(round(reach_m * metre_px), 1)
        blurred = box_blur(box_blur(depth, radius_px=radius), radius_px=radius)
        nearer = np.clip(blurred - depth, 0.0, 0.10)
        open_sky *= 1.0 / (1.0 + strength * nearer * 2.8)
    return open_sky


def cast_shadow(depth_m: np.ndarray, *, covered: np.ndarray, metre_px: float) -> np.ndarray:
    """Share of the key light that arrives, 0..1 (H, W), by marching the depth map towards the light."""
    depth = np.where(covered, depth_m, -9.0).astype(np.float32)
    shadow = np.zeros(depth.shape, dtype=np.float32)
    for reach_m in (0.02, 0.04, 0.065, 0.095, 0.13, 0.17):
        dx, dy = round(_KEY[0] * reach_m * metre_px), round(-_KEY[1] * reach_m * metre_px)
        moved = _shifted(depth, dx=dx, dy=dy)
        above = moved - (depth + _KEY[2] * reach_m)
        blocked = np.clip(above / 0.02, 0, 1) * (above < 0.22)
        shadow = np.maximum(shadow, blocked * (1 - reach_m * 2.2))
    return 1 - box_blur(shadow, radius_px=max(round(0.010 * metre_px), 1))


def _shifted(field: np.ndarray, *, dx: int, dy: int) -> np.ndarray:
    """field[y + dy, x + dx], far background beyond the border."""
    height, width = field.shape
    moved = np.full_like(field, -9.0)
    rows, columns = slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
    moved[rows, columns] = field[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    return moved


def soften_seams(
    normals: np.ndarray,
    *,
    pixel: np.ndarray,
    depth_m: np.ndarray,
    piece: np.ndarray,
    stuff: np.ndarray,
    metre_px: float,
) -> np.ndarray:
    """Blend normals (P, 3) where two pieces of one stuff pass into each other, as a thigh into the hip.

    piece, stuff: (P,) small integers. Only points near a seam are touched, so this costs little.
    """
    height, width = depth_m.shape
    row_of = np.full(height * width, -1, dtype=np.int64)
    row_of[pixel] = np.arange(len(pixel))
    depth = depth_m.ravel()[pixel]
    near = np.zeros(height * width, dtype=np.float32)
    for step in (1, width):
        other = row_of[np.minimum(pixel + step, height * width - 1)]
        seam = (
            (other >= 0)
            & (piece != piece[other])
            & (stuff == stuff[other])
            & (np.abs(depth - depth[other]) < 0.02)
        )
        near[pixel[seam]] = 1.0
    radius = max(round(0.030 * metre_px), 1)
    spread = box_blur(
        box_blur(near.reshape(height, width), radius_px=radius), radius_px=max(radius // 2, 1)
    ).ravel()[pixel]
    chosen = np.flatnonzero(spread > 1e-4)
    total = normals[chosen].copy()
    for dx, dy in _DISC:
        x = np.clip(pixel[chosen] % width + round(dx * radius), 0, width - 1)
        y = np.clip(pixel[chosen] // width + round(dy * radius), 0, height - 1)
        other = row_of[y * width + x]
        same = (other >= 0) & (stuff[other] == stuff[chosen]) & (np.abs(depth[other] - depth[chosen]) < 0.045)
        total += same[:, None] * normals[other]
    total /= np.linalg.norm(total, axis=1, keepdims=True) + 1e-9
    weight = np.clip(spread[chosen] * radius * 2.2, 0, 1)[:, None]
    softened = normals.copy()
    mixed = normals[chosen] * (1 - weight) + total * weight
    softened[chosen] = mixed / (np.linalg.norm(mixed, axis=1, keepdims=True) + 1e-9)
    return softened


def light(
    painted: Painted, *, normals: np.ndarray, openness: np.ndarray, key_share: np.ndarray
) -> np.ndarray:
    """Linear colours (P, 3) of shaded points. normals: (P, 3) in camera space."""
    skin, hair, shoe = painted.stuff == SKIN, painted.stuff == HAIR_STUFF, painted.stuff == SHOE
    wrap = np.where(skin, 0.45, 0.32)
    key = np.clip((normals @ _KEY + wrap) / (1 + wrap), 0, 1) ** 1.15 * (0.25 + 0.75 * key_share)
    sky = 0.5 + 0.5 * normals[:, 1]
    room = (0.36 + 0.20 * sky)[:, None] * np.array([0.97, 0.99, 1.03])
    bounce = np.clip(-normals[:, 1], 0, 1)[:, None] * np.array([0.10, 0.09, 0.08])
    room = room * np.where(skin, 1.10, 1.0)[:, None]  # scattering fills skin's shadows
    total = 0.70 * key[:, None] * np.array([1.03, 1.0, 0.96]) + (room + bounce) * openness[:, None]
    # Light that has travelled through skin turns red where it fades.
    fade = np.clip(1 - np.abs(key - 0.35) / 0.35, 0, 1) * skin
    total = total * (1 + fade[:, None] * np.array([0.06, 0.0, -0.02]))
    colour = painted.albedo * total
    half = _KEY + np.array([0, 0, 1.0])
    half = half / np.linalg.norm(half)
    facing = np.clip(normals @ half, 0, 1)
    gloss = np.select(
        [skin, hair, shoe], [0.05 * facing**18, 0.10 * facing**14, 0.16 * facing**30], 0.012 * facing**8
    )
    rim = np.clip(normals @ _RIM, 0, 1) ** 2 * 0.10
    return np.asarray(
        colour + (gloss * key_share)[:, None] + (rim * openness)[:, None] * (0.3 + painted.albedo)
    )


def backdrop(height_px: int, *, width_px: int, feet_px: np.ndarray, metre_px: float) -> np.ndarray:
    """(H, W, 3) linear: near-white paper with soft shadows around the feet. feet_px: (F, 2) x, y."""
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32) + 0.5
    glow = np.exp(-(((x / width_px - 0.45) / 0.75) ** 2 + ((y / height_px - 0.40) / 0.85) ** 2))
    shade = 0.93 + 0.09 * glow
    for foot_x, foot_y in feet_px:
        for wide_m, high_m, strength in ((0.11, 0.026, 0.34), (0.30, 0.07, 0.16)):
            away = ((x - foot_x) / (wide_m * metre_px)) ** 2 + ((y - foot_y) / (high_m * metre_px)) ** 2
            shade = shade * (1 - strength * np.exp(-away))
    return np.asarray(shade[..., None] * np.power(_BACKDROP, 2.2))


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to 0..255 float with a gentle shoulder, so that white cloth keeps its folds."""
    knee = 0.80
    rolled = np.where(linear > knee, knee + (1 - knee) * np.tanh((linear - knee) / (1 - knee)), linear)
    return np.asarray(255.0 * np.power(np.clip(rolled, 0, 1), 1 / 2.2))
