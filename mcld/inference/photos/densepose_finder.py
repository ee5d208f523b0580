"""Everyone whom DensePose sees in a photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.conditions.densepose import DensePoseNetwork, UvOverflow, find_people, iuv_of
from mcld.inference.photos.finders import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePoseFinder:
    """A `PersonFinder`: the sure people, or the likeliest one where nobody is sure."""

    network: DensePoseNetwork
    uv_overflow: UvOverflow

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        """As `PersonFinder.find`. A detection that paints no pixel is left out."""
        people = find_people(self.network, images=[photo], max_charts="sure")[0]
        if people.charts is None:
            return ()
        scores = people.detections.scores.tolist()
        painted = (
            Found(iuv=iuv_of(people, row=row, uv_overflow=self.uv_overflow), score=float(scores[row]))
            for row in range(len(people.charts.u))
        )
        return tuple(found for found in painted if found.iuv[..., 0].any())
