"""How far clothes stand off the body, and where their edges lie."""

from __future__ import annotations

import numpy as np

from mcld.data.mannequins.wardrobe import WAIST_ALONG, Bottom, Outfit, Top

TUCKED_FROM = 0.36  # a top whose hem is above this torso height is worn inside the waistband


def ramp(at: np.ndarray, *, start: float, end: float) -> np.ndarray:
    """Smoothstep from 0 at start to 1 at end (start may exceed end)."""
    part = np.clip((at - start) / (end - start), 0.0, 1.0)
    return np.asarray(part * part * (3 - 2 * part))


def step_rings(along: np.ndarray, *, edges: tuple[float, ...]) -> np.ndarray:
    """Add a pair of rings at each edge, so that a hem is a crisp step."""
    extra = [edge + shift for edge in edges for shift in (-0.006, 0.0)]
    return np.unique(np.concatenate([along, extra])) if extra else along


# Where cloth gathers: place along the limb, reach, depth in metres.
TORSO_KNOTS = ((0.42, 0.10, 0.0024), (0.24, 0.08, 0.0014))
ARM_KNOTS = ((1.0, 0.28, 0.0022), (1.75, 0.22, 0.0020))
LEG_KNOTS = ((0.08, 0.14, 0.0022), (1.0, 0.20, 0.0020), (1.75, 0.18, 0.0026))


def folds_m(
    along: np.ndarray,
    *,
    turns: np.ndarray,
    offset_m: np.ndarray,
    knots: tuple[tuple[float, float, float], ...],
    phase: float,
) -> np.ndarray:
    """Relief of slanting folds, (R, S + 1) metres; bare skin (no offset) has none."""
    relief = np.zeros((len(along), len(turns)))
    for number, (place, reach, depth) in enumerate(knots):
        window = np.exp(-(((along - place) / reach) ** 2))[:, None]
        slant = (
            2
            * np.pi
            * (turns[None] * (2 + number) + (along[:, None] - place) / reach * 0.85 + phase * (number + 1))
        )
        cross = 2 * np.pi * (turns[None] * -3 + (along[:, None] - place) / reach * 0.6 + 2.3 * phase)
        relief += depth * window * (np.sin(slant) + 0.6 * np.sin(cross))
    return np.asarray(relief * 0.85 * np.clip(offset_m / 0.008, 0, 1)[:, None])


def torso_edges(outfit: Outfit) -> tuple[float, ...]:
    """Where clothes end on the torso."""
    edges = [outfit.top.hem] if not outfit.is_dress else []
    if outfit.outer is not None:
        edges.append(outfit.outer.hem)
    if outfit.top.hem > TUCKED_FROM:
        edges.append(WAIST_ALONG)
    return tuple(edges)


def waistband_offset_m(bottom: Bottom) -> float:
    """How far trousers and skirts stand off the hips."""
    return 0.004 + 0.35 * bottom.looseness_m


def torso_offset_m(outfit: Outfit, *, along: np.ndarray) -> np.ndarray:
    """How far clothes stand off the torso, (R,) metres."""
    offset = np.where(along < WAIST_ALONG, waistband_offset_m(outfit.bottom), 0.0)
    offset = np.maximum(offset, _top_offset_m(outfit.top, along=along))
    if outfit.outer is not None:
        offset = np.maximum(offset, _top_offset_m(outfit.outer, along=along))
    return np.asarray(offset)


def _top_offset_m(top: Top, *, along: np.ndarray) -> np.ndarray:
    # Loose cloth hangs from the chest and skips the waist; at the neck it lies close.
    slack = 1.0 + 0.9 * ramp(along, start=0.72, end=0.5) * ramp(along, start=0.08, end=0.36)
    if top.hem > TUCKED_FROM:
        slack = 1.0 + 0.2 * ramp(along, start=0.72, end=0.5)
    close = 1.0 - 0.75 * ramp(along, start=0.84, end=0.97)
    return np.where(along >= top.hem, top.looseness_m * slack * close, 0.0)


def arm_edges(outfit: Outfit) -> tuple[float, ...]:
    """Where sleeves end."""
    tops = [outfit.top] + ([outfit.outer] if outfit.outer is not None else [])
    return tuple(top.sleeve for top in tops if top.sleeve > 0)


def arm_offset_m(outfit: Outfit, *, along: np.ndarray) -> np.ndarray:
    """How far sleeves stand off the arm, (R,) metres."""
    offset = np.zeros_like(along)
    for top in (outfit.top, outfit.outer):
        if top is not None and top.sleeve > 0:
            short = 0.012 if top.sleeve < 1.0 else 0.0
            flare = short * ramp(along, start=0.0, end=top.sleeve)
            cuff = (
                0.5 * top.looseness_m * ramp(along, start=top.sleeve - 0.25, end=top.sleeve)
                if top.sleeve > 1.5
                else 0.0
            )
            ease = 0.2 + 0.8 * ramp(along, start=-0.1, end=0.35)
            offset = np.maximum(
                offset, np.where(along < top.sleeve, 0.002 + ease * top.looseness_m + flare - cuff, 0.0)
            )
    return offset


def leg_edges(outfit: Outfit) -> tuple[float, ...]:
    """Where trousers and boots end."""
    edges = () if outfit.bottom.skirt else (outfit.bottom.hem,)
    return (*edges, BOOT_TOP) if outfit.boots else edges


BOOT_TOP = 1.74


def leg_offset_m(outfit: Outfit, *, along: np.ndarray) -> np.ndarray:
    """How far trousers and boots stand off the leg, (R,) metres."""
    bottom = outfit.bottom
    offset = np.where(along > BOOT_TOP, 0.008, 0.0) if outfit.boots else np.zeros_like(along)
    if bottom.skirt:
        return offset
    flare = bottom.flare * ramp(along, start=min(0.9, bottom.hem - 0.4), end=bottom.hem)
    # Calves swell under cloth that does not: ease grows where the leg is thin.
    ease = bottom.looseness_m * (0.7 + 1.2 * ramp(along, start=0.55, end=1.0))
    return np.maximum(offset, np.where(along < bottom.hem, 0.004 + ease + flare, 0.0))
