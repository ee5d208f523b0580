"""A strip of a pair's pictures, there and back."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.errors import DataError
from mcld.evaluation.protocols import GeneratedPair
from mcld.evaluation.strips import COLUMNS, cut_strip, join_strip, shown_pairs


def test_a_strip_is_cut_into_the_cells_it_was_made_of() -> None:
    cells = [np.random.default_rng(number).integers(0, 256, (8, 6, 3), np.uint8) for number in range(4)]
    found = cut_strip(join_strip(cells), place="here")
    assert len(found) == len(COLUMNS)
    assert all((one == other).all() for one, other in zip(found, cells, strict=True))


def test_another_width_is_no_strip() -> None:
    with pytest.raises(DataError, match="here: 21 px wide, which is no strip of 4 pictures"):
        cut_strip(np.zeros((8, 21, 3), np.uint8), place="here")


def test_runs_on_the_same_pairs_show_the_same_ones_in_whatever_order_they_come() -> None:
    pairs = [
        GeneratedPair(id=f"{n:06d}", source=f"{n}/a", target=f"{n}/b", wrong_source="", wrong_pose="")
        for n in range(30)
    ]
    chosen = shown_pairs(pairs)
    assert chosen == shown_pairs(pairs[::-1])
    assert len(chosen) == 8
    assert set(shown_pairs(pairs, num_shown=4)) <= set(chosen)
