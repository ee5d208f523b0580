"""What a person wears, tile by tile: as the model sees it, and continued to where nothing is seen.

The model's texture holds zeros where nothing is seen, as in training. A picture needs a colour for every
pixel, and the donor of a garment never shows all that the wearer's pose needs. So a garment is continued: a
texel near one that is seen takes its colour, all others the mean colour of what is seen of that bone at the
same height, front and back, left and right.

Measured on 24 mannequins, each seen in one view and compared with its others (mean absolute error of texels
that only the other view shows, grey levels of 255; tiles of 64 texels): nearest texel of the tile anywhere
38.8, the mirrored twin's texel first 33.5, both as far as they reach and then the mean of all the bone 26.1,
the mean at the same height 23.1, and with the nearest texel up to 1, 2 or 4 texels away 22.5, 22.7 and 23.6.
In tiles that are not seen at all: the mean of front or back 30.3, twins 27.6, the same height 25.4.

Pixels of the outline are mixed with the background, and maps are least exact there: they are not continued.
The same measure, 23.5 with them, is 22.7 without those one pixel (of 256 rows) from the background, 23.1
without two; and 25.8, 23.4 and 24.9 in the texels of the outline themselves.

Shapes: S texels a side of one tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mcld.conditions.texture import unwrap, visible_mask
from mcld.conditions.texture_fill import fill_nearest
from mcld.conditions.texture_layouts import NUM_PARTS, part_size_of, to_tiles
from mcld.inference.editing.charts import upright
from mcld.inference.editing.parts import BONES, LIMBS
from mcld.inference.photos.person import Charts, Person

NEAR = 1 / 32  # of a tile's side: so near, the colour is the nearest texel's
OUTLINE = 1 / 256  # of the picture's height: so near to the background, a pixel's colour is mixed with it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """Tiles of an appearance. A part is known when something of its limb is seen."""

    tiles: np.ndarray  # (24, S, S, 3) uint8 RGB, zeros where nothing is seen: an atlas, cut
    shown: np.ndarray  # (24, S, S) bool, where `tiles` hold a colour, a truly black one too
    whole: np.ndarray  # (24, S, S, 3) uint8 RGB, continued; zeros in parts that are not known
    known: np.ndarray  # (24,) bool

    def knows(self, parts: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the parts, 1 to 24, that are known."""
        return tuple(part for part in parts if self.known[part - 1])

    def colours(self, part: int) -> np.ndarray:
        """One tile as the texture has it, and continued where it shows nothing, (S, S, 3) uint8."""
        row = part - 1
        return np.asarray(np.where(self.shown[row][..., None], self.tiles[row], self.whole[row]))


def look_of(person: Person) -> Look:
    """What a person wears, from atlas and picture."""
    part_size_px = part_size_of(person.atlas)
    tiles = to_tiles(person.atlas)
    in_picture = to_tiles(unwrap(person.photo, iuv=person.iuv, part_size_px=part_size_px, fill_margin_px=0))
    visible = to_tiles(visible_mask(person.iuv, part_size_px=part_size_px))
    coloured = np.asarray(tiles.any(axis=-1))
    shown = coloured | (visible & ~in_picture.any(axis=-1))
    inner_iuv = np.where(_outline(person.iuv)[..., None], 0, person.iuv)
    inner = to_tiles(visible_mask(inner_iuv, part_size_px=part_size_px))
    inside = to_tiles(unwrap(person.photo, iuv=inner_iuv, part_size_px=part_size_px, fill_margin_px=0))
    colours = np.where(inner[..., None], inside, np.where(coloured[..., None], tiles, in_picture))
    # An atlas holds margins too, where the nearest texel is a poor guess: a picture is continued from what it
    # shows itself. An edited person's atlas may hold more of another's than the own picture shows.
    more = coloured if person.edits else np.zeros_like(coloured)
    seen = more | _or_outline(inner, visible=visible)
    whole, known = _continued(colours, seen=seen, charts=person.charts)
    return Look(tiles=tiles, shown=shown, whole=whole, known=known)


def _outline(iuv: np.ndarray) -> np.ndarray:
    """Return the person's pixels beside the background, (h, w) bool, whose colours are its colours too."""
    reach_px = max(1, round(OUTLINE * iuv.shape[0]))
    square = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    inner = cv2.erode((iuv[..., 0] > 0).astype(np.uint8), square, borderValue=1)
    return np.asarray((iuv[..., 0] > 0) & (inner == 0))


def _or_outline(inner: np.ndarray, *, visible: np.ndarray) -> np.ndarray:
    """Return the inner texels, (24, S, S) bool, and all visible ones of limbs too thin to have any."""
    seen = inner.copy()
    for limb in LIMBS.values():
        rows = [part - 1 for part in limb]
        if not inner[rows].any():
            seen[rows] = visible[rows]
    return seen


def _continued(colours: np.ndarray, *, seen: np.ndarray, charts: Charts) -> tuple[np.ndarray, np.ndarray]:
    """Return all tiles continued, (24, S, S, 3) uint8, and which could be, (24,) bool."""
    whole = np.zeros_like(colours)
    known = np.zeros(NUM_PARTS, bool)
    for limb in LIMBS.values():
        rows = [part - 1 for part in limb]
        known[rows] = seen[rows].any()
        if seen[rows].any():
            whole[rows] = np.rint(colours[rows][seen[rows]].mean(axis=0))
    for bone in BONES:
        _fill_at_same_height(whole, bone=bone, colours=colours, seen=seen, charts=charts)
    kept = np.where(seen[..., None], colours, 0)
    near = fill_nearest(kept, visible=seen, margin_px=round(NEAR * colours.shape[1]))
    reached = _reached(seen)
    return np.where(reached[..., None], near, whole), known


def _fill_at_same_height(
    whole: np.ndarray, *, bone: tuple[int, ...], colours: np.ndarray, seen: np.ndarray, charts: Charts
) -> None:
    """Give every row of a bone's tiles in `whole` the mean colour of the nearest row that is seen in any."""
    seen_of_tile = np.stack([upright(seen[part - 1], part=part, charts=charts) for part in bone])
    colours_of_tile = np.stack([upright(colours[part - 1], part=part, charts=charts) for part in bone])
    number_S = seen_of_tile.sum(axis=(0, 2))
    rows = np.flatnonzero(number_S)
    if rows.size == 0:
        return
    total_S3 = (colours_of_tile * seen_of_tile[..., None]).sum(axis=(0, 2), dtype=np.int64)
    mean_S3 = np.rint(total_S3 / np.maximum(number_S, 1)[:, None]).astype(np.uint8)
    nearest_S = rows[np.abs(np.arange(len(number_S))[:, None] - rows).argmin(axis=1)]
    for part in bone:
        upright(whole[part - 1], part=part, charts=charts)[:] = mean_S3[nearest_S][:, None]


def _reached(seen: np.ndarray) -> np.ndarray:
    """Return which texels, (24, S, S) bool, are seen or near one that is."""
    marks = np.repeat(seen.astype(np.uint8)[..., None], 3, axis=-1)
    return fill_nearest(marks, visible=seen, margin_px=round(NEAR * seen.shape[1]))[..., 0] > 0
