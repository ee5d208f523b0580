"""Between two people: the one place where an edit's strength and a blend's weight are applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from mcld.conditions.texture import render
from mcld.conditions.texture_layouts import NUM_PARTS, part_size_of, to_atlas
from mcld.errors import ConfigError, DataError
from mcld.inference.editing.look import Look, look_of
from mcld.inference.editing.parts import HEAD
from mcld.inference.photos.person import Person

What = Literal["appearance", "identity", "both"]
NOT_HEAD = tuple(part for part in range(1, NUM_PARTS + 1) if part not in HEAD)
PARALLEL = 1e-6  # sine of the angle, below which there is no one way from a direction to another


def between(first: Person, second: Person, *, weight: float, what: What = "both") -> Person:
    """The first person on the way to the second: at weight 0 the first, at 1 what can be taken of the second.

    "appearance" is the texture of all parts but the head, "identity" the head's texture and the face
    embedding. Pose and background stay the first's. Of what only one of the two shows, this one's is taken
    between 0 and 1. Raises ConfigError for a weight or an aspect out of range, DataError for people of two
    models.
    """
    check_share(weight, name="weight")
    if what not in ("appearance", "identity", "both"):
        raise ConfigError(f"what: '{what}' is unknown; choose appearance, identity or both")
    check_alike(first, second)
    look = look_of(second)
    blended = first
    if what in ("appearance", "both"):
        blended = toward(blended, look=look, parts=NOT_HEAD, strength=weight)
    if what in ("identity", "both"):
        blended = face_toward(blended, other=second, strength=weight)
        blended = toward(blended, look=look, parts=HEAD, strength=weight)
    named = "appearance and identity" if what == "both" else what
    return edited(blended, edit=f"{named} {round(100 * weight)} % of the way to {second.origin.name}")


def toward(person: Person, *, look: Look, parts: tuple[int, ...], strength: float) -> Person:
    """The person with atlas and picture moved towards a look, in those of the parts that it knows.

    A texel that either shows is mixed of both, continued; at strength 1 the texture is the look's own, bit by
    bit, and the picture shows it continued, seen through the person's own IUV.
    """
    known = look.knows(parts)
    if strength == 0 or not known:
        return person
    tiles = _mixed_tiles(person, look=look, known=known, strength=strength)
    seen = render(to_atlas(look.whole), iuv=person.iuv)
    pixels = np.isin(person.iuv[..., 0], known)
    photo = person.photo.copy()
    photo[pixels] = _mixed(person.photo[pixels], seen[pixels], weight=strength)
    return replace(person, atlas=to_atlas(tiles), photo=photo)


def face_toward(person: Person, *, other: Person, strength: float) -> Person:
    """The person with the face embedding moved towards the other's, along the sphere.

    Where one of them has no face, the other's is taken, except at the ends.
    """
    if strength == 0:
        return person
    if strength == 1 or (other.face_found and not person.face_found):
        return replace(
            person,
            face_embedding=other.face_embedding.copy(),
            face_found=other.face_found,
            face_note=other.face_note,
        )
    if not other.face_found:
        return person
    embedding = on_the_way(person.face_embedding, other.face_embedding, weight=strength)
    return replace(person, face_embedding=embedding)


def on_the_way(first: np.ndarray, second: np.ndarray, *, weight: float) -> np.ndarray:
    """Spherical interpolation of (D,) float32 vectors: directions by angle, lengths in proportion."""
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not all(lengths):  # a vector without a direction
        return np.asarray((1 - weight) * first + weight * second, np.float32)
    start, end = first / lengths[0], second / lengths[1]
    angle = np.arccos(np.clip(np.dot(start, end), -1, 1))
    if np.sin(angle) < PARALLEL:
        direction = start if weight < 0.5 else end
    else:
        direction = (np.sin((1 - weight) * angle) * start + np.sin(weight * angle) * end) / np.sin(angle)
    return np.asarray(direction * ((1 - weight) * lengths[0] + weight * lengths[1]), np.float32)


def check_share(value: float, *, name: str) -> None:
    """Raises ConfigError unless the value lies in 0..1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}: {value} is outside 0..1; 0 changes nothing, 1 is the whole edit")


def check_alike(person: Person, other: Person) -> None:
    """Raises DataError unless textures and faces of the two were made for the same model."""
    made = [(part_size_of(one.atlas), len(one.face_embedding), one.charts) for one in (person, other)]
    if made[0] != made[1]:
        raise DataError(
            f"{other.origin.name}: read for another model than {person.origin.name} (texels a tile, numbers "
            f"of a face and charts are {made[1]} and {made[0]}); read both photographs with the same model"
        )


def edited(person: Person, *, edit: str, strength: float = 1.0) -> Person:
    """The person with one more sentence about what was changed."""
    share = "" if strength == 1 else f", {round(100 * strength)} % of it"
    return replace(person, edits=(*person.edits, f"{edit}{share}"))


def _mixed_tiles(person: Person, *, look: Look, known: tuple[int, ...], strength: float) -> np.ndarray:
    own = look_of(person)
    tiles = own.tiles.copy()
    for part in known:
        row = part - 1
        if strength == 1 or not own.known[row]:
            tiles[row] = look.tiles[row]
            continue
        mixed = _mixed(own.colours(part), look.colours(part), weight=strength)
        tiles[row] = np.where((own.shown[row] | look.shown[row])[..., None], mixed, 0)
    return tiles


def _mixed(first: np.ndarray, second: np.ndarray, *, weight: float) -> np.ndarray:
    return np.rint((1 - weight) * first.astype(np.float64) + weight * second).astype(np.uint8)
