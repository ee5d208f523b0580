"""The seam between photographs and the networks that look at them: who is in it, and whose face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One person of a photograph."""

    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V, of the whole photograph; this person alone
    score: float  # 0..1, how sure the finder is

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the person's pixels, the last two exclusive. There is at least one."""
        rows = np.flatnonzero(self.iuv[..., 0].any(axis=1))
        columns = np.flatnonzero(self.iuv[..., 0].any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class PersonFinder(Protocol):
    """Finds the people of a photograph and what of their bodies each pixel shows."""

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        """Everyone in (H, W, 3) uint8 RGB, each with at least one pixel, in any order; may be nobody."""
        ...


class FaceFinder(Protocol):
    """Turns a person's face into the identity vector that the model was trained with."""

    def embed(self, photo: np.ndarray, *, iuv: np.ndarray) -> np.ndarray | None:
        """(D,) float32 of the face of the person whom `iuv` shows in (h, w, 3) uint8 RGB; None without."""
        ...
