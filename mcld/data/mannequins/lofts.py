"""Tubes swept along curves: the one shape of which a mannequin is built."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Triangles with surface coordinates.

    `around` counts turns (its fraction matters); `along` is 0..1 on a limb's first bone, 1..2 on its second.
    """

    positions: np.ndarray  # (N, 3) float, metres: x to the person's left at rest, y up, z forward
    normals: np.ndarray  # (N, 3) float, unit length, outward
    around: np.ndarray  # (N,) float
    along: np.ndarray  # (N,) float
    rest: np.ndarray  # (N, 3) float: where the vertex lies in the part's own unposed frame
    triangles: np.ndarray  # (T, 3) int64
    limb: np.ndarray  # (T,) int8: whose charts these triangles use
    layer: np.ndarray  # (T,) int8: what they are made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Cross-sections of a tube. The ring angle starts at -side and goes through +front to +side."""

    centres: np.ndarray  # (R, 3)
    side: np.ndarray  # (R, 3) unit vectors
    front: np.ndarray  # (R, 3) unit vectors
    points: (
        np.ndarray
    )  # (R, S + 1, 3) in the rings' frames: side, axis, front; the last column repeats the first


def smooth_profile(at: np.ndarray, *, table: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """A table (first column the place) interpolated by monotone cubics at `at`: (len(at), C - 1)."""
    rows = np.array(table, dtype=np.float64)
    place, values = rows[:, 0], rows[:, 1:]
    step = np.diff(place)[:, None]
    slope = np.diff(values, axis=0) / step
    # Harmonic means where neighbours agree in sign (Fritsch and Butland 1984): no overshoot, no lumps.
    left, right = slope[:-1], slope[1:]
    agree = left * right > 0
    middle = np.where(agree, 2 * left * right / np.where(agree, left + right, 1.0), 0.0)
    tangent = np.concatenate([slope[:1], middle, slope[-1:]])
    clipped = np.clip(at, place[0], place[-1])
    cell = np.clip(np.searchsorted(place, clipped, side="right") - 1, 0, len(place) - 2)
    width = step[cell]
    part = ((clipped - place[cell]) / width[:, 0])[:, None]
    inverse = 1 - part
    return np.asarray(
        values[cell] * (1 + 2 * part) * inverse**2
        + tangent[cell] * width * part * inverse**2
        + values[cell + 1] * part**2 * (3 - 2 * part)
        - tangent[cell + 1] * width * part**2 * inverse
    )


def ring_angles(num_segments: int) -> np.ndarray:
    """(S + 1,) turns from 0 to 1 inclusive."""
    return np.linspace(0.0, 1.0, num_segments + 1)


def ellipse_points(
    turns: np.ndarray, *, side: np.ndarray, front: np.ndarray, back: np.ndarray, power: float = 2.0
) -> np.ndarray:
    """(R, S + 1, 3) ring points with different depth before and behind; power > 2 squares the shape."""
    cos, sin = np.cos(2 * np.pi * turns)[None], np.sin(2 * np.pi * turns)[None]
    exponent = 2.0 / power
    across = -np.sign(cos) * np.abs(cos) ** exponent * side[:, None]
    depth = np.sign(sin) * np.abs(sin) ** exponent * np.where(sin >= 0, front[:, None], back[:, None])
    return np.stack([across, np.zeros_like(across), depth], axis=2)


def inflate(points: np.ndarray, *, offset_m: np.ndarray) -> np.ndarray:
    """Push ring points (R, S + 1, 3) away from their ring's axis by offset_m (R, S + 1)."""
    length = np.sqrt(points[..., 0] ** 2 + points[..., 2] ** 2)
    scale = 1 + offset_m / np.maximum(length, 1e-4)
    return np.asarray(points * np.stack([scale, np.ones_like(scale), scale], axis=2))


def loft(
    rings: Rings,
    *,
    around: np.ndarray,
    along: np.ndarray,
    rest: np.ndarray | None,
    limb: int,
    layer: int,
    columns: slice | None = None,
) -> Surface:
    """Skin the rings with triangles. around, along: (R, S + 1); columns: keep only a part of the turn."""
    axis = np.cross(rings.front, rings.side)
    frames = np.stack([rings.side, axis, rings.front], axis=1)  # (R, 3 axes, 3)
    positions = rings.centres[:, None] + np.einsum("rsa,rax->rsx", rings.points, frames)
    normals = _grid_normals(positions, centres=rings.centres)
    keep = columns or slice(None)
    positions, normals, around, along = positions[:, keep], normals[:, keep], around[:, keep], along[:, keep]
    shape = positions[:, :, :1].shape
    kept_rest = np.zeros(positions.shape) if rest is None else rest[:, keep]
    triangles = _grid_triangles(shape[0], shape[1], positions=positions, normals=normals)
    count = len(triangles)
    return Surface(
        positions=positions.reshape(-1, 3),
        normals=normals.reshape(-1, 3),
        around=around.ravel(),
        along=along.ravel(),
        rest=kept_rest.reshape(-1, 3),
        triangles=triangles,
        limb=np.full(count, limb, np.int8),
        layer=np.full(count, layer, np.int8),
    )


def join(surfaces: list[Surface]) -> Surface:
    """One surface out of many."""
    starts = np.cumsum([0] + [len(surface.positions) for surface in surfaces[:-1]])
    return Surface(
        positions=np.concatenate([surface.positions for surface in surfaces]),
        normals=np.concatenate([surface.normals for surface in surfaces]),
        around=np.concatenate([surface.around for surface in surfaces]),
        along=np.concatenate([surface.along for surface in surfaces]),
        rest=np.concatenate([surface.rest for surface in surfaces]),
        triangles=np.concatenate(
            [surface.triangles + start for surface, start in zip(surfaces, starts, strict=True)]
        ),
        limb=np.concatenate([surface.limb for surface in surfaces]),
        layer=np.concatenate([surface.layer for surface in surfaces]),
    )


def two_sided(surface: Surface) -> Surface:
    """The surface and its inside, for cloth that is seen from both."""
    inside = replace(surface, normals=-surface.normals, triangles=surface.triangles[:, ::-1])
    return join([surface, inside])


def _grid_normals(positions: np.ndarray, *, centres: np.ndarray) -> np.ndarray:
    along = np.gradient(positions, axis=0)
    ring = positions[:, :-1]
    around = np.roll(ring, -1, axis=1) - np.roll(ring, 1, axis=1)
    around = np.concatenate([around, around[:, :1]], axis=1)
    normals = np.cross(around, along)
    outward = positions - centres[:, None]
    # One sign for the whole tube: local signs would flip in folds.
    if np.einsum("rsx,rsx->", normals, outward) < 0:
        normals = -normals
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    fallback = outward / np.maximum(np.linalg.norm(outward, axis=2, keepdims=True), 1e-9)
    return np.asarray(np.where(length > 1e-12, normals / np.maximum(length, 1e-12), fallback))


def _grid_triangles(
    num_rows: int, num_columns: int, *, positions: np.ndarray, normals: np.ndarray
) -> np.ndarray:
    index = np.arange(num_rows * num_columns).reshape(num_rows, num_columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    flat = positions.reshape(-1, 3)
    corners = flat[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if np.einsum("tx,tx->", face, normals.reshape(-1, 3)[triangles[:, 0]]) < 0:
        triangles = triangles[:, ::-1]
    return triangles
