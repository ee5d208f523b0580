"""Fabric patterns as functions of garment coordinates, evaluated per pixel so that they stay crisp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcld.data.mannequins.wardrobe import Colour, Fabric


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dye:
    ground: np.ndarray  # (3,) linear light, as the other two
    second: np.ndarray
    accent: np.ndarray
    seed: int


_SOFT = 0.06  # width of an edge, in repeats


def _edge(distance: np.ndarray) -> np.ndarray:
    """0 where distance is negative, 1 where positive, soft between."""
    return np.clip(distance / _SOFT + 0.5, 0.0, 1.0)


def _mix(weight: np.ndarray, *, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.asarray(below + weight[:, None] * (above - below))


def _wave(place: np.ndarray, *, share: float) -> np.ndarray:
    """1 on the given share of each repeat."""
    return _edge(share / 2 - np.abs(np.mod(place, 1.0) - 0.5))


def hashed(column: np.ndarray, row: np.ndarray, *, seed: int) -> np.ndarray:
    """A pseudo-random number in 0..1 for each cell: the same for the same cell and seed."""
    mixed = (column.astype(np.int64) * 73856093) ^ (row.astype(np.int64) * 19349663) ^ (seed * 83492791)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0x7FFFFFFF
    return np.asarray(((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0)


def _plain(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    return np.repeat(dye.ground[None], len(x), 0)


def _stripes(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    share = 0.5 if dye.seed % 3 else 0.34
    colour = _mix(_wave(y, share=share), below=dye.ground[None], above=dye.second[None])
    if dye.seed % 4 == 0:
        colour = _mix(_wave(y + 0.5, share=0.12), below=colour, above=dye.accent[None])
    return colour


def _pinstripes(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    share = 0.22 if dye.seed % 2 else 0.5
    return _mix(_wave(x, share=share), below=dye.ground[None], above=dye.second[None])


def _checks(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    across, down = _wave(x, share=0.5), _wave(y, share=0.5)
    if dye.seed % 2:  # gingham
        return _mix(0.5 * (across + down), below=dye.second[None], above=dye.ground[None])
    colour = _mix(0.45 * across + 0.45 * down, below=dye.ground[None], above=dye.second[None])
    lines = np.maximum(_wave(x + 0.5, share=0.1), _wave(y + 0.5, share=0.1))
    return _mix(0.8 * lines, below=colour, above=dye.accent[None])


def _dots(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    row = np.floor(y)
    across = np.mod(x + 0.5 * np.mod(row, 2), 1.0) - 0.5
    distance = np.hypot(across, np.mod(y, 1.0) - 0.5)
    return _mix(_edge(0.29 - distance), below=dye.ground[None], above=dye.second[None])


def _floral(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    colour = np.repeat(dye.ground[None], len(x), 0)
    shifted = y * 0.95
    column, row = np.floor(x), np.floor(shifted)
    dice = hashed(column, row, seed=dye.seed)
    dx = x - column - 0.5 - 0.18 * (dice - 0.5)
    dy = shifted - row - 0.5 - 0.18 * (hashed(column, row, seed=dye.seed + 1) - 0.5)
    angle, radius = np.arctan2(dy, dx) + 6.3 * dice, np.hypot(dx, dy)
    petals = 0.30 * (0.74 + 0.26 * np.cos(5 * angle)) * (0.75 + 0.45 * dice)
    petal = np.where((dice > 0.45)[:, None], dye.second[None], dye.accent[None])
    colour = _mix(_edge(petals - radius), below=colour, above=petal)
    heart = np.where((dice > 0.45)[:, None], dye.accent[None], dye.second[None])
    colour = _mix(_edge(0.085 - radius), below=colour, above=heart)
    leaf_x, leaf_y = np.mod(x, 1.0) - 0.5, np.mod(shifted + 0.5, 1.0) - 0.5
    leaf = np.abs(leaf_x + leaf_y) / 0.20 + np.abs(leaf_x - leaf_y) / 0.08
    leaf_colour = 0.45 * dye.ground + 0.55 * np.array([0.16, 0.36, 0.20])
    return _mix(_edge((1 - leaf) * 0.15) * (petals < radius), below=colour, above=leaf_colour[None])


def _blocks(x: np.ndarray, y: np.ndarray, dye: _Dye) -> np.ndarray:
    coarse_x, coarse_y = x / 2.0, y / 2.0
    row = np.floor(coarse_y)
    column = np.floor(coarse_x + 0.5 * np.mod(row, 2))
    dice = hashed(np.mod(column, 4), row, seed=dye.seed)[:, None]
    colour = np.where(
        dice < 0.45, dye.ground[None], np.where(dice < 0.75, dye.second[None], dye.accent[None])
    )
    return np.asarray(colour)


_DRAW: dict[str, Callable[[np.ndarray, np.ndarray, _Dye], np.ndarray]] = {
    "plain": _plain,
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "checks": _checks,
    "dots": _dots,
    "floral": _floral,
    "blocks": _blocks,
}


def linear(colour: Colour) -> np.ndarray:
    """sRGB 0..1 to linear light, (3,)."""
    return np.asarray(np.power(np.array(colour), 2.2))


def draw_fabric(
    fabric: Fabric, *, turns: np.ndarray, along_m: np.ndarray, circumference_m: float
) -> np.ndarray:
    """Colours (P, 3) in linear light.

    turns: once around is 1; a whole number of repeats fits it, so that the pattern closes without a seam.
    """
    repeats = max(round(circumference_m / fabric.scale_m), 1)
    if fabric.pattern == "blocks":
        repeats += -repeats % 8
    ground, second, accent = (linear(colour) for colour in fabric.colours)
    dye = _Dye(ground=ground, second=second, accent=accent, seed=fabric.seed)
    return _DRAW[fabric.pattern](turns * repeats, along_m / fabric.scale_m + fabric.phase, dye)


def draw_logo(kind: int, *, x_m: np.ndarray, y_m: np.ndarray) -> np.ndarray:
    """A chest print of the given kind: (P,) 0 outside, 1 its first colour, 2 its second."""
    x, y = x_m / 0.075, y_m / 0.075
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    if kind == 1:  # a sun over the sea
        return np.where(radius < 1, np.where(y < -0.15 + 0.12 * np.sin(9 * x), 2, 1), 0)
    if kind == 2:  # a star
        spike = np.mod(angle / (2 * np.pi) * 5 - 0.25, 1.0)
        return np.where(radius < 0.48 + 0.62 * np.abs(2 * spike - 1) ** 1.4, 1, 0)
    if kind == 3:  # a heart
        return np.where((x**2 + (1.1 * y - 0.75 * np.sqrt(np.abs(x))) ** 2) < 0.72, 1, 0)
    bars = np.where(np.mod(y * 2.2 + 0.5, 1.0) < 0.62, 1, 0)  # bars with a square
    return np.where(
        (np.abs(x) < 1) & (np.abs(y) < 0.95), np.where((np.abs(x) < 0.38) & (np.abs(y) < 0.4), 2, bars), 0
    )
