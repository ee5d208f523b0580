"""A few pairs of an evaluation as strips: source, target pose, generated, target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mcld.config import DatasetParams, GenerateParams
from mcld.data.index import read_index
from mcld.evaluation import protocols
from mcld.evaluation.protocols import GeneratedPair
from mcld.evaluation.strips import COLUMNS, join_strip, shown_pairs
from mcld.stages.galleries import Shelf, open_shelf
from mcld.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStrip:
    """A pair, in words and as a picture, (H, W, 3) uint8 RGB."""

    pair: GeneratedPair
    label: str
    image: np.ndarray


def pair_strips(
    dataset: DatasetParams, *, generate: GenerateParams, workspace: Workspace
) -> tuple[PairStrip, ...]:
    """The strips of the pairs that are shown. Raises DataError when pictures are not there or damaged."""
    index = read_index(workspace.stage_dir("dataset"))
    shelf = open_shelf(dataset, generate=generate, workspace=workspace, index=index)
    pairs = shown_pairs(protocols.read_pairs(shelf.generate_dir))
    return tuple(_strip(pair, shelf=shelf) for pair in pairs)


def strip_index(strips: tuple[PairStrip, ...]) -> dict[str, Any]:
    """What each strip shows, as plain data: a strip's picture does not say."""
    pairs = [
        {
            "id": strip.pair.id,
            "source": strip.pair.source,
            "target": strip.pair.target,
            "label": strip.label,
        }
        for strip in strips
    ]
    return {"columns": list(COLUMNS), "pairs": pairs}


def _strip(pair: GeneratedPair, *, shelf: Shelf) -> PairStrip:
    cells = (
        shelf.image(pair.source),
        shelf.pose(pair.target),
        shelf.generated(pair.id, row="generated"),
        shelf.image(pair.target),
    )
    return PairStrip(
        pair=pair, label=shelf.label(pair.source, target_key=pair.target), image=join_strip(cells)
    )
