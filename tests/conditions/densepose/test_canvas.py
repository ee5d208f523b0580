"""Charts become the pixels that they should, in the box where they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mcld.conditions.densepose.canvas import (
    PIXELS_AT_ONCE,
    UvOverflow,
    _interpolate_at,
    _interpolate_rows,
    paint_iuv,
    whole_box,
)
from mcld.conditions.densepose.chart_head import Charts

ARM, HEAD = 3, 23


def charts(*, u: float = 0.5, v: float = 0.25, part: int = ARM) -> Charts:
    """One person who is `part` all over."""
    coarse, fine = torch.zeros(1, 2, 8, 8), torch.zeros(1, 25, 8, 8)
    coarse[:, 1], fine[:, part] = 1.0, 1.0
    u_chart, v_chart = torch.full((1, 25, 8, 8), 9.0), torch.full((1, 25, 8, 8), 9.0)
    u_chart[:, part], v_chart[:, part] = u, v
    return Charts(coarse=coarse, fine=fine, u=u_chart, v=v_chart)


def paint(
    value: Charts, *, box: tuple[float, ...] = (0.0, 0.0, 10.0, 12.0), overflow: UvOverflow = "clamp"
) -> np.ndarray:
    return paint_iuv(value, row=0, box_4=torch.tensor(box), image_hw=(12, 10), uv_overflow=overflow)


def test_x_y_and_the_size_are_truncated_each_by_itself() -> None:
    # The right end, 6.1, would be truncated to 6; the width is 5.2, which is 5.
    assert whole_box(torch.tensor([0.9, 3.999, 6.1, 7.0])) == (0, 3, 5, 3)
    assert whole_box(torch.tensor([2.0, 2.0, 2.3, 2.9])) == (2, 2, 1, 1)


def test_the_box_is_painted_and_nothing_else() -> None:
    iuv = paint(charts(), box=(2.5, 1.5, 7.5, 8.0))
    expected = np.zeros((12, 10, 3), dtype=np.uint8)
    expected[1:7, 2:7] = (ARM, 127, 63)  # 0.5 x 255 and 0.25 x 255, truncated
    assert np.array_equal(iuv, expected)


def test_a_pixel_that_is_no_person_is_background_whatever_its_part() -> None:
    value = charts()
    value.coarse[:, 0, :, :4] = 2.0
    iuv = paint(value)
    assert (iuv[:, :4] == 0).all()
    assert (iuv[:, 6:, 0] == ARM).all()


def test_a_person_without_a_part_is_background_with_no_u_and_v() -> None:
    assert (paint(charts(part=0, u=0.7, v=0.7)) == 0).all()


@pytest.mark.parametrize(
    ("value", "clamped", "wrapped"),
    [(0.0, 0, 0), (1.0, 255, 255), (1.01, 255, 1), (-0.001, 0, 0), (-0.01, 0, 254), (2.02, 255, 3)],
)
def test_u_outside_its_range_is_clamped_or_wraps_like_a_byte(
    value: float, clamped: int, wrapped: int
) -> None:
    assert set(paint(charts(u=value))[..., 1].flatten()) == {clamped}
    assert set(paint(charts(u=value), overflow="wrap")[..., 1].flatten()) == {wrapped}


def test_charts_are_interpolated_to_the_size_of_the_box() -> None:
    value = charts(part=HEAD)
    value.u[:, HEAD] = torch.linspace(0, 1, 8)[None, :]
    row = paint(value)[0, :, 1].astype(int)
    assert (np.diff(row) >= 0).all()
    assert (row[0], row[-1]) == (0, 255)
    assert len(set(row)) == 10


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (112, 112), (250, 40)])
def test_u_at_a_pixels_part_is_what_interpolating_every_part_gives(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    chart = torch.rand(25, 112, 112, generator=generator)
    part = torch.randint(25, size, generator=generator)
    every = F.interpolate(chart[None], size, mode="bilinear", align_corners=False)[0]
    expected = every.gather(0, part[None])[0]
    found = _interpolate_at(part, chart_PSS=chart, rows=range(size[0]), size=size)
    assert torch.allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (112, 112), (250, 40)])
def test_rows_of_a_chart_are_those_of_the_whole_interpolated_chart(size: tuple[int, int]) -> None:
    chart = torch.rand(3, 112, 112, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(chart[None], size, mode="bilinear", align_corners=False)[0]
    for rows in (range(size[0]), range(size[0] // 2, size[0])):
        found = _interpolate_rows(chart, rows=rows, size=size)
        assert torch.allclose(found, expected[:, rows.start : rows.stop], atol=2e-5)


def test_a_large_box_is_painted_in_pieces_as_in_one() -> None:
    value = charts(part=HEAD)
    value.u[:, HEAD] = torch.linspace(0, 1, 8)[:, None]
    height, width = 3, PIXELS_AT_ONCE // 2  # two pieces: of two rows and of one
    box = torch.tensor([0.0, 0.0, width, height])
    found = paint_iuv(value, row=0, box_4=box, image_hw=(height, width), uv_overflow="clamp")
    narrow = paint_iuv(
        value, row=0, box_4=torch.tensor([0.0, 0.0, 4, height]), image_hw=(height, 4), uv_overflow="clamp"
    )
    assert np.array_equal(found[:, 0], narrow[:, 0])
    assert np.array_equal(found[:, -1], narrow[:, -1])
