"""What a person wears: garments, fabrics and palettes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

PATTERNS = ("plain", "stripes", "pinstripes", "checks", "dots", "floral", "blocks")

# Torso positions in "along": 0 crotch, 1 neck base (see body.py).
HIP_ALONG, WAIST_ALONG = 0.15, 0.43


def _rgb(code: str) -> Colour:
    return int(code[0:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:6], 16) / 255


# Each row: ground, second, accent. Chosen by eye to sit well together.
_PALETTES = tuple(
    (_rgb(a), _rgb(b), _rgb(c))
    for a, b, c in (
        ("c8102e", "fff4e6", "1d2a44"),
        ("1f4e8c", "f6f1e7", "e4572e"),
        ("0b6e4f", "f4e9cd", "f2a541"),
        ("f2b134", "2b2d42", "ed553b"),
        ("e56b6f", "fff1e6", "355070"),
        ("264653", "e9c46a", "e76f51"),
        ("6d3b8e", "f5e6ff", "f2a65a"),
        ("f7f3ec", "274690", "d1495b"),
        ("2a9d8f", "fdf0d5", "264653"),
        ("d1495b", "edae49", "00798c"),
        ("3d5a80", "e0fbfc", "ee6c4d"),
        ("f4a6b7", "ffffff", "8d3b72"),
        ("1b1b1e", "f1f1f1", "d7263d"),
        ("87a330", "fefae0", "432818"),
        ("ff7f51", "fff8f0", "3a405a"),
        ("4cc9f0", "ffffff", "3a0ca3"),
        ("faf3dd", "c1121f", "003049"),
        ("5e548e", "e0b1cb", "231942"),
    )
)
_BOTTOM_COLOURS = tuple(
    _rgb(code)
    for code in (
        "2b3a55",
        "3f5d83",
        "6f8fb0",
        "1e1e22",
        "b89b72",
        "efe8dc",
        "55604a",
        "7a3b3b",
        "8a8f98",
        "443a34",
        "d9cbb3",
    )
)
_SHOE_COLOURS = tuple(
    _rgb(code) for code in ("1c1a1a", "f2f0ec", "7b4a2b", "b3262a", "26364f", "c9a27a", "e3c0b5")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """A pattern in garment coordinates (metres around, metres along)."""

    pattern: str
    colours: tuple[Colour, Colour, Colour]  # ground, second, accent; sRGB 0..1
    scale_m: float  # size of one repeat
    phase: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """A tee, tank, shirt, polo, jacket, or the upper part of a dress."""

    fabric: Fabric
    hem: float  # torso along; the garment covers what is above
    sleeve: float  # arm along, 0 none .. 1.95 wrist
    neckline: str  # "crew" | "v" | "scoop" | "collar" | "open"
    looseness_m: float
    buttons: bool = False
    logo: int = 0  # 0 none; else a kind of chest print
    trim: bool = False  # contrasting hem, cuffs and neck


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottom:
    """Trousers or shorts (`skirt` False), or a skirt, also that of a dress (`skirt` True)."""

    fabric: Fabric
    skirt: bool
    hem: float  # leg along, 0 hip .. 1 knee .. 1.95 ankle
    looseness_m: float
    flare: float  # widening towards the hem
    pleats: int = 0
    belt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """Everything a person wears."""

    top: Top
    bottom: Bottom
    outer: Top | None
    is_dress: bool
    shoes: Colour
    sole: Colour
    boots: bool
    main: str  # the garment a flat view shows: "top" | "bottom" | "outer" | "dress"


def sample_outfit(rng: np.random.Generator, *, gender: str, category: str) -> Outfit:
    """Draw an outfit whose featured garment is that of the category."""
    woman = gender == "WOMEN"
    palette = _PALETTES[int(rng.integers(len(_PALETTES)))]
    if category == "Dresses":
        top, bottom = _dress(rng, palette)
        main = "dress"
    else:
        top = _top(rng, palette, category=category, woman=woman)
        bottom = _bottom(rng, palette, category=category, woman=woman)
        main = {
            "Skirts": "bottom",
            "Shorts": "bottom",
            "Pants": "bottom",
            "Jackets_Coats": "outer",
            "Jackets_Vests": "outer",
        }.get(category, "top")
    shoes = _SHOE_COLOURS[int(rng.integers(len(_SHOE_COLOURS)))]
    sole = _rgb("f4f2ee") if rng.random() < 0.5 else (shoes[0] * 0.6, shoes[1] * 0.6, shoes[2] * 0.6)
    outer = _jacket(rng, vest=category == "Jackets_Vests" and rng.random() < 0.3) if main == "outer" else None
    return Outfit(
        top=top,
        bottom=bottom,
        outer=outer,
        is_dress=main == "dress",
        shoes=shoes,
        sole=sole,
        boots=bool(rng.random() < 0.25),
        main=main,
    )


def _fabric(rng: np.random.Generator, colours: tuple[Colour, Colour, Colour], *, plain: float) -> Fabric:
    pattern = "plain" if rng.random() < plain else PATTERNS[1 + int(rng.integers(len(PATTERNS) - 1))]
    order = [0, 1, 2] if rng.random() < 0.6 else [1, 0, 2]
    return Fabric(
        pattern=pattern,
        colours=(colours[order[0]], colours[order[1]], colours[order[2]]),
        scale_m=float(rng.uniform(0.06, 0.13)),
        phase=float(rng.random()),
        seed=int(rng.integers(1 << 16)),
    )


def _top(
    rng: np.random.Generator, palette: tuple[Colour, Colour, Colour], *, category: str, woman: bool
) -> Top:
    shirt = category in ("Blouses_Shirts", "Shirts_Polos") or (
        category in ("Pants", "Skirts") and rng.random() < 0.3
    )
    fabric = _fabric(rng, palette, plain=0.3 if not category.startswith("Jackets") else 0.6)
    tucked = woman and rng.random() < (0.75 if category == "Skirts" else 0.35)
    hem = 0.40 if tucked else float(rng.uniform(0.15, 0.24) if not woman else rng.uniform(0.20, 0.27))
    if shirt:
        return Top(
            fabric=fabric,
            hem=hem,
            sleeve=float(rng.choice([0.62, 1.1, 1.92, 1.92])),
            neckline="collar",
            looseness_m=float(rng.uniform(0.009, 0.018)),
            buttons=True,
        )
    tank = category == "Tees_Tanks" and rng.random() < 0.25
    logo = int(rng.integers(1, 5)) if fabric.pattern == "plain" and rng.random() < 0.7 else 0
    return Top(
        fabric=fabric,
        hem=hem,
        sleeve=0.0 if tank else float(rng.uniform(0.42, 0.68)),
        neckline=str(rng.choice(["crew", "v", "scoop"] if woman else ["crew", "crew", "v"])),
        looseness_m=float(rng.uniform(0.006, 0.014)),
        logo=logo,
        trim=bool(rng.random() < 0.3),
    )


def _bottom(
    rng: np.random.Generator, palette: tuple[Colour, Colour, Colour], *, category: str, woman: bool
) -> Bottom:
    featured = category in ("Skirts", "Shorts", "Pants")
    ground = _BOTTOM_COLOURS[int(rng.integers(len(_BOTTOM_COLOURS)))]
    colours = palette[::-1] if featured and rng.random() < 0.55 else (ground, palette[1], palette[2])
    fabric = _fabric(rng, (colours[0], colours[1], colours[2]), plain=0.45 if category == "Skirts" else 0.82)
    if category == "Skirts" or (woman and not featured and rng.random() < 0.25):
        return Bottom(
            fabric=fabric,
            skirt=True,
            hem=float(rng.uniform(0.55, 1.5)),
            looseness_m=0.008,
            flare=float(rng.uniform(0.02, 0.13)),
            pleats=int(rng.choice([0, 7, 11])),
            belt=bool(rng.random() < 0.4),
        )
    if category == "Shorts" or (not featured and rng.random() < 0.2):
        return Bottom(
            fabric=fabric,
            skirt=False,
            hem=float(rng.uniform(0.42, 0.92)),
            looseness_m=0.012,
            flare=float(rng.uniform(0.006, 0.025)),
            belt=bool(rng.random() < 0.4),
        )
    return Bottom(
        fabric=fabric,
        skirt=False,
        hem=float(rng.uniform(1.8, 1.93)),
        looseness_m=float(rng.uniform(0.005, 0.011)),
        flare=float(rng.choice([0.004, 0.012, 0.03])),
        belt=bool(rng.random() < 0.5),
    )


def _dress(rng: np.random.Generator, palette: tuple[Colour, Colour, Colour]) -> tuple[Top, Bottom]:
    fabric = _fabric(rng, palette, plain=0.25)
    top = Top(
        fabric=fabric,
        hem=0.40,
        sleeve=float(rng.choice([0.0, 0.0, 0.5, 1.2, 1.9])),
        neckline=str(rng.choice(["crew", "v", "scoop"])),
        looseness_m=0.007,
    )
    bottom = Bottom(
        fabric=fabric,
        skirt=True,
        hem=float(rng.uniform(0.65, 1.7)),
        looseness_m=0.008,
        flare=float(rng.uniform(0.03, 0.15)),
        pleats=int(rng.choice([0, 6, 9])),
        belt=bool(rng.random() < 0.6),
    )
    return top, bottom


def _jacket(rng: np.random.Generator, *, vest: bool) -> Top:
    ground = (_BOTTOM_COLOURS + tuple(row[0] for row in _PALETTES))[
        int(rng.integers(len(_BOTTOM_COLOURS) + len(_PALETTES)))
    ]
    dark = (ground[0] * 0.55, ground[1] * 0.55, ground[2] * 0.55)
    fabric = _fabric(rng, (ground, dark, dark), plain=0.75)
    return Top(
        fabric=Fabric(
            pattern=fabric.pattern if fabric.pattern in ("plain", "checks", "pinstripes") else "plain",
            colours=(ground, dark, dark),
            scale_m=fabric.scale_m,
            phase=fabric.phase,
            seed=fabric.seed,
        ),
        hem=float(rng.uniform(0.10, 0.30)),
        sleeve=0.0 if vest else 1.9,
        neckline="open",
        looseness_m=float(rng.uniform(0.018, 0.026)),
        buttons=bool(rng.random() < 0.5),
    )
