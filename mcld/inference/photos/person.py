"""What was found in a photograph: the pose of a person, and the person with texture and face.

Values, never changed: editing makes new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

# How body parts lie in their tiles: in DensePose's charts limbs run along U, in the mannequins' along V.
Charts = Literal["densepose", "mannequins"]

# Shapes: h w the pixels of the part of a photograph that the model sees, S texels a side of a tile.


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a picture came from, for records and messages."""

    name: str  # the file's name, as the user knows it
    sha256: str  # of the file's bytes
    number: int = 1  # which of its people, counted from the left
    num_people: int = 1
    notes: tuple[str, ...] = ()  # what was converted or chosen, as sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rectangle of a photograph that the model sees, in its pixels; it may reach beyond the border."""

    left: int
    top: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A body's pose: which part each pixel shows."""

    photo: np.ndarray  # (h, w, 3) uint8 RGB, what the window shows
    iuv: np.ndarray  # (h, w, 3) uint8, channels I U V
    window: Window
    full_photo: np.ndarray  # (H, W, 3) uint8 RGB, the whole photograph
    origin: Origin

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.photo.shape[0], self.photo.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person's appearance: the three foci are made of it.

    The texture is kept as an atlas whatever layout the model wants: in it a body part is a tile of its own,
    and rendering from it loses least.
    """

    photo: np.ndarray  # (h, w, 3) uint8 RGB
    iuv: np.ndarray  # (h, w, 3) uint8, channels I U V
    atlas: np.ndarray  # (6S, 4S, 3) uint8 RGB; zeros where the photograph shows nothing
    face_embedding: np.ndarray  # (D,) float32; zeros where face_found is False
    face_found: bool
    origin: Origin
    face_note: str = ""  # why there is no face, as a sentence
    charts: Charts = "densepose"  # of `iuv` and `atlas`
    edits: tuple[str, ...] = field(default=())  # what was changed, in order, as sentences
