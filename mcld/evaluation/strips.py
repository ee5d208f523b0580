"""A pair as one picture: source, target pose, generated, target side by side; and back into its cells.

The same strip serves MLflow's image panel, where those of several runs stand side by side, and the page that
compares runs, which shows source and target once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mcld.errors import DataError
from mcld.evaluation.pictures import GUTTER_PX, stack_grid
from mcld.evaluation.protocols import GeneratedPair

COLUMNS = ("source", "target pose", "generated", "target")
GENERATED = COLUMNS.index("generated")
NUM_SHOWN = 8


def shown_pairs(pairs: Sequence[GeneratedPair], *, num_shown: int = NUM_SHOWN) -> tuple[GeneratedPair, ...]:
    """The pairs that are shown of a run: as random as a hash, and the same for runs on the same pairs.

    Those of a larger set that has them all keep their places, unless others' hashes are smaller.
    """
    chosen = sorted(pairs, key=lambda pair: hashlib.sha256(f"{pair.source}\n{pair.target}".encode()).digest())
    return tuple(sorted(chosen[:num_shown], key=lambda pair: pair.id))


def join_strip(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Return one picture, (H, W', 3) uint8, of a cell a column, each (H, W, 3) uint8."""
    assert len(cells) == len(COLUMNS)
    return stack_grid([cells])


def cut_strip(strip: np.ndarray, *, place: str) -> tuple[np.ndarray, ...]:
    """Return the cells of `join_strip`. Raises DataError, naming `place`, for a picture of another width."""
    width_px, left_over = divmod(strip.shape[1] - GUTTER_PX * (len(COLUMNS) - 1), len(COLUMNS))
    if left_over or width_px < 1:
        raise DataError(f"{place}: {strip.shape[1]} px wide, which is no strip of {len(COLUMNS)} pictures")
    starts = [number * (width_px + GUTTER_PX) for number in range(len(COLUMNS))]
    return tuple(strip[:, start : start + width_px] for start in starts)
