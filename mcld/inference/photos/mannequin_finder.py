"""The rendered people of a photograph and their faces, by the two networks that ship with the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mcld.conditions.mannequins import (
    FaceNetwork,
    PersonNetwork,
    find_rendered_people,
    head_picture,
    head_square,
    pixels_in,
    shipped_networks,
)
from mcld.errors import DataError
from mcld.inference.photos.finders import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class MannequinFinder:
    """A `PersonFinder` of rendered people."""

    network: PersonNetwork

    @classmethod
    def shipped(cls) -> MannequinFinder:
        """With the network that ships. Raises WeightsError when it is damaged."""
        return cls(network=shipped_networks().person)

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        """As `PersonFinder.find`."""
        people = find_rendered_people(self.network, photo=photo)
        return tuple(Found(iuv=person.iuv, score=person.score) for person in people)


@dataclass(frozen=True, slots=True, kw_only=True)
class MannequinFace:
    """A `FaceFinder` of rendered people."""

    network: FaceNetwork

    @classmethod
    def shipped(cls) -> MannequinFace:
        """With the network that ships. Raises WeightsError when it is damaged."""
        return cls(network=shipped_networks().face)

    def embed(self, photo: np.ndarray, *, iuv: np.ndarray) -> np.ndarray | None:
        """As `FaceFinder.embed`: None without a head, or where it is turned away."""
        square = head_square(iuv)
        if square is None:
            return None
        picture = torch.from_numpy(np.array(head_picture(photo, square=square)))
        with torch.inference_mode():
            embedding, seen = self.network(pixels_in(picture[None]))
        if not bool(torch.isfinite(embedding).all()):
            raise DataError("the face network gives NaN or Inf for this face; use another photograph")
        return embedding[0].numpy() if float(seen[0]) > 0 else None
