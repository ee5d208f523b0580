"""Curves of several runs over one axis."""

from __future__ import annotations

import math
import re

from mcld.evaluation.curves import Curve, curves_svg


def heights(svg: str) -> list[list[float]]:
    found = re.findall(r'points="([^"]*)"', svg)
    return [[float(point.split(",")[1]) for point in points.split()] for points in found]


def test_equal_ratios_are_equal_heights_where_values_are_far_apart() -> None:
    svg = curves_svg("loss", curves=[Curve(run="a", points=((1, 1.0), (2, 0.1), (3, 0.01)))])
    [[first, second, third]] = heights(svg)
    assert math.isclose(second - first, third - second, abs_tol=0.2)


def test_runs_share_an_axis_and_values_below_zero_are_shown() -> None:
    curves = [Curve(run="a", points=((1, -1.0), (2, 1.0))), Curve(run="b", points=((1, 1.0), (2, -1.0)))]
    one, other = heights(curves_svg("metric", curves=curves))
    assert one == other[::-1]
    assert one[0] > one[1]


def test_one_point_is_no_curve_and_what_is_not_a_number_is_left_out() -> None:
    assert curves_svg("loss", curves=[Curve(run="a", points=((1, 1.0),)), Curve(run="b", points=())]) == ""
    points = ((1, 1.0), (2, math.nan), (3, 2.0))
    [found] = heights(curves_svg("loss", curves=[Curve(run="a", points=points)]))
    assert len(found) == 2
