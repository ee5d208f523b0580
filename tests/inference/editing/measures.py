"""What tests of edits look at: a region's pixels, tiles and mean colour."""

from __future__ import annotations

import numpy as np

from mcld.conditions.texture_layouts import to_tiles
from mcld.inference.editing.parts import part_numbers
from mcld.inference.photos.person import Person


def pixels_of(person: Person, *names: str) -> np.ndarray:
    """(h, w) bool, where the person's picture shows these regions."""
    return np.isin(person.iuv[..., 0], part_numbers(names))


def inner_pixels(person: Person) -> np.ndarray:
    """(h, w) bool, the person's pixels that do not touch the background, not even at a corner."""
    body = person.iuv[..., 0] > 0
    padded = np.pad(body, 1, constant_values=True)
    height_px, width_px = body.shape
    shifted = [padded[row : row + height_px, column : column + width_px] for row, column in np.ndindex(3, 3)]
    return np.asarray(np.all(shifted, axis=0))


def mean_colour(person: Person, *names: str) -> np.ndarray:
    """(3,) float64, of these regions in the picture."""
    return np.asarray(person.photo[pixels_of(person, *names)].mean(axis=0))


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first.astype(np.float64) - second))


def same(first: Person, second: Person) -> bool:
    """Whether two people are the same to the model, bit by bit."""
    return (
        np.array_equal(first.photo, second.photo)
        and np.array_equal(first.iuv, second.iuv)
        and np.array_equal(first.atlas, second.atlas)
        and np.array_equal(first.face_embedding, second.face_embedding)
        and first.face_found == second.face_found
    )


def same_outside(before: Person, after: Person, *names: str) -> bool:
    """Whether all tiles but those of these regions, and all pixels but theirs, are the same bit by bit."""
    rows = [part - 1 for part in range(1, 25) if part not in part_numbers(names)]
    outside = ~pixels_of(before, *names)
    return np.array_equal(before.iuv, after.iuv) and (
        np.array_equal(to_tiles(before.atlas)[rows], to_tiles(after.atlas)[rows])
        and np.array_equal(before.photo[outside], after.photo[outside])
    )
