"""The picture of attention maps has a cell a step and condition, on one scale a column."""

from __future__ import annotations

import numpy as np
import torch

from mcld.inference.attention_picture import attention_grid


def test_cells_stand_by_step_and_condition_and_share_a_scale_by_column() -> None:
    dim, bright = torch.full((2, 4, 2), 0.25), torch.full((2, 4, 2), 0.5)
    maps = {
        0: {"image": dim, "face": torch.zeros(2, 4, 2)},
        9: {"image": bright, "face": torch.zeros(2, 4, 2)},
    }
    picture = np.asarray(attention_grid(maps, row=1, cell_height_px=40))
    assert picture.shape == (16 + 40 + 4 + 40, 20 + 4 + 20, 3)
    np.testing.assert_array_equal(picture[36, 10], [255, 128, 0])  # half of the column's largest
    np.testing.assert_array_equal(picture[80, 10], [255, 255, 255])
    np.testing.assert_array_equal(picture[36, 34], [0, 0, 0])
