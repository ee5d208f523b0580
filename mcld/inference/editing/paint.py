"""Change a garment's colour, or lay a picture on it.

Shapes: N texels, S texels a side of one tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from PIL import Image

from mcld.errors import ConfigError, DataError
from mcld.inference.editing.blend import check_share, edited, toward
from mcld.inference.editing.charts import TORSO_ASPECT, TORSO_BACK, TORSO_FRONT, upright
from mcld.inference.editing.look import Look, look_of
from mcld.inference.editing.parts import listed, part_numbers
from mcld.inference.photos.person import Person
from mcld.inference.settings import COLOUR

Place = Literal["chest", "back"]
PARTS_OF_PLACE: dict[Place, int] = {"chest": TORSO_FRONT, "back": TORSO_BACK}
CENTRE = 0.38  # of the torso from the neck down: where a print sits
DARKEST = 1.0  # lightness, below which a colour has no chroma that could be scaled
WHITEST = 100  # lightness of white
STEPS = 10  # of a ramp, a unit of lightness
HALVINGS = 12  # of a search for chroma
IN_SRGB = 0.5  # how far from what is asked for a colour may come back and be in the gamut


def recolour(person: Person, *, parts: Sequence[str], colour: str, strength: float = 1.0) -> Person:
    """These parts in another colour, #rrggbb, with their shading and pattern.

    Lightness keeps its differences around its mean, which becomes the colour's; hue becomes the colour's, and
    chroma follows lightness, as it does in shade. What would be darker than black or lighter than white is
    cut off. Bare skin of these parts is painted too. Raises ConfigError for an unknown part, another
    notation or a strength outside 0..1, DataError where the person shows none of the parts.
    """
    numbers = part_numbers(parts)
    check_share(strength, name="strength")
    if not COLOUR.fullmatch(colour):
        raise ConfigError(f"colour: '{colour}' is unknown; write it as #rrggbb, such as #b03060")
    look = look_of(person)
    rows = [part - 1 for part in look.knows(numbers)]
    if not look.shown[rows].any():
        raise DataError(f"{person.origin.name}: shows nothing of {listed(parts)}; name parts that are seen")
    target = _to_lab(np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8))
    ramp = _ramp(target)
    shift = float(target[0] - _to_lab(look.tiles[rows][look.shown[rows]])[:, 0].mean())
    whole, tiles = look.whole.copy(), look.tiles.copy()
    for row in rows:
        whole[row] = _coloured(look.whole[row], ramp=ramp, shift=shift)
        shown = look.shown[row]
        tiles[row][shown] = _coloured(look.tiles[row][shown], ramp=ramp, shift=shift)
    painted = toward(person, look=replace(look, tiles=tiles, whole=whole), parts=numbers, strength=strength)
    return edited(painted, edit=f"{listed(parts)} coloured {colour}", strength=strength)


def print_picture(
    person: Person,
    *,
    picture: np.ndarray,  # (h, w, 3) uint8 RGB, or (h, w, 4) with alpha
    place: Place = "chest",
    width_share: float = 0.5,
    height_share: float = 0.5,
) -> Person:
    """A picture on chest or back, upright, as large as fits into these shares of the torso.

    The width is that of the body's front, or back, from side to side. Alpha is kept: the garment shows
    through. Raises ConfigError for a place or a share that is none, DataError for another array, and where
    the person shows no torso.
    """
    if place not in PARTS_OF_PLACE:
        raise ConfigError(f"place: '{place}' is unknown; choose chest or back")
    for name, share in (("width_share", width_share), ("height_share", height_share)):
        if not 0 < share <= 1:
            raise ConfigError(f"{name}: {share} is not in 0..1; it is a share of the torso, and not 0")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4) or not picture.size:
        raise DataError(f"print: {picture.shape} {picture.dtype} is no picture; give (h, w, 3 or 4) uint8")
    part = PARTS_OF_PLACE[place]
    look = look_of(person)
    if not look.knows((part,)):
        raise DataError(f"{person.origin.name}: shows nothing of the torso; use a photograph that does")
    size_px = look.tiles.shape[1]
    # A tile is square, the torso is not.
    height, width = picture.shape[0] * TORSO_ASPECT[person.charts], picture.shape[1]
    scale = min(width_share / width, height_share / height)
    fitted = _fitted(
        picture, height_px=round(scale * height * size_px), width_px=round(scale * width * size_px)
    )
    printed = _with_print(look, part=part, fitted=fitted, person=person)
    return edited(toward(person, look=printed, parts=(part,), strength=1), edit=f"a print on the {place}")


def _coloured(colours: np.ndarray, *, ramp: np.ndarray, shift: float) -> np.ndarray:
    """(..., 3) uint8 RGB as the ramp's colours of the same lightness, moved by `shift`."""
    lightness = np.clip(_to_lab(colours)[..., 0] + shift, 0, WHITEST)
    return np.asarray(ramp[np.rint(lightness * STEPS).astype(np.int64)])


def _ramp(target: np.ndarray) -> np.ndarray:
    """A colour (3,) L*a*b* from black to white, STEPS colours a unit of lightness, (N, 3) uint8 RGB.

    Chroma is in proportion to lightness, as in shade, and where sRGB has no such colour, as much of it as
    sRGB has: cutting channels off instead would change lightness, and so take the contrast from a pattern.
    """
    from skimage.color import lab2rgb

    lightness = np.linspace(0, WHITEST, WHITEST * STEPS + 1)
    chroma = target[1:] * (lightness / max(target[0], DARKEST))[:, None]
    low, high = np.zeros(len(lightness)), np.ones(len(lightness))
    share = high
    for _ in range(HALVINGS):
        lab = np.column_stack([lightness, chroma * share[:, None]])
        exists = np.abs(_to_lab(lab2rgb(lab)) - lab).max(axis=1) < IN_SRGB
        low, high = np.where(exists, share, low), np.where(exists, high, share)
        share = (low + high) / 2
    return np.asarray(np.rint(lab2rgb(np.column_stack([lightness, chroma * low[:, None]])) * 255), np.uint8)


def _to_lab(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 or 0..1 sRGB to CIE L*a*b*, L* 0..100, float64."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(colours), np.float64)


def _fitted(picture: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """The picture with alpha, (height_px, width_px, 4) uint8, at least one texel a side."""
    image = Image.fromarray(picture).convert("RGBA")
    # Pillow weighs colours by alpha when it resizes, so that what lies under transparency does not bleed.
    return np.asarray(image.resize((max(1, width_px), max(1, height_px)), Image.Resampling.LANCZOS))


def _with_print(look: Look, *, part: int, fitted: np.ndarray, person: Person) -> Look:
    tiles, whole, row = look.tiles.copy(), look.whole.copy(), part - 1
    printed_tile = upright(tiles[row], part=part, charts=person.charts)
    printed_whole = upright(whole[row], part=part, charts=person.charts)
    size_px, (height_px, width_px) = len(printed_tile), fitted.shape[:2]
    top = min(max(0, round(CENTRE * size_px - height_px / 2)), size_px - height_px)
    left = (size_px - width_px) // 2
    place = (slice(top, top + height_px), slice(left, left + width_px))
    alpha = fitted[..., 3:] / 255
    mixed = np.rint(alpha * fitted[..., :3] + (1 - alpha) * printed_whole[place]).astype(np.uint8)
    covered = fitted[..., 3] > 0
    printed_whole[place] = mixed
    printed_tile[place][covered] = mixed[covered]
    return replace(look, tiles=tiles, whole=whole)
