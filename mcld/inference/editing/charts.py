"""How a body part lies in its tile: turned so that its rows run along the body.

DensePose's charts and the mannequins' differ: along a limb goes U in the former, V in the latter. All that
depends on which way a tile's texels run is here.

Shapes: S texels a side of one tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.inference.photos.person import Charts

TORSO_BACK, TORSO_FRONT = 1, 2

# Width of half a trunk's girth to its height, of one whole tile. The mannequins' is the median of 32 views
# from the front (their spread is 0.07); DensePose's is how its front tile lies in SMPL's own texture, the
# same each way to a mean of 0.005 of that texture's side.
TORSO_ASPECT: dict[Charts, float] = {"mannequins": 0.82, "densepose": 0.71}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """From a tile to its upright view: rows and columns are exchanged first, then turned about."""

    exchanged: bool = False
    rows: bool = False
    columns: bool = False


# A tile's first row is V = 255, its first column U = 0. The mannequins' tiles are as they should be: V
# runs up the torso and the head, and out along every limb.
_AS_IT_IS = _Turn()
# In DensePose's torsos U runs down from the neck, and V from the person's left to the right. Of two tiles
# around one bone, one may run the other way. Heads and hands run along V.
_DENSEPOSE = {
    TORSO_BACK: _Turn(exchanged=True, columns=True),
    TORSO_FRONT: _Turn(exchanged=True),
    **dict.fromkeys((5, 7, 8, 13, 14, 15, 16, 17, 18, 21, 22), _Turn(exchanged=True)),
    **dict.fromkeys((6, 9, 10, 11, 12, 19, 20), _Turn(exchanged=True, rows=True)),
}


def upright(tile: np.ndarray, *, part: int, charts: Charts) -> np.ndarray:
    """A view of a tile (S, S, ...) whose rows run along the body; what is written to it, the tile gets.

    Rows go from neck to hip in the two torso tiles, whose columns go from left to right as somebody sees them
    who faces that side. In the tiles of one bone all rows go the same way; of columns nothing is said.
    """
    turn = _DENSEPOSE.get(part, _AS_IT_IS) if charts == "densepose" else _AS_IT_IS
    view = tile.swapaxes(0, 1) if turn.exchanged else tile
    view = view[::-1] if turn.rows else view
    return view[:, ::-1] if turn.columns else view
